//! Processes of producers and consumers that do what they are told: Apache's clients in a JVM, or ours in
//! `ferromq-member`. Both speak the same lines; see [`Member`].

use crate::java::{self, Line};
use crate::process::{Process, Workplace};
use crate::Outcome;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::{BufRead, Write};
use std::path::Path;
use std::process::{ChildStdin, Command};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Whose client a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Apache's.
    Java(Line),
    /// Ours.
    Ours,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Kind::Java(Line::V53) => "java-53",
            Kind::Java(Line::V49) => "java-49",
            Kind::Ours => "ferromq",
        })
    }
}

/// The fields of a request, of its answer, or of what happened. Bodies are in hex under `hex`, properties under `p.NAME`.
pub type Fields = BTreeMap<String, String>;

/// Something that a member told by itself.
#[derive(Clone, Debug)]
pub struct Event {
    /// `got`, `check`, `execute`.
    pub kind: String,
    /// What about it.
    pub fields: Fields,
}

impl Event {
    /// A field, or nothing.
    pub fn get(&self, key: &str) -> &str {
        self.fields.get(key).map_or("", String::as_str)
    }

    /// The body.
    pub fn body(&self) -> Vec<u8> {
        unhex(self.get("hex"))
    }
}

#[derive(Default)]
struct Heard {
    answers: HashMap<u64, Outcome<Fields>>,
    events: Vec<Event>,
    over: bool,
}

type Shared = Arc<(Mutex<Heard>, Condvar)>;

/// A process that takes requests, several at a time: `ID VERB key=value...` is answered by `ID ok key=value...` or
/// `ID error why`; lines that begin with `*` tell what happened by itself. Values are percent-encoded.
pub struct Member {
    /// Its name in messages.
    pub name: String,
    /// Whose it is.
    pub kind: Kind,
    process: Process,
    stdin: Mutex<ChildStdin>,
    next: AtomicU64,
    heard: Shared,
}

impl Member {
    /// Starts a process. `ours` is the path of `ferromq-member`.
    pub fn start(place: &Arc<Workplace>, kind: Kind, name: &str, ours: &Path) -> Outcome<Member> {
        let home = java::home(place, name)?;
        let command = match kind {
            Kind::Java(line) => {
                let mut java = java::command(&java::driver_class_path(line), 256, &home);
                java.args([
                    "-Drocketmq.client.rebalance.waitInterval=1000",
                    "-Drocketmq.client.rebalance.minInterval=200",
                    "-Dcom.rocketmq.remoting.client.closeSocketIfTimeout=false",
                    "-Drocketmq.client.logLevel=WARN",
                    "-Drocketmq.client.logFileMaxIndex=1",
                ])
                .arg(format!("-Drocketmq.client.localOffsetStoreDir={}/offsets", home.display()))
                .arg("interop.Member");
                java
            }
            Kind::Ours => {
                let mut command = Command::new(ours);
                command.env("HOME", &home).current_dir(&home);
                command
            }
        };
        let mut process = Process::spawn(place, name, command, true)?;
        let (stdin, stdout) = process.pipes();
        let heard = Shared::default();
        let told = heard.clone();
        std::thread::spawn(move || listen(stdout, &told));
        let next = AtomicU64::new(1);
        Ok(Member { name: name.to_owned(), kind, process, stdin: Mutex::new(stdin), next, heard })
    }

