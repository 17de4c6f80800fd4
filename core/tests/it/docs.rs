//! The tables in the documentation are those of the code.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use ferromq::config::{
    BrokerConfig, Change, ClientOptions, ConsumerOptions, Key, NamesrvConfig, ProducerOptions,
};
use ferromq::wire::ResponseCode;
use ferromq::{Error, ErrorKind, Message, StartFrom};

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

/// The home directory, which is no documentation either.
fn home() -> Option<String> {
    std::env::var("HOME").ok().filter(|home| !home.is_empty())
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
            default if home().is_some_and(|home| default.starts_with(&home)) => {
                "in the home directory".to_owned()
            }
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

/// `NotFound` with this between its words, such as `not_found`.
fn spelled(name: &str, between: char) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push(between);
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

fn kinds_table() -> String {
    let mut text = String::from(
        "\n### Kinds\n\n| number | kind (Rust, Node) | C | C++ | Python | retriable | what it means |\n|---|---|---|---|---|---|---|\n",
    );
    for kind in ErrorKind::ALL {
        let name = kind.name();
        let constant = format!("FMQ_{}", spelled(name, '_').to_uppercase());
        let retriable = match kind {
            ErrorKind::Remote => "by its response code",
            _ if Error::new(*kind, "", "").is_retriable() => "yes",
            _ => "no",
        };
        writeln!(
            text,
            "| {} | `{name}` | `{constant}` | `kind::{}` | `{name}Error` | {retriable} | {} |",
            *kind as i32,
            spelled(name, '_'),
            kind.meaning()
        )
        .unwrap();
    }
    text
}

fn retriable_codes() -> String {
    let mut text = String::from(
        "\n### Response codes of peers that are retriable\n\n| code | Apache's name |\n|---|---|\n",
    );
    for code in Error::RETRIABLE_CODES {
        writeln!(text, "| {code} | `{}` |", ResponseCode(code).name()).unwrap();
    }
    text
}

#[test]
fn the_errors_are_documented_as_they_are() {
    assert_fresh("errors.md", &[kinds_table(), retriable_codes()]);
    let numbers: Vec<i32> = ErrorKind::ALL.iter().map(|kind| *kind as i32).collect();
    assert_eq!(numbers, (1..=numbers.len() as i32).collect::<Vec<_>>());
    for kind in ErrorKind::ALL {
        assert_eq!(kind.name(), format!("{kind:?}"));
        assert!(kind.meaning().ends_with('.'), "{}", kind.meaning());
    }
}

/// The other languages have the same kinds, by the names that the table gives them.
#[test]
fn every_kind_of_error_is_there_in_every_language() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |file: &str| std::fs::read_to_string(root.join(file)).unwrap();
    let (c, cpp) = (read("include/ferromq.h"), read("include/ferromq.hpp"));
    let python = read("bindings/python/ferromq/errors.py");
    for kind in ErrorKind::ALL {
        let (name, words) = (kind.name(), spelled(kind.name(), '_'));
        let upper = words.to_uppercase();
        assert!(c.contains(&format!("  FMQ_{upper} = {},", *kind as i32)), "{name} in C");
        assert!(cpp.contains(&format!("    {words} = FMQ_{upper},")), "{name} in C++");
        assert!(python.contains(&format!("\nclass {name}Error(Error")), "{name} in Python");
    }
}

/// Everything that the crate's source says, in one text.
fn source() -> String {
    fn collect(dir: &Path, text: &mut String) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, text);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut text = String::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut text);
    text
}

/// Names that users of Java know (packaging-22) and that have to be in the glossary.
const JAVA: [&str; 13] = [
    "DefaultMQProducer",
    "DefaultMQPushConsumer",
    "CommunicationMode",
    "SendStatus",
    "ConsumeOrderlyStatus",
    "ConsumeConcurrentlyStatus",
    "MessageStoreConfig",
    "messageDelayLevel",
    "LocalTransactionState",
    "MessageModel",
    "ConsumeFromWhere",
    "MessageSelector",
    "AllocateMessageQueueStrategy",
];

