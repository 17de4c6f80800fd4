//! System calls of the server under load, as strace sees them: what is synced before what is answered, how many sends share
//! a sync, and that the commit log is written in one direction, to one file at a time.

#[allow(dead_code, unused_imports, reason = "only its sends are used here")]
mod load;
mod server;

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use load::{send_until_broken, SENDERS, WINDOW};
use server::Server;

const CALLS: &str =
    "trace=fdatasync,fsync,msync,syncfs,sync_file_range,pwrite64,pwritev,write,writev,sendto,sendmsg,recvfrom,read";
/// Longer than anything here takes on the slowest machine: its passing means that something hangs.
const HANG: Duration = Duration::from_secs(120);

/// A system call.
#[derive(Debug, Clone)]
struct Call {
    /// Lines of the trace where it began and ended: no time, but the order of all of them.
    begin: usize,
    end: usize,
    name: String,
    /// What the descriptor stands for: a path, or `socket:[number]`.
    file: String,
    /// Behind the descriptor.
    arguments: String,
    result: i64,
}

impl Call {
    fn is_of_log(&self) -> bool {
        self.file.contains("/commitlog/")
    }

    fn syncs_log(&self) -> bool {
        self.is_of_log() && ["fdatasync", "fsync", "msync"].contains(&&*self.name) && self.result == 0
    }

    /// Records into the log; zeros are written ahead of them.
    fn writes_records(&self) -> bool {
        self.is_of_log() && self.name.starts_with("pwrite") && !self.arguments.starts_with(r#""\0\0\0\0\0"#)
    }

    /// Bytes and place of a write.
    fn place(&self) -> (u64, u64) {
        let at = self.arguments.rsplit(", ").next().and_then(|number| number.parse().ok());
        (self.result as u64, at.unwrap_or_else(|| panic!("no offset: {self:?}")))
    }
}

/// `PID name(12<file>, more) = 34`, or in two lines with those of other threads in between.
fn parse(trace: &str) -> Vec<Call> {
    let (mut calls, mut open) = (Vec::new(), HashMap::new());
    for (line, text) in trace.lines().enumerate() {
        let Some((thread, text)) = text.split_once(char::is_whitespace) else { continue };
        let text = text.trim_start();
        if let Some(begun) = text.strip_suffix(" <unfinished ...>") {
            open.insert(thread.to_owned(), (line, begun.to_owned()));
            continue;
        }
        let (begin, whole) = match text.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>")) {
            Some((_, rest)) => match open.remove(thread) {
                Some((begin, begun)) => (begin, begun + rest),
                None => continue,
            },
            None => (line, text.to_owned()),
        };
        let Some((name, rest)) = whole.split_once('(') else { continue };
        let Some((arguments, result)) = rest.rsplit_once(" = ") else { continue };
        let arguments = arguments.trim_end().trim_end_matches(')');
        let file = arguments.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
        let Some((file, arguments)) = file else { continue };
        let result = result.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(-1);
        let arguments = arguments.trim_start_matches(", ").to_owned();
        let (name, file) = (name.to_owned(), file.to_owned());
        calls.push(Call { begin, end: line, name, file, arguments, result });
    }
    calls
}

/// Runs a server under strace and sends to it until `enough` are acknowledged; how many were, and the calls from the first
/// send to the end.
fn trace(flush: &str, senders: usize, window: u64, enough: usize) -> (usize, Vec<Call>) {
    let dir = tempfile::tempdir().unwrap();
    let (conf, out) = (dir.path().join("broker.conf"), dir.path().join("trace"));
    std::fs::write(&conf, format!("flushDiskType={flush}\nmappedFileSizeCommitLog=4194304\n")).unwrap();
    let mut strace = Command::new("strace");
    // The tracer is nobody's parent: signals reach the server, whose end is its end.
    strace.args(["-D", "-f", "-y", "-s", "24", "-e", CALLS, "-o"]).arg(&out).arg("--");
    let server = Server::start_by(strace, &dir.path().join("data"), &conf);
    let (port, count) = (server.port, AtomicUsize::new(0));
    std::thread::scope(|threads| {
        for sender in 0..senders {
            let count = &count;
            let seen = move |_| count.fetch_add(1, Ordering::Relaxed) + 1 < enough;
            threads.spawn(move || send_until_broken(port, 0, sender, window, seen));
        }
    });
    server.terminate();
    (count.into_inner(), parse(&complete(&out)))
}