    /// Sends a request; [`Member::answer`] waits for what comes back.
    pub fn begin(&self, verb: &str, fields: &[(&str, &str)]) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut line = format!("{id} {verb}");
        for (key, value) in fields {
            let _ = write!(line, " {key}={}", encode(value));
        }
        // A process that is gone is seen by whoever waits for the answer.
        let _ = writeln!(self.stdin.lock().expect("member input"), "{line}");
        id
    }

    /// Waits for the answer to a request.
    pub fn answer(&self, id: u64, patience: Duration) -> Outcome<Fields> {
        self.wait(patience, |heard| heard.answers.remove(&id))
            .ok_or_else(|| format!("{} gave no answer; its log ends with:\n{}", self.name, self.log_tail()))?
            .map_err(|why| format!("{}: {why}", self.name))
    }

    /// Asks and waits.
    pub fn ask(&self, verb: &str, fields: &[(&str, &str)]) -> Outcome<Fields> {
        let id = self.begin(verb, fields);
        self.answer(id, Duration::from_secs(120)).map_err(|why| {
            let mut what = format!("{verb} {fields:?}");
            what.truncate(200);
            format!("{what}: {why}")
        })
    }

    /// All it told by itself so far.
    pub fn events(&self) -> Vec<Event> {
        self.heard.0.lock().expect("heard").events.clone()
    }

    /// What the consumer or producer `name` told under `kind`.
    pub fn told(&self, kind: &str, name: &str) -> Vec<Event> {
        self.events().into_iter().filter(|event| event.kind == kind && event.get("name") == name).collect()
    }

    /// Waits until `name` told at least `count` things of `kind`.
    pub fn await_told(
        &self,
        kind: &str,
        name: &str,
        count: usize,
        patience: Duration,
    ) -> Outcome<Vec<Event>> {
        let told = |heard: &mut Heard| {
            let of = |event: &&Event| event.kind == kind && event.get("name") == name;
            let found: Vec<Event> = heard.events.iter().filter(of).cloned().collect();
            (found.len() >= count).then_some(found)
        };
        self.wait(patience, told).ok_or_else(|| {
            let now = self.told(kind, name).len();
            format!(
                "{}: {now} instead of {count} times {kind:?} of {name}; its log ends with:\n{}",
                self.name,
                self.log_tail()
            )
        })
    }

    fn wait<T>(&self, patience: Duration, mut look: impl FnMut(&mut Heard) -> Option<T>) -> Option<T> {
        let end = Instant::now() + patience;
        let mut heard = self.heard.0.lock().expect("heard");
        loop {
            if let Some(found) = look(&mut heard) {
                return Some(found);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || heard.over {
                return None;
            }
            heard = self.heard.1.wait_timeout(heard, left).expect("heard").0;
        }
    }

    /// The end of its log, for messages.
    pub fn log_tail(&self) -> String {
        self.process.log_tail()
    }

    /// `kill -9`.
    pub fn kill(self) {
        self.process.kill();
    }

    /// SIGSTOP or SIGCONT to the process.
    pub fn freeze(&self, frozen: bool) {
        self.process.freeze(frozen);
    }
}

fn listen(stdout: impl BufRead, heard: &Shared) {
    for line in stdout.lines().map_while(Result::ok) {
        let mut words = line.split(' ');
        let (first, second) = (words.next().unwrap_or(""), words.next().unwrap_or("").to_owned());
        let mut told = heard.0.lock().expect("heard");
        if first == "*" {
            let fields = fields(words);
            told.events.push(Event { kind: second, fields });
        } else if let Ok(id) = first.parse() {
            let answer = match second.as_str() {
                "ok" => Ok(fields(words)),
                _ => Err(decode(words.next().unwrap_or(""))),
            };
            told.answers.insert(id, answer);
        }
        drop(told);
        heard.1.notify_all();
    }
    heard.0.lock().expect("heard").over = true;
    heard.1.notify_all();
}

/// Fields of a line's words.
pub fn fields<'a>(words: impl Iterator<Item = &'a str>) -> Fields {
    words
        .filter_map(|word| word.split_once('='))
        .map(|(key, value)| (key.to_owned(), decode(value)))
        .collect()
}

/// Percent-encoding of everything but letters and digits.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte.is_ascii_alphanumeric() {
            true => out.push(char::from(byte)),
            false => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// Percent-decoding; a plus is a blank.
pub fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(if bytes[at] == b'+' { b' ' } else { bytes[at] });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Bytes as hex digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// Bytes of hex digits; what is none ends it.
pub fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .map_while(|at| text.get(2 * at..2 * at + 2).and_then(|hex| u8::from_str_radix(hex, 16).ok()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_survives_a_line() {
        for text in ["", "a b", "größe=1\n", "100%", "%zz+", "\u{1}\u{2}"] {
            assert_eq!(decode(&encode(text)), text);
            assert!(!encode(text).contains([' ', '\n', '=']));
        }
        assert_eq!(decode("a+b%20c"), "a b c");
        assert_eq!(unhex(&hex(&[0, 127, 128, 255])), [0, 127, 128, 255]);
    }
}
