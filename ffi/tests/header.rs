//! `include/ferromq.h` is what cbindgen makes of this crate, put into an order to read. With `FERROMQ_WRITE_HEADER=1` this
//! test writes it.

use std::path::{Path, PathBuf};

/// What an item belongs to, by the beginning of its name; the first that fits counts.
const SECTIONS: &[(&str, &[&str])] = &[
    ("The library", &["fmq_version", "fmq_string", "fmq_log", "fmq_free_user_data"]),
    ("Errors", &["fmq_error", "fmq_code"]),
    ("Settings", &["fmq_options"]),
    ("Instances", &["fmq_open", "fmq_connect", "fmq_instance"]),
    ("Messages to be sent", &["fmq_message_", "fmq_batch"]),
    ("Messages that were consumed", &["fmq_messages", "fmq_stored_message"]),
    ("Queues", &["fmq_queue"]),
    (
        "How to send, and what became of it",
        &["fmq_send_status", "fmq_send_options", "fmq_sent", "fmq_choose"],
    ),
    ("Producers", &["fmq_producer", "fmq_send_callback", "fmq_request_callback"]),
    ("A queue in the process, by itself", &["fmq_appender", "fmq_reader"]),
    ("Transactions", &["fmq_transaction"]),
    (
        "Consumers that call a listener",
        &[
            "fmq_push_consumer",
            "fmq_consume_",
            "fmq_orderly_",
            "fmq_listener",
            "fmq_one_listener",
            "fmq_allocate",
        ],
    ),
    ("Consumers that are asked", &["fmq_consumer", "fmq_ready_callback", "fmq_pull"]),
    ("For operators", &["fmq_admin", "fmq_start_at"]),
    ("Servers", &["fmq_server", "fmq_namesrv", "fmq_broker"]),
];

const ENUMS: [&str; 7] = [
    "fmq_code",
    "fmq_send_status",
    "fmq_transaction_state",
    "fmq_consume_status",
    "fmq_log_level",
    "fmq_start_at",
    "fmq_pull_status",
];

fn crate_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// What cbindgen makes of the crate.
fn generated() -> String {
    let config = cbindgen::Config {
        language: cbindgen::Language::C,
        style: cbindgen::Style::Type,
        documentation_style: cbindgen::DocumentationStyle::Doxy,
        line_length: 110,
        usize_is_size_t: true,
        export: cbindgen::ExportConfig {
            // What functions take and answer as numbers.
            include: ENUMS.map(str::to_owned).to_vec(),
            ..cbindgen::ExportConfig::default()
        },
        ..cbindgen::Config::default()
    };
    let mut out = Vec::new();
    let builder = cbindgen::Builder::new().with_crate(crate_dir()).with_config(config).with_no_includes();
    builder.generate().expect("the crate's items").write(&mut out);
    let text = String::from_utf8(out).expect("a text");
    // Enums only name numbers here; their own types would differ between C11, C23 and C++.
    let of_enums = ["#if ", "#else", "#endif", "  : int32_t", "typedef enum ", "typedef int32_t fmq_"];
    let lines = text.lines().filter(|line| !of_enums.iter().any(|start| line.starts_with(start)));
    lines.map(|line| format!("{line}\n")).collect::<String>().replace("\n {\n", " {\n")
}

/// Its items: each a comment with what it describes.
fn items(text: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    let (mut depth, mut in_comment) = (0_usize, false);
    for line in text.lines().filter(|line| !line.is_empty()) {
        let item = items.last_mut().expect("one");
        item.push_str(line);
        item.push('\n');
        in_comment = (in_comment || line.trim_start().starts_with("/*")) && !line.contains("*/");
        if in_comment || line.trim_start().starts_with('*') {
            continue;
        }
        depth += line.matches('{').count();
        depth -= line.matches('}').count();
        if depth == 0 && line.ends_with(';') {
            items.push(String::new());
        }
    }
    items.retain(|item| !item.trim().is_empty());
    items
}

/// The declaration without its comment.
fn declaration(item: &str) -> &str {
    item.split_once("*/\n").map_or(item, |(_, declaration)| declaration)
}

/// The name that an item declares.
fn name(item: &str) -> &str {
    let declaration = declaration(item);
    let start = match declaration.strip_prefix("typedef ") {
        Some(callback) if callback.contains("(*fmq_") => callback.find("(*fmq_").map(|at| at + 10),
        Some(_) => declaration.rfind("fmq_"),
        None if declaration.starts_with("enum ") => declaration.find("fmq_"),
        None => declaration
            .find('(')
            .map_or_else(|| declaration.find("fmq_"), |end| declaration[..end].rfind("fmq_")),
    };
    let rest = &declaration[start.unwrap_or_else(|| panic!("a name in {item}"))..];
    rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or(rest)
}

