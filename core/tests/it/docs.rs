//! The tables of settings in the documentation are those of the code.

use std::fmt::Write;
use std::path::Path;

use ferromq::config::{ClientOptions, ConsumerOptions, Key, ProducerOptions};

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

#[test]
fn the_clients_settings_are_documented_as_they_are() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/client.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (present, after) = rest.split_once(END).unwrap();
    let tables = [
        table("Clients (`ClientOptions`)", ClientOptions::KEYS),
        table("Producers (`ProducerOptions`)", ProducerOptions::KEYS),
        table("Consumers (`ConsumerOptions`)", ConsumerOptions::KEYS),
    ];
    let expected = format!("{}\n", tables.concat());
    if std::env::var_os("FERROMQ_WRITE_DOCS").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{expected}{END}{after}")).unwrap();
        return;
    }
    let again = "FERROMQ_WRITE_DOCS=1 cargo test -p ferromq --test it docs";
    assert!(present == expected, "docs/client.md is stale; make it again: {again}");
}