#[test]
fn every_java_name_of_the_glossary_is_found_in_the_documentation_of_the_crate() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/glossary.md");
    let page = std::fs::read_to_string(path).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let names: Vec<&str> = rows.map(|(name, _)| name).collect();
    let missing: Vec<_> =
        JAVA.iter().chain(&["MessageQueueSelector"]).filter(|name| !names.contains(name)).collect();
    assert!(missing.is_empty(), "not in the glossary: {missing:?}");
    let source = source();
    for name in names {
        // An alias, a type of the same name, or a row of a table, which makes an alias.
        let found = [
            format!("doc(alias = \"{name}\")"),
            format!("pub struct {name} "),
            format!("pub enum {name} "),
            format!("pub trait {name}: "),
            format!("\n    {name}, \""),
            format!("\n        \"{name}\" "),
        ];
        assert!(
            found.iter().any(|text| source.contains(text)),
            "{name} leads nowhere: give its place a doc alias"
        );
    }
}

/// The first block of a language in a page.
fn block<'a>(page: &'a str, language: &str) -> &'a str {
    let begin = format!("```{language}\n");
    let (_, behind) = page.split_once(&begin).unwrap_or_else(|| panic!("no block of {language}"));
    behind.split_once("\n```").expect("the end of the block").0
}

/// The README's programs are those of the pages, which the tests of each language run as they are printed.
#[test]
fn the_readmes_programs_are_those_that_are_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read =
        |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    let readme = read("README.md");
    for (language, page) in [
        ("c", "docs/c.md"),
        ("cpp", "docs/cpp.md"),
        ("python", "bindings/python/README.md"),
        ("js", "bindings/node/README.md"),
    ] {
        assert_eq!(block(&readme, language), block(&read(page), language), "README.md and {page} differ");
    }
    // Rust's is compiled here, and run against a directory of its own.
    let dir = tempfile::tempdir().expect("a directory");
    quick_start(&dir.path().join("data")).expect("it runs");
    let printed = include_str!("docs.rs").split_once("fn quick_start(").expect("the program").1;
    for line in block(&readme, "rust").lines().filter(|line| line.starts_with("    ")) {
        let line = line.replace("\"./data\"", "data").replace("ferromq::ConsumerOptions", "ConsumerOptions");
        let line = line.replace("ferromq::StartFrom", "StartFrom");
        assert!(printed.contains(line.trim()), "README.md has {line:?}, which is not run");
    }
}

fn quick_start(data: &Path) -> ferromq::Result<()> {
    let mq = ferromq::open(data)?;
    mq.create_topic("Orders", 4)?;
    println!("{}", mq.producer("shop")?.send(&Message::new("Orders", "two apples"))?);

    let consumer = mq.consumer_with(ConsumerOptions {
        consume_from_where: StartFrom::First,
        ..ConsumerOptions::new("billing")
    })?;
    consumer.subscribe("Orders", "*")?;
    for message in consumer.poll(Duration::from_secs(5))? {
        println!("{}: {:?}", message.message_id(), message.body);
    }
    mq.close()
}

