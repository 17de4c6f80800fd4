//! Stores that Apache's brokers left behind, damaged in the middle and repaired by `ferromq log repair`: Apache's 5.3.3 and
//! 4.9.4 serve from them, byte by byte, what ours does. One store here, more with FERROMQ_SOAK=1.

use std::collections::BTreeMap;
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ferromq::clock::Clock;
use ferromq::record::records;
use ferromq::store::{Get, Store, StoreOptions};
use ferromq::wire::{Encoding, Frame, PullMessage, PullMessageResponse, Request};
use ferromq_interop::process::copy_tree;
use ferromq_interop::server::{our_binary, set, settings, Maker, Settings};
use ferromq_interop::Outcome;

use super::{Run, GUESTS};

const STORES: [&str; 4] = ["killed-494", "killed-533", "clean-533", "corrupt-crc-middle-of-last-file"];
/// Settings that are about the sizes of files.
const SIZES: [&str; 4] =
    ["mappedFileSizeCommitLog", "mappedFileSizeConsumeQueue", "maxHashSlotNum", "maxIndexNum"];

/// Records by topic, queue and offset.
type Served = BTreeMap<(String, i32, i64), Vec<u8>>;

pub fn run(run: &Run) {
    let count = if std::env::var_os("FERROMQ_SOAK").is_some() { STORES.len() } else { 1 };
    for name in &STORES[..count] {
        let case = format!("repaired/{name}");
        if run.report.matches(&case) {
            run.report.case(&case, || repaired(run, name));
        }
    }
}

fn repaired(run: &Run, name: &str) -> Outcome {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/fixtures/store").join(name);
    let manifest = std::fs::read_to_string(fixture.join("manifest.json")).map_err(|e| e.to_string())?;
    let dir = run.place.subdir(&format!("repaired-{name}"))?;
    let unpacked =
        Command::new("tar").arg("xzf").arg(fixture.join("store.tar.gz")).arg("-C").arg(&dir).status();
    if !unpacked.is_ok_and(|status| status.success()) {
        return Err("tar cannot unpack the store".into());
    }
    let store = dir.join("store");
    let (mut conf, mut options) = (settings("1s"), StoreOptions::new(&store));
    let sizes = SIZES.map(|key| number(&manifest, key));
    for (key, size) in SIZES.iter().zip(sizes) {
        set(&mut conf, key, &size.to_string());
    }
    [options.mapped_file_size_commit_log, options.mapped_file_size_consume_queue, _, _] = sizes;
    [_, _, options.max_hash_slot_num, options.max_index_num] = sizes;
    // Nothing of the past expires.
    set(&mut conf, "fileReservedTime", "876000");
    options.file_reserved_time_hours = 876_000;
    options.clean_file_forcibly_enable = false;

    if !name.starts_with("corrupt") {
        damage(&store.join("commitlog"))?;
    }
    repair(run, &store, &conf)?;
    let expected = {
        let copy = dir.join("ours");
        copy_tree(&store, &copy)?;
        options.root = copy;
        served_by_ours(options, &store)?
    };
    run.report.note(&format!("{name}: {} messages after the repair", expected.len()));
    std::thread::scope(|threads| {
        let guests = GUESTS.map(|(guest, line)| {
            let (store, conf, expected) = (&store, &conf, &expected);
            threads.spawn(move || {
                let copy = store.with_extension(guest);
                copy_tree(store, &copy)?;
                let (process, port) = run.broker(guest, Maker::Apache(line), &copy, conf)?;
                let end =
                    compare(port, expected).map_err(|why| format!("{guest}: {why}\n{}", process.log_tail()));
                process.kill();
                end
            })
        });
        guests.into_iter().try_for_each(|guest| guest.join().expect("a reader does not panic"))
    })
}

/// A number of the manifest, whose lines are `"key": value,`.
fn number(manifest: &str, key: &str) -> usize {
    let value = manifest.split_once(&format!("\"{key}\":")).expect("a setting of the manifest").1;
    let digits: String = value.trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("a number")
}

/// A flipped bit and a stretch of zeros in the middle one of the files with records; not in the first, behind whose holes
/// Apache's brokers pass over more than the hole.
fn damage(log: &Path) -> Outcome {
    let failed = |e: std::io::Error| format!("{}: {e}", log.display());
    let entries: Vec<PathBuf> = std::fs::read_dir(log)
        .and_then(|dir| dir.map(|entry| Ok(entry?.path())).collect())
        .map_err(failed)?;
    let mut used = Vec::new();
    for path in entries {
        let bytes = std::fs::read(&path).map_err(failed)?;
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        used.push((path, bytes, end));
    }
    used.retain(|(.., end)| *end > 0);
    used.sort();
    let (path, bytes, end) = &used[used.len() / 2];
    let file = std::fs::OpenOptions::new().write(true).open(path).map_err(failed)?;
    let quarter = end / 4;
    file.write_all_at(&[bytes[quarter] ^ 0x10], quarter as u64).map_err(failed)?;
    file.write_all_at(&[0; 5000], (end / 2) as u64).map_err(failed)
}

fn repair(run: &Run, store: &Path, conf: &Settings) -> Outcome {
    let file = run.place.dir().join("repair.conf");
    let text: String = conf.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
    std::fs::write(&file, text).map_err(|e| e.to_string())?;
    let log = |what: &str| {
        let mut command = Command::new(our_binary()?);
        command.args(["log", what, "--json", "-c"]).arg(&file).arg(store).output().map_err(|e| e.to_string())
    };
    let (before, repaired, after) = (log("check")?, log("repair")?, log("check")?);
    if before.status.code() != Some(1) || !repaired.status.success() {
        return Err(format!(
            "the check was to find damage, and the repair to succeed: {before:?}, {repaired:?}"
        ));
    }
    // Messages stay lost; but nothing in the log is in anybody's way.
    let found: String = String::from_utf8_lossy(&after.stdout).split_whitespace().collect();
    match found.contains("\"damage\":[]") {
        true => Ok(()),
        false => Err(format!("damage is left after the repair: {after:?}")),
    }
}