fn section(name: &str) -> usize {
    let whole = format!("{name}_");
    let fits = |prefixes: &[&str]| prefixes.iter().any(|prefix| whole.starts_with(prefix));
    SECTIONS
        .iter()
        .position(|(_, prefixes)| fits(prefixes))
        .unwrap_or_else(|| panic!("{name} is in no section; add it to SECTIONS"))
}

fn header() -> String {
    let front_page = std::fs::read_to_string(crate_dir().join("front-page.h")).expect("the front page");
    let generated = generated();
    let items = items(&generated);
    let is_opaque = |item: &&String| declaration(item).starts_with("typedef struct");
    let mut out = front_page;
    out.push_str("#ifndef FERROMQ_H\n#define FERROMQ_H\n\n");
    out.push_str("#include <stdbool.h>\n#include <stddef.h>\n#include <stdint.h>\n\n");
    out.push_str("#ifdef __cplusplus\nextern \"C\" {\n#endif\n");
    let mut heading = |text: &str, items: &[&String]| {
        let line = "-".repeat(110 - text.len());
        out.push_str(&format!("\n/* {text} {line} */\n"));
        for item in items {
            out.push('\n');
            out.push_str(&tidied(item));
        }
    };
    let mut types: Vec<&String> = items.iter().filter(is_opaque).collect();
    types.sort_by_key(|item| section(name(item)));
    heading("Types", &types);
    for (number, (title, _)) in SECTIONS.iter().enumerate() {
        let of_it = |item: &&String| !is_opaque(item) && section(name(item)) == number;
        let of_it: Vec<&String> = items.iter().filter(of_it).collect();
        // Values and callbacks before the functions that use them.
        let (types, functions): (Vec<_>, Vec<_>) = of_it.into_iter().partition(|item| is_type(item));
        if !types.is_empty() || !functions.is_empty() {
            heading(title, &[types, functions].concat());
        }
    }
    out.push_str("\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n");
    out
}

fn is_type(item: &str) -> bool {
    ["typedef", "enum"].iter().any(|word| declaration(item).starts_with(word))
}

/// Comments as a person writes them, and a C++ that reads them.
fn tidied(item: &str) -> String {
    let item = item.replace(" * \n", " *\n").replace('`', "");
    // A comment of one line stands on one.
    let lines: Vec<&str> = item.lines().collect();
    let mut out = String::new();
    let mut at = 0;
    while at < lines.len() {
        match lines[at..] {
            [first, text, last, ..]
                if first.trim() == "/**" && last.trim() == "*/" && text.trim().starts_with("* ") =>
            {
                let indent = &first[..first.len() - first.trim_start().len()];
                out.push_str(&format!("{indent}/** {} */\n", &text.trim()[2..]));
                at += 3;
            }
            _ => {
                out.push_str(lines[at]);
                out.push('\n');
                at += 1;
            }
        }
    }
    out
}

#[test]
fn the_header_is_what_the_source_says() {
    let path = crate_dir().join("../include/ferromq.h");
    let header = header();
    if std::env::var_os("FERROMQ_WRITE_HEADER").is_some() {
        std::fs::write(&path, &header).expect("the header is written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = kept.lines().zip(header.lines()).find(|(kept, made)| kept != made);
    assert!(
        kept == header,
        "include/ferromq.h is not what the source says ({differs:?}); write it with FERROMQ_WRITE_HEADER=1 cargo test -p \
         ferromq-ffi --test header"
    );
}

/// The functions that the header declares, in its order.
fn functions(header: &str) -> Vec<String> {
    let declared =
        header.split("\n\n").map(declaration).filter(|item| !is_type(item) && item.ends_with(");"));
    declared.map(|item| name(item).to_owned()).collect()
}

#[test]
fn symbols_are_only_ever_added() {
    let path = crate_dir().join("symbols.txt");
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let mut symbols: Vec<String> =
        kept.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    let declared = functions(&header());
    let gone: Vec<&String> = symbols.iter().filter(|symbol| !declared.contains(symbol)).collect();
    assert!(gone.is_empty(), "programs may use these: {gone:?}");
    let new: Vec<String> = declared.into_iter().filter(|symbol| !symbols.contains(symbol)).collect();
    if std::env::var_os("FERROMQ_WRITE_HEADER").is_some() && !new.is_empty() {
        symbols.extend(new);
        let head = "# The functions of libferromq.so.0, in the order in which they came. Lines are only ever added, at the end.\n";
        std::fs::write(&path, format!("{head}{}\n", symbols.join("\n"))).expect("symbols.txt is written");
        return;
    }
    assert!(new.is_empty(), "not in symbols.txt: {new:?}; add them with FERROMQ_WRITE_HEADER=1");
    assert!(Path::new(&path).exists());
}
