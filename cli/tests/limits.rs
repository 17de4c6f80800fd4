//! What the server takes of the machine: memory, where there is little of it, and the processor, where there is nothing to do.

mod server;

use std::fs;
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use ferromq::record::records;
use ferromq::wire::{Encoding, Frame, PullMessage, Request, ResponseCode, SendForm, SendMessage};

use server::Server;

/// Longer than anything here takes on the slowest machine: its passing means that something hangs.
const HANG: Duration = Duration::from_secs(120);

struct Client {
    stream: TcpStream,
    answers: BufReader<TcpStream>,
    frame: Vec<u8>,
}

impl Client {
    fn connect(port: u16) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(HANG)).unwrap();
        let answers = BufReader::new(stream.try_clone().unwrap());
        Client { stream, answers, frame: Vec::new() }
    }

    fn ask(&mut self, request: &Request<'_>) {
        let mut out = Vec::new();
        request.encode(Encoding::Json, 1, false, &mut out).expect("a request");
        self.stream.write_all(&out).expect("written");
    }

    fn send(&mut self, body: &[u8]) {
        self.ask(&Request::SendMessage(SendMessage {
            form: SendForm::V2,
            producer_group: "PG".into(),
            topic: "T".into(),
            default_topic: "TBW102".into(),
            default_topic_queue_nums: 1,
            queue_id: 0,
            born_timestamp: 1,
            properties: Some("".into()),
            body,
            ..Default::default()
        }));
    }

    fn pull(&mut self, offset: i64) {
        self.ask(&Request::PullMessage(PullMessage {
            consumer_group: "G".into(),
            topic: "T".into(),
            queue_offset: offset,
            max_msg_nums: 32,
            sys_flag: 4,
            subscription: Some("*".into()),
            ..Default::default()
        }));
    }

    /// The next answer; one that fails the test if it is no success.
    fn answer(&mut self) -> Frame<'_> {
        self.frame.resize(4, 0);
        self.answers.read_exact(&mut self.frame).expect("an answer");
        let length = u32::from_be_bytes(self.frame[..4].try_into().unwrap()) as usize;
        self.frame.resize(4 + length, 0);
        self.answers.read_exact(&mut self.frame[4..]).expect("a whole answer");
        let answer = Frame::decode(&self.frame).expect("a frame");
        assert_eq!(ResponseCode(answer.code), ResponseCode::SUCCESS, "{:?}", answer.remark);
        answer
    }
}

/// A cgroup of this test's own with a limit for memory, page cache included.
struct Cgroup(PathBuf);

impl Cgroup {
    /// None where this process may not make one.
    fn with_memory(bytes: usize) -> Option<Cgroup> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let path = |controllers: &str| {
            own.lines().find_map(|line| {
                let (_, rest) = line.split_once(':')?;
                let (which, path) = rest.split_once(':')?;
                (which == controllers).then(|| path.trim_start_matches('/').to_owned())
            })
        };
        let (parent, file) = match path("memory") {
            Some(path) => (PathBuf::from("/sys/fs/cgroup/memory").join(path), "memory.limit_in_bytes"),
            None => (PathBuf::from("/sys/fs/cgroup").join(path("")?), "memory.max"),
        };
        let dir = parent.join(format!("ferromq-test-{}", std::process::id()));
        fs::create_dir(&dir).ok()?;
        let made = Cgroup(dir);
        fs::write(made.0.join(file), bytes.to_string()).ok()?;
        Some(made)
    }

    /// A command that goes into the group and becomes what its arguments say.
    fn enter(&self) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"echo $$ > "$0" && exec "$@""#]).arg(self.0.join("cgroup.procs"));
        shell
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Not before its last process is reaped.
        let _gone = fs::remove_dir(&self.0);
    }
}

/// The `n`-th message.
fn body(n: i64) -> Vec<u8> {
    const BODY: usize = 64 << 10;
    let mut body = vec![n as u8; BODY];
    body[..8].copy_from_slice(&n.to_be_bytes());
    body
}

#[test]
fn a_store_four_times_as_large_as_its_memory_is_written_killed_and_read() {
    const MEMORY: usize = 64 << 20;
    const WINDOW: i64 = 8;
    let Some(group) = Cgroup::with_memory(MEMORY) else {
        println!("not shown here: no cgroup can be made (it takes root, and a delegated memory controller)");
        return;
    };
    let count = (4 * MEMORY / body(0).len()) as i64;
    let dir = tempfile::tempdir().unwrap();
    let (data, conf) = (dir.path().join("data"), dir.path().join("broker.conf"));
    // With so little memory, who appends waits for the disk.
    let settings = "mappedFileSizeCommitLog=67108864\nmaxHashSlotNum=5000\nmaxIndexNum=20000\n\
        osPageCacheBusyTimeOutMills=60000\n";
    fs::write(&conf, settings).unwrap();
    let server = Server::start_by(group.enter(), &data, &conf);
    let mut client = Client::connect(server.port);
    for n in 0..count + WINDOW {
        if n < count {
            client.send(&body(n));
        }
        if n >= WINDOW {
            client.answer();
        }
    }
    server.kill();
    let server = Server::start_by(group.enter(), &data, &conf);
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", server.id())).expect("its groups");
    assert!(groups.contains("ferromq-test-"), "{groups}");
    let (mut client, mut next) = (Client::connect(server.port), 0);
    while next < count {
        client.pull(next);
        for record in records(client.answer().body) {
            let record = record.expect("a record");
            assert_eq!(record.queue_offset(), next);
            assert!(record.body() == body(next), "message {next}");
            next += 1;
        }
    }
    server.terminate();
}

/// How often the threads of a process left the processor, by themselves or not.
fn switches(pid: u32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("threads");
    let statuses = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("status")).ok());
    let count = |status: String| -> u64 {
        let lines = status.lines().filter(|line| line.contains("ctxt_switches"));
        lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum()
    };
    statuses.map(count).sum()
}

#[test]
fn a_server_without_work_sleeps() {
    const LOOK: Duration = Duration::from_millis(500);
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join("broker.conf");
    fs::write(&conf, "maxHashSlotNum=5000\nmaxIndexNum=20000\n").unwrap();
    let server = Server::start(&dir.path().join("data"), &conf);
    let mut client = Client::connect(server.port);
    for n in 0..100 {
        client.send(&body(n)[..100]);
        client.answer();
    }
    // What came is brought to disk, then there is nothing more. A thread that looks every millisecond, as one of Apache's
    // does, would be seen 500 times, whatever else the machine does.
    let (start, mut before) = (Instant::now(), switches(server.id()));
    loop {
        std::thread::sleep(LOOK);
        let now = switches(server.id());
        if now - before <= 25 {
            break;
        }
        assert!(start.elapsed() < HANG, "{} switches in {LOOK:?} of doing nothing", now - before);
        before = now;
    }
    server.terminate();
}