/// The trace, once its writer has seen the end.
fn complete(trace: &Path) -> String {
    let start = Instant::now();
    loop {
        let text = String::from_utf8_lossy(&std::fs::read(trace).unwrap_or_default()).into_owned();
        let last = text.lines().last().unwrap_or_default();
        if last.ends_with("+++") && text.ends_with('\n') && !text.contains("<unfinished ...>\n+++") {
            let main = text.split_whitespace().next().unwrap_or_default();
            if last.split_whitespace().next() == Some(main) {
                return text;
            }
        }
        assert!(start.elapsed() < HANG, "strace does not come to its end: {last}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn is_there() {
    let there =
        Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    assert!(there, "strace is missing; scripts/install-languages.sh installs it");
}

#[test]
fn under_sync_flush_a_send_is_answered_after_its_record_is_synced() {
    is_there();
    let (acked, calls) = trace("SYNC_FLUSH", 1, 1, 40);
    let asked: Vec<&Call> = calls.iter().filter(|call| call.arguments.contains(r#"{\"code\":310"#)).collect();
    assert!(asked.len() >= acked && acked >= 40, "{acked} acknowledged, {} seen to arrive", asked.len());
    for request in &asked[..acked] {
        let told = |call: &&Call| {
            call.begin > request.end
                && call.file == request.file
                && call.name != "recvfrom"
                && call.name != "read"
        };
        let answer = calls.iter().find(told).unwrap_or_else(|| panic!("no answer to {request:?}"));
        let within = |call: &&Call| call.begin > request.begin && call.end < answer.begin;
        let written = calls.iter().filter(within).find(|call| call.writes_records());
        let written = written.unwrap_or_else(|| panic!("nothing written between {request:?} and {answer:?}"));
        let synced = calls.iter().filter(within).find(|call| call.syncs_log() && call.begin > written.end);
        assert!(synced.is_some(), "no sync between {written:?} and {answer:?}");
    }
}

#[test]
fn under_sync_flush_many_sends_share_a_sync_and_the_log_is_written_in_one_direction() {
    is_there();
    let (acked, calls) = trace("SYNC_FLUSH", SENDERS, WINDOW, 6000);
    let syncs = calls.iter().filter(|call| call.syncs_log()).count();
    println!("SYNC_FLUSH: {acked} acknowledged, {syncs} syncs of the log");
    assert!(syncs > 0 && syncs * 3 < acked, "{syncs} syncs for {acked} messages");
    let mut at = (String::new(), 0);
    let (mut files, mut records) = (0, 0);
    for write in calls.iter().filter(|call| call.writes_records()) {
        let (bytes, offset) = write.place();
        assert!(write.file > at.0 || write.file == at.0 && offset >= at.1, "{write:?} after {at:?}");
        files += usize::from(write.file != at.0);
        records += 1;
        at = (write.file.clone(), offset + bytes);
    }
    assert!(files > 1 && records >= acked, "{files} files, {records} writes for {acked} messages");
}

#[test]
fn under_async_flush_a_few_syncs_do_for_all() {
    is_there();
    let begin = std::time::Instant::now();
    let (acked, calls) = trace("ASYNC_FLUSH", SENDERS, WINDOW, 10_000);
    let seconds = begin.elapsed().as_secs() as usize;
    let syncs = calls.iter().filter(|call| call.syncs_log()).count();
    let writes = calls.iter().filter(|call| call.writes_records()).count();
    println!("ASYNC_FLUSH: {acked} acknowledged, {syncs} syncs of the log, {writes} writes to it");
    // The end syncs in any case; there is one each half second, and tracing takes its time.
    assert!((1..=acked / 100 + 2 * seconds).contains(&syncs), "{syncs} syncs for {acked} messages");
    assert_eq!(writes, 0, "records get into the page cache through the mapping");
}
