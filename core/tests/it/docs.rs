//! The tables of settings in the documentation are those of the code.

use std::fmt::Write;
use std::path::Path;

use ferromq::config::{
    BrokerConfig, Change, ClientOptions, ConsumerOptions, Key, NamesrvConfig, ProducerOptions,
};

const BEGIN: &str = "<!-- settings: do not edit by hand -->\n";
const END: &str = "<!-- end of settings -->";

fn table(title: &str, keys: &[Key]) -> String {
    let mut text =
        format!("\n### {title}\n\n| key | default | allowed | what it does |\n|---|---|---|---|\n");
    for key in keys {
        let default = match (key.default)() {
            default if default.is_empty() => "unset".to_owned(),
            default => format!("`{default}`"),
        };
        let allowed = key.allowed_text().replace('|', "\\|");
        writeln!(text, "| `{}` | {default} | {allowed} | {} |", key.name, key.doc).unwrap();
    }
    text
}

/// As [`table`], of a server: with when a change takes effect.
fn servers_table(title: &str, keys: &[Key]) -> String {
    let mut text = format!(
        "\n### {title}\n\n| key | default | allowed | changes | what it does |\n|---|---|---|---|---|\n"
    );
    for key in keys {
        // The machine's name and addresses are no documentation.
        let default = match (key.default)() {
            _ if ["brokerName", "brokerIP1", "brokerIP2"].contains(&key.name) => "of the machine".to_owned(),
            default if default.is_empty() => "unset".to_owned(),
            default if default.starts_with('/') => "in the home directory".to_owned(),
            default => format!("`{default}`"),
        };
        let allowed = key.allowed_text().replace('|', "\\|");
        let changes = match key.change {
            Change::Live => "at once",
            Change::AtStart => "at the start",
        };
        writeln!(text, "| `{}` | {default} | {allowed} | {changes} | {} |", key.name, key.doc).unwrap();
    }
    text
}

fn assert_fresh(file: &str, tables: &[String]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(file);
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (present, after) = rest.split_once(END).unwrap();
    let expected = format!("{}\n", tables.concat());
    if std::env::var_os("FERROMQ_WRITE_DOCS").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{expected}{END}{after}")).unwrap();
        return;
    }
    let again = "FERROMQ_WRITE_DOCS=1 cargo test -p ferromq --test it docs";
    assert!(present == expected, "docs/{file} is stale; make it again: {again}");
}

#[test]
fn the_clients_settings_are_documented_as_they_are() {
    let tables = [
        table("Clients (`ClientOptions`)", ClientOptions::KEYS),
        table("Producers (`ProducerOptions`)", ProducerOptions::KEYS),
        table("Consumers (`ConsumerOptions`)", ConsumerOptions::KEYS),
    ];
    assert_fresh("client.md", &tables);
}

#[test]
fn the_servers_settings_are_documented_as_they_are() {
    let tables = [
        servers_table("Brokers (`broker.conf`)", BrokerConfig::KEYS),
        servers_table("Name servers (`namesrv.properties`)", NamesrvConfig::KEYS),
    ];
    assert_fresh("settings.md", &tables);
}
