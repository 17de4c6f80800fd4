//! The rooms of the house and their arrows (ARCHITECTURE.md): a room uses only what stands to its right, sockets are
//! opened in `net` only, files in `store` and `config` only, and `unsafe` stands in a few named files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What each room may use. `error` stands for the crate's own `Error`, `ErrorKind` and `Result`.
const ARROWS: &[(&str, &[&str])] = &[
    (
        "instance",
        &[
            "broker", "namesrv", "client", "net", "wire", "store", "record", "message", "filter", "config",
            "clock", "sync", "error",
        ],
    ),
    ("broker", &["store", "net", "wire", "record", "message", "filter", "config", "clock", "sync", "error"]),
    ("namesrv", &["net", "wire", "record", "message", "filter", "config", "clock", "sync", "error"]),
    ("client", &["net", "wire", "record", "message", "filter", "config", "clock", "sync", "error"]),
    ("net", &["wire", "record", "message", "filter", "config", "clock", "sync", "error"]),
    ("store", &["record", "message", "filter", "config", "clock", "sync", "error"]),
    ("wire", &["record", "message", "filter", "config", "clock", "sync", "error"]),
    ("record", &["message", "filter", "config", "clock", "sync", "error"]),
    ("message", &["error"]),
    ("filter", &["message", "sync", "error"]),
    ("config", &["clock", "sync", "error"]),
    ("clock", &["sync", "error"]),
    ("sync", &[]),
    ("error", &[]),
];

/// The only files that may say `unsafe`: what maps files and answers for their
/// pages, and what asks the system to lock or allocate them.
const UNSAFE: &[&str] = &["store/guard.rs", "store/mapping.rs", "store/storage/sys.rs"];

/// Words of one kind of access, and the rooms that may use them.
const ACCESS: &[(&[&str], &[&str])] = &[
    (&["TcpListener", "TcpStream", "UdpSocket", "UnixListener", "UnixStream", "socket2"], &["net"]),
    (&["tokio"], &["net", "client"]),
    (&["memmap2", "MmapMut", "Mmap"], &["store"]),
    // The options that files are opened with are not to be had without `fs`.
    (&["fs", "File"], &["store", "config"]),
];

struct Source {
    /// Path below `core/src`.
    file: String,
    room: String,
    /// Without comments and strings.
    code: String,
    /// `code` up to the unit tests.
    without_tests: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    let source = |path: PathBuf| {
        let file = path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
        let room = file.split(['/', '.']).next().unwrap().to_owned();
        let code = code_of(&std::fs::read_to_string(&path).unwrap());
        let tests_only = file.ends_with("tests.rs") || file.contains("/tests/");
        let without_tests = match code.find("#[cfg(test)]\nmod ") {
            _ if tests_only => String::new(),
            Some(at) => code[..at].to_owned(),
            None => code.clone(),
        };
        // `record_tests.rs` belongs to the room of `record.rs`.
        let room = room.strip_suffix("_tests").map(str::to_owned).unwrap_or(room);
        Source { file, room, code, without_tests }
    };
    files.into_iter().map(source).filter(|source| source.room != "lib").collect()
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The text without line comments and the content of strings.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    for line in text.lines() {
        let mut quoted = false;
        let mut before = ' ';
        for (at, c) in line.char_indices() {
            if !quoted && line[at..].starts_with("//") {
                break;
            }
            if c == '"' && before != '\\' && !(before == '\'' && line[at + 1..].starts_with('\'')) {
                quoted = !quoted;
            } else if !quoted {
                code.push(c);
            }
            before = if before == '\\' && c == '\\' { ' ' } else { c };
        }
        code.push('\n');
    }
    code
}

/// First segments of all paths that begin with `crate::`, groups in braces included.
fn used(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find("crate::") {
        rest = &rest[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => found.extend(word(rest)),
            Some(group) => {
                let mut depth = 0;
                let mut expect = true;
                for (at, c) in group.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => expect = true,
                        c if expect && !c.is_whitespace() => {
                            found.extend(word(&group[at..]));
                            expect = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    found
}

fn word(text: &str) -> Option<String> {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    (end > 0).then(|| text[..end].to_owned())
}

fn says(code: &str, wanted: &str) -> bool {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == wanted)
}

#[test]
fn a_room_uses_only_what_stands_to_its_right() {
    let arrows: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(allowed) = arrows.get(source.room.as_str()) else {
            wrong.push(format!("{}: a room that is not in the plan", source.file));
            continue;
        };
        for name in used(&source.code) {
            let room = match name.as_str() {
                "Error" | "ErrorKind" | "Result" => "error",
                other => other,
            };
            if room != source.room && !allowed.contains(&room) {
                wrong.push(format!("{} uses crate::{name}", source.file));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn sockets_files_and_mappings_stay_in_their_rooms() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (words, rooms) in ACCESS {
            if !rooms.contains(&source.room.as_str()) {
                let said = words.iter().filter(|word| says(&source.without_tests, word));
                wrong.extend(said.map(|word| format!("{} says {word}", source.file)));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn unsafe_stands_in_a_few_named_files_only() {
    let wrong: Vec<String> = sources()
        .into_iter()
        .filter(|source| says(&source.code, "unsafe") && !UNSAFE.contains(&source.file.as_str()))
        .map(|source| source.file)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_scanner_sees_what_it_should() {
    let text = "use crate::{config::{a, b}, wire, Error};\n// crate::no\nlet x = \"crate::no\"; crate::net::Call; '\"'; crate::store\n";
    assert_eq!(used(&code_of(text)), ["config", "wire", "Error", "net", "store"]);
    assert!(says(&code_of("let f = std::fs::File::open(p);"), "fs"));
    assert!(!says(&code_of("let offs = 1; // fs"), "fs"));
    assert!(says(&code_of(r#"let quote = "\""; unsafe {}"#), "unsafe"));
    let files = sources();
    assert!(files
        .iter()
        .any(|source| source.file == "config/file.rs" && says(&source.without_tests, "File")));
}