/// Settings whose defaults are not Apache's, with ours and why; the list that [`the_defaults_are_those_of_apache`] holds
/// against what Apache has.
const DIFFERENT: &[(&str, &str, &str)] = &[
    ("brokerName", "*", "of the machine"),
    ("brokerIP1", "*", "of the machine"),
    ("brokerIP2", "*", "of the machine"),
    ("listenPort", "*", "10911 and 9876, the ports that Apache's servers are started with"),
    ("haListenPort", "", "listenPort + 1, as when Apache's broker is started"),
    ("storePathRootDir", "*", "of the machine"),
    ("storePathCommitLog", "", "below storePathRootDir, as with Apache"),
    ("kvConfigPath", "*", "of the machine"),
    ("configStorePath", "*", "of the machine"),
    ("scanNotActiveBrokerInterval", "10000", "4.9 has it as a constant, 5.3 as a setting of 5 s"),
    (
        "tls.test.mode.enable",
        "false",
        "a certificate made up for tests is asked for, not got by leaving one out",
    ),
    ("tls.server.authClient", "true", "who sets a trust store wants to see certificates"),
    ("tls.client.authServer", "true", "clients verify unless told not to"),
    ("tls.enable", "", "unset: as tls.config.file says, where there is one"),
    ("clientIP", "", "of the machine"),
    ("instanceName", "", "made unique, as Apache's consumers do by themselves"),
    ("clientCallbackExecutorThreads", "0", "0: as many as there are processors, as Apache's"),
    ("customizedTraceTopic", "RMQ_SYS_TRACE_TOPIC", "what Apache's clients use where none is set"),
    ("backPressureForAsyncSendNum", "10000", "the bound is on by default here, so it is wider"),
    ("consumerGroup", "", "Apache's DEFAULT_CONSUMER is refused by its own clients"),
    ("consumeTimestamp", "", "unset: half an hour before the start, as Apache's"),
    ("awaitTerminationMillisWhenShutdown", "10000", "a close waits for listeners"),
];

#[test]
fn the_defaults_are_those_of_apache() {
    let text = include_str!("../fixtures/apache-defaults.tsv");
    let apache: Vec<[&str; 4]> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split('\t').collect::<Vec<_>>().try_into().expect("four columns"))
        .collect();
    let tables = [
        BrokerConfig::KEYS,
        NamesrvConfig::KEYS,
        ClientOptions::KEYS,
        ProducerOptions::KEYS,
        ConsumerOptions::KEYS,
    ];
    let mut explained = std::collections::BTreeSet::new();
    let mut compared = 0;
    for key in tables.into_iter().flatten() {
        let ours = (key.default)();
        let mut theirs = apache.iter().filter(|line| line[1] == key.name).peekable();
        if theirs.peek().is_none() {
            continue;
        }
        compared += 1;
        let unset = |value: &str| ours.is_empty() && ["(none)", "-"].contains(&value);
        if theirs.any(|line| line[2..].iter().any(|value| *value == ours || unset(value))) {
            continue;
        }
        let found = DIFFERENT
            .iter()
            .find(|(name, default, _)| *name == key.name && (*default == "*" || *default == ours));
        assert!(found.is_some(), "{} is {ours:?} by default, Apache's is another", key.name);
        explained.insert(key.name);
    }
    assert!(compared > 100, "{compared}");
    let stale: Vec<_> = DIFFERENT.iter().filter(|(name, _, _)| !explained.contains(name)).collect();
    assert!(stale.is_empty(), "explained, and no different: {stale:?}");
}

/// The values that people know by heart, Apache's key and what it stands for.
#[test]
fn well_known_defaults_are_what_people_expect() {
    let of = |keys: &[Key], name: &str| {
        let key = keys.iter().find(|key| key.name == name).unwrap_or_else(|| panic!("no {name}"));
        (key.default)()
    };
    for (name, value) in [("sendMsgTimeout", "3000"), ("maxMessageSize", "4194304")] {
        assert_eq!(of(ProducerOptions::KEYS, name), value, "{name}");
    }
    for (name, value) in [
        ("syncFlushTimeout", "5000"),
        ("transactionCheckMax", "15"),
        ("fileReservedTime", "72"),
        ("mappedFileSizeCommitLog", "1073741824"),
        ("maxMessageSize", "4194304"),
    ] {
        assert_eq!(of(BrokerConfig::KEYS, name), value, "{name}");
    }
    for (name, value) in [("maxReconsumeTimes", "-1"), ("suspendCurrentQueueTimeMillis", "1000")] {
        assert_eq!(of(ConsumerOptions::KEYS, name), value, "{name}");
    }
    assert_eq!(of(ClientOptions::KEYS, "rebalanceInterval"), "10000");
    assert_eq!(of(NamesrvConfig::KEYS, "scanNotActiveBrokerInterval"), "10000");
    assert_eq!(of(NamesrvConfig::KEYS, "listenPort"), "9876");
}