/// What the store serves of the topics that users see, read in process.
fn served_by_ours(options: StoreOptions, store: &Path) -> Outcome<Served> {
    let table = std::fs::read_to_string(store.join("config/topics.json")).map_err(|e| e.to_string())?;
    let open = Store::open(options, Clock::new()).map_err(|e| e.to_string())?;
    let mut all = Served::new();
    let is_users = |topic: &String| {
        let system = ["RMQ_SYS", "rmq_sys", "SCHEDULE", "TRANS", "%"];
        table.contains(&format!("\"{topic}\"")) && !system.iter().any(|prefix| topic.starts_with(prefix))
    };
    for topic in open.topics().into_iter().filter(is_users) {
        for queue_id in open.queue_ids(&topic) {
            let bounds = open.queue_bounds(&topic, queue_id).unwrap_or_default();
            let mut offset = bounds.start;
            while offset < bounds.end {
                let get = Get { topic: &topic, queue_id, offset, max_count: 32, max_bytes: usize::MAX };
                let got = open.get(&get, &());
                for record in got.records.iter().flat_map(|run| records(run)).flatten() {
                    all.insert((topic.clone(), queue_id, record.queue_offset()), record.bytes().to_vec());
                }
                offset = got.next_offset.max(offset + 1);
            }
        }
    }
    open.close().map_err(|e| e.to_string())?;
    match all.len() {
        0 => Err("nothing is left".into()),
        _ => Ok(all),
    }
}

/// A broker at this port serves all of this, and nothing between it.
fn compare(port: u16, expected: &Served) -> Outcome {
    let mut broker = Connection::open(port)?;
    let mut ends = BTreeMap::<(&str, i32), (i64, i64)>::new();
    for (topic, queue, offset) in expected.keys() {
        let end = ends.entry((topic, *queue)).or_insert((*offset, *offset));
        end.1 = *offset;
    }
    let mut found = Served::new();
    for ((topic, queue_id), (first, last)) in ends {
        let mut offset = first;
        while offset <= last {
            let body = pull(&mut broker, topic, queue_id, &mut offset)?;
            for record in records(&body) {
                let record =
                    record.map_err(|error| format!("{topic} queue {queue_id} at {offset}: {error}"))?;
                // More may have come behind: what was delayed is delivered.
                if record.queue_offset() <= last {
                    found
                        .insert((topic.to_owned(), queue_id, record.queue_offset()), record.bytes().to_vec());
                }
            }
        }
    }
    let differs = |place: &&(String, i32, i64)| found.get(*place) != expected.get(*place);
    let wrong: Vec<_> = expected.keys().chain(found.keys()).filter(differs).take(5).collect();
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(format!("{} messages instead of {}, other at {wrong:?}", found.len(), expected.len())),
    }
}

/// Pulls once, and moves on to where the broker says.
fn pull(port: &mut Connection, topic: &str, queue_id: i32, offset: &mut i64) -> Outcome<Vec<u8>> {
    let request = Request::PullMessage(PullMessage {
        consumer_group: "G".into(),
        topic: topic.into(),
        queue_id,
        queue_offset: *offset,
        max_msg_nums: 32,
        sys_flag: 4,
        subscription: Some("*".into()),
        ..Default::default()
    });
    let answer = port.call(&request)?;
    let header = PullMessageResponse::decode(&answer);
    let next = header.map_or(*offset, |header| header.next_begin_offset);
    if next <= *offset {
        let (code, remark) = (answer.code, &answer.remark);
        return Err(format!("{topic} queue {queue_id} goes on at {next} behind {offset}: {code} {remark:?}"));
    }
    *offset = next;
    Ok(answer.body.to_vec())
}

/// A connection that asks one thing at a time.
pub struct Connection {
    stream: TcpStream,
    answers: BufReader<TcpStream>,
    frame: Vec<u8>,
}

impl Connection {
    pub fn open(port: u16) -> Outcome<Connection> {
        let stream = TcpStream::connect(("127.0.0.1", port)).map_err(|e| e.to_string())?;
        stream.set_read_timeout(Some(Duration::from_secs(60))).map_err(|e| e.to_string())?;
        let answers = BufReader::new(stream.try_clone().map_err(|e| e.to_string())?);
        Ok(Connection { stream, answers, frame: Vec::new() })
    }

    pub fn call(&mut self, request: &Request<'_>) -> Outcome<Frame<'_>> {
        let failed = |e: std::io::Error| format!("{:?}: {e}", request.code());
        let mut out = Vec::new();
        request.encode(Encoding::Json, 1, false, &mut out).map_err(|e| e.to_string())?;
        self.stream.write_all(&out).map_err(failed)?;
        self.frame.resize(4, 0);
        self.answers.read_exact(&mut self.frame).map_err(failed)?;
        let length = self.frame.first_chunk().map_or(0, |length| u32::from_be_bytes(*length));
        self.frame.resize(4 + length as usize, 0);
        self.answers.read_exact(&mut self.frame[4..]).map_err(failed)?;
        Frame::decode(&self.frame).map_err(|e| e.to_string())
    }
}
