//! fork(): ids of processes that share everything but their number differ, and a client is no use in a forked child, at
//! once and without harm to its parent. A program without a test harness, whose threads would be forked too.
//!
//! 240,000 ids and 40 forks here, 10,000,000 and 2,000 with FERROMQ_SOAK=1 (`make soak`).

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{mpsc, Arc};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use ferromq::config::file::save;
use ferromq::message::{unique_id_in, unique_id_of};
use ferromq::{
    ConsumeContext, ConsumeStatus, Consumer, ConsumerOptions, ErrorKind, Instance, Listen, Message,
    MessageQueue, OpenOptions, Producer, PushConsumer, StartFrom, StoredMessage, Subscription,
    TransactionListener, TransactionProducer, TransactionState,
};

/// Longer than anything here takes on the slowest machine: its passing means that something hangs.
const HANG: Duration = Duration::from_secs(120);

fn soak() -> bool {
    std::env::var_os("FERROMQ_SOAK").is_some_and(|value| value == "1")
}

/// Runs `child` in a forked process, whose exit code is what it returns; its process id.
fn fork(child: impl FnOnce() -> i32) -> i32 {
    // SAFETY: no argument, no memory is touched. The child goes on as a copy of this thread alone; what it may run then,
    // with locks held by threads that it does not have, is what is tested, under a parent that kills it if it hangs.
    match unsafe { libc::fork() } {
        -1 => panic!("fork failed: {}", std::io::Error::last_os_error()),
        0 => {
            let code = catch_unwind(AssertUnwindSafe(child)).unwrap_or(100);
            // SAFETY: ends the process; nothing of the copy of the parent's state is cleaned up, which is not the child's.
            unsafe { libc::_exit(code) }
        }
        child => child,
    }
}

/// The exit code of a child; `None` if it had to be killed, because it hung or died otherwise.
fn wait(child: i32) -> Option<i32> {
    let (start, mut status) = (Instant::now(), 0);
    let mut flags = libc::WNOHANG;
    loop {
        // SAFETY: `status` is a valid place for the result, and `child` a child of this process that nobody else waits for.
        match unsafe { libc::waitpid(child, &mut status, flags) } {
            0 if start.elapsed() < HANG / 4 => std::thread::sleep(Duration::from_millis(1)),
            0 => {
                // SAFETY: no memory is touched; the child has not been waited for, so the number is still its own.
                unsafe { libc::kill(child, libc::SIGKILL) };
                flags = 0;
            }
            _ => return libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)),
        }
    }
}

/// Address and process number that all containers believe to have.
const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 17, 0, 2));
const CONTAINED: u32 = 7;

/// A process of the test of ids: two threads make `each` of them, and a child that is forked meanwhile.
fn make_ids(out: &Path, each: usize, contained: bool) {
    let make = move |process: u32| -> Vec<u8> {
        let id = || match contained {
            true => unique_id_in(process, HOST),
            false => unique_id_of(HOST),
        };
        (0..each).flat_map(|_| u128::from_str_radix(&id(), 16).expect("32 digits").to_be_bytes()).collect()
    };
    let begun = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    begun.fetch_add(1, Ordering::SeqCst);
                    make(CONTAINED)
                })
            })
            .collect();
        while begun.load(Ordering::SeqCst) < 2 {
            std::thread::yield_now();
        }
        let forked = out.with_extension("forked");
        let child = fork(|| fs::write(&forked, make(CONTAINED + 1)).map_or(1, |()| 0));
        let ids: Vec<u8> = threads.into_iter().flat_map(|thread| thread.join().expect("ids")).collect();
        fs::write(out, ids).expect("ids are written");
        assert_eq!(wait(child), Some(0), "the forked child makes ids");
    });
}

fn ids_of_processes_threads_forks_and_containers_differ() {
    const PROCESSES: usize = 8;
    let total = if soak() { 10_000_000 } else { 240_000 };
    let each = total / PROCESSES / 3 + 1;
    let dir = tempfile::tempdir().unwrap();
    let processes: Vec<_> = (0..PROCESSES)
        .map(|number| {
            // Half of them know their own number, half live in containers where all have the same.
            let kind = if number % 2 == 0 { "process" } else { "container" };
            Command::new(std::env::current_exe().unwrap())
                .args(["--make-ids", kind, &each.to_string()])
                .arg(dir.path().join(number.to_string()))
                .spawn()
                .unwrap()
        })
        .collect();
    for mut process in processes {
        assert!(process.wait().unwrap().success());
    }
    let mut ids: Vec<u128> = Vec::with_capacity(PROCESSES * 3 * each);
    for entry in fs::read_dir(dir.path()).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        ids.extend(bytes.chunks_exact(16).map(|id| u128::from_be_bytes(id.try_into().unwrap())));
    }
    assert_eq!(ids.len(), PROCESSES * 3 * each);
    ids.sort_unstable();
    let before = ids.len();
    ids.dedup();
    assert_eq!(before - ids.len(), 0, "ids that are not unique");
    println!("{before} ids of {PROCESSES} processes, their threads and forks: none twice");
}

/// Commits everything.
struct Yes;

impl TransactionListener for Yes {
    fn execute(&self, _: &Message, _: &str) -> TransactionState {
        TransactionState::Commit
    }

    fn check(&self, _: &StoredMessage) -> TransactionState {
        TransactionState::Commit
    }
}

/// Everything that a program can have of one client, in use.
struct Client {
    instance: Instance,
    producer: Producer,
    transactions: TransactionProducer,
    push: PushConsumer,
    pull: Consumer,
    queue: MessageQueue,
    last: StoredMessage,
    consumed: Arc<AtomicUsize>,
}

fn consumer_options(group: &str) -> ConsumerOptions {
    ConsumerOptions { consume_from_where: StartFrom::First, ..ConsumerOptions::new(group) }
}

fn message() -> Message {
    Message::new("T", "x").with_key("k").unwrap()
}

impl Client {
    fn new(instance: Instance, name: &str) -> Client {
        let producer = instance.producer("P").unwrap();
        producer.send(&message()).unwrap();
        let queue = producer.queues("T").unwrap().remove(0);
        let transactions = instance.transaction_producer(ferromq::ProducerOptions::new("TP"), Yes).unwrap();
        let push = instance.push_consumer_with(consumer_options(&format!("push-{name}"))).unwrap();
        let consumed = Arc::new(AtomicUsize::new(0));
        let counted = consumed.clone();
        push.subscribe("T", "*").unwrap();
        push.listen(move |messages: &[StoredMessage], _: &ConsumeContext| {
            counted.fetch_add(messages.len(), Ordering::SeqCst);
            ConsumeStatus::Success
        })
        .unwrap();
        push.start().unwrap();
        let pull = instance.consumer_with(consumer_options(&format!("pull-{name}"))).unwrap();
        pull.subscribe("T", "*").unwrap();
        let start = Instant::now();
        let last = loop {
            assert!(start.elapsed() < HANG, "nothing to consume");
            if let Some(message) = pull.poll(Duration::from_millis(100)).unwrap().pop() {
                break message;
            }
        };
        Client { instance, producer, transactions, push, pull, queue, last, consumed }
    }
}

/// What one use of a client in a forked child came to: its error, if it was one.
type Use = (&'static str, fn(&Client) -> Option<ErrorKind>);

fn kind<T>(result: ferromq::Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

fn poll_once<T>(future: impl std::future::Future<Output = ferromq::Result<T>>) -> Option<ErrorKind> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => kind(result),
        Poll::Pending => None,
    }
}

/// What tells an error.
const REFUSED: &[Use] = &[
    ("send", |c| kind(c.producer.send(&message()))),
    ("send_oneway", |c| kind(c.producer.send_oneway(&message()))),
    ("send_batch", |c| kind(c.producer.send_batch(&[message(), message()]))),
    ("send_async", |c| poll_once(c.producer.send_async(&message()))),
    ("send_callback", |c| {
        let (told, results) = mpsc::channel();
        let done = move |sent| told.send(kind(sent)).expect("nobody listens");
        c.producer.send_callback(&message(), &ferromq::SendOptions::default(), done);
        results.try_recv().ok().flatten()
    }),
    ("send_batch_callback", |c| {
        let (told, results) = mpsc::channel();
        let done = move |sent| told.send(kind(sent)).expect("nobody listens");
        c.producer.send_batch_callback(&[message()], &ferromq::SendOptions::default(), done);
        results.try_recv().ok().flatten()
    }),
    ("producer.queues", |c| kind(c.producer.queues("T"))),
    ("request", |c| kind(c.producer.request(&message(), HANG))),
    ("request_async", |c| poll_once(c.producer.request_async(&message(), HANG))),
    ("request_callback", |c| {
        let (told, results) = mpsc::channel();
        let done = move |reply| told.send(kind(reply)).expect("nobody listens");
        c.producer.request_callback(&message(), HANG, done);
        results.try_recv().ok().flatten()
    }),
    ("transaction", |c| kind(c.transactions.send(&message()))),
    ("producer.close", |c| kind(c.producer.close())),
    ("transactions.close", |c| kind(c.transactions.close())),
    ("poll", |c| kind(c.pull.poll(HANG))),
    ("poll_async", |c| poll_once(c.pull.poll_async())),
    ("flush", |c| kind(c.pull.flush())),
    ("committed", |c| kind(c.pull.committed(&c.queue))),
    ("commit_queue", |c| kind(c.pull.commit_queue(&c.queue, 0))),
    ("assign", |c| kind(c.pull.assign(std::slice::from_ref(&c.queue)))),
    ("seek", |c| kind(c.pull.seek(&c.queue, 0))),
    ("seek_to_begin", |c| kind(c.pull.seek_to_begin(&c.queue))),
    ("seek_to_end", |c| kind(c.pull.seek_to_end(&c.queue))),
    ("seek_to_time", |c| kind(c.pull.seek_to_time(&c.queue, 0))),
    ("offset_for_time", |c| kind(c.pull.offset_for_time(&c.queue, 0))),
    ("topic_queues", |c| kind(c.pull.topic_queues("T"))),
    ("pull.start", |c| kind(c.pull.start())),
    ("pull.subscribe", |c| kind(c.pull.subscribe("U", "*"))),
    ("pull.close", |c| kind(c.pull.close())),
    ("push.subscribe", |c| kind(c.push.subscribe_to(Subscription::all("U")))),
    ("push.listen", |c| {
        kind(c.push.listen(|_: &[StoredMessage], _: &ConsumeContext| ConsumeStatus::Success))
    }),
    ("push.start", |c| kind(c.push.start())),
    ("push.close", |c| kind(c.push.close())),
    ("instance.producer", |c| kind(c.instance.producer("Q"))),
    ("instance.consumer", |c| kind(c.instance.consumer("H"))),
    ("instance.push_consumer", |c| kind(c.instance.push_consumer("H"))),
    ("create_topic", |c| kind(c.instance.create_topic("U", 1))),
    ("instance.queues", |c| kind(c.instance.queues("T"))),
    ("message_by_id", |c| kind(c.instance.message_by_id(&c.last.offset_id))),
    ("message_by_unique_key", |c| kind(c.instance.message_by_unique_key("T", c.last.message_id()))),
    ("messages_by_key", |c| kind(c.instance.messages_by_key("T", "k", 1, 0, i64::MAX))),
    ("min_offset", |c| kind(c.instance.min_offset(&c.queue))),
    ("max_offset", |c| kind(c.instance.max_offset(&c.queue))),
    ("search_offset", |c| kind(c.instance.search_offset(&c.queue, 0))),
    ("close", |c| kind(c.instance.close())),
];

/// A use that has no error to tell.
type Silent = (&'static str, fn(&Client));

/// What returns, having done nothing.
const SILENT: &[Silent] = &[
    ("commit", |c| c.pull.commit()),
    ("pause", |c| c.pull.pause(std::slice::from_ref(&c.queue))),
    ("resume", |c| c.pull.resume(std::slice::from_ref(&c.queue))),
    ("is_caught_up", |c| assert!(!c.pull.is_caught_up())),
    ("pull.queues", |c| drop(c.pull.queues())),
    ("pull.unsubscribe", |c| c.pull.unsubscribe("T")),
    ("suspend", |c| c.push.suspend()),
    ("push.resume", |c| c.push.resume()),
    ("update_threads", |c| c.push.update_threads(2)),
    ("push.queues", |c| drop(c.push.queues())),
    ("push.unsubscribe", |c| c.push.unsubscribe("T")),
    ("sends_in_flight", |c| assert_eq!(c.producer.sends_in_flight(), 0)),
    ("is_suspended", |c| assert!(!c.push.is_suspended())),
    ("names", |c| drop((c.instance.client_id().len(), c.instance.name_servers(), c.instance.listening()))),
];

/// The last use that was begun, for the parent to read when the child hangs.
fn begin(at: &Path, what: &str) {
    fs::write(at, what).expect("a note");
}

/// Everything in a child: 0 if it is refused or does nothing, and is dropped without harm.
fn in_a_child(clients: Vec<Client>, name_servers: &str, at: &Path) -> i32 {
    for client in &clients {
        for (what, used) in REFUSED {
            begin(at, what);
            if used(client) != Some(ErrorKind::Forked) {
                return 1;
            }
        }
        for (what, used) in SILENT {
            begin(at, what);
            used(client);
        }
    }
    begin(at, "dropping");
    drop(clients);
    begin(at, "a client of its own");
    let own = ferromq::connect(name_servers)
        .and_then(|own| own.producer("P")?.send(&message()).and_then(|_| own.close()));
    i32::from(own.is_err())
}

fn a_forked_child_is_refused_at_once_and_its_parent_goes_on() {
    let rounds = if soak() { 2000 } else { 40 };
    let dir = tempfile::tempdir().unwrap();
    let (data, at) = (dir.path().join("data"), dir.path().join("at"));
    let mut options = OpenOptions::directory(&data);
    options.listen = Some(Listen::on_free_ports());
    let embedded = ferromq::open_with(options).unwrap();
    let name_servers = format!("127.0.0.1:{}", embedded.listening().unwrap().0);
    let remote = ferromq::connect(&name_servers).unwrap();
    let mut clients = Some(vec![Client::new(embedded, "embedded"), Client::new(remote, "remote")]);
    let (stop, sent) = (AtomicBool::new(false), AtomicUsize::new(2));
    let producers: Vec<_> =
        clients.iter().flatten().map(|client| client.instance.producer("Busy").unwrap()).collect();
    std::thread::scope(|scope| {
        // Locks are taken and given back all the time.
        for producer in &producers {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    producer.send(&message()).expect("a send of the parent");
                    sent.fetch_add(1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_micros(200));
                }
            });
        }
        let ended = catch_unwind(AssertUnwindSafe(|| {
            for round in 0..rounds {
                // The child owns its copies, and so can drop them.
                let child = fork(|| in_a_child(clients.take().unwrap_or_default(), &name_servers, &at));
                let noted = || fs::read_to_string(&at).unwrap_or_default();
                assert_eq!(wait(child), Some(0), "round {round}, at `{}`", noted());
                sent.fetch_add(1, Ordering::SeqCst);
                let before = sent.load(Ordering::SeqCst);
                for client in clients.iter().flatten() {
                    client.producer.send(&message()).expect("the parent sends");
                    sent.fetch_add(1, Ordering::SeqCst);
                    eventually("the parent consumes", || client.consumed.load(Ordering::SeqCst) >= before);
                }
            }
        }));
        stop.store(true, Ordering::SeqCst);
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    let sent = sent.load(Ordering::SeqCst);
    let clients = clients.unwrap_or_default();
    for client in &clients {
        eventually("everything is consumed", || client.consumed.load(Ordering::SeqCst) >= sent);
        assert_eq!(client.consumed.load(Ordering::SeqCst), sent);
        client.pull.flush().unwrap();
    }
    for client in clients.iter().rev() {
        client.instance.close().unwrap();
    }
    println!("{rounds} forks, {sent} messages of the parent");
}

/// Tables of a broker and offsets of clients are saved every few seconds, and a fork may come in the midst of it.
fn a_child_saves_its_tables_whatever_its_parent_was_saving() {
    let dir = tempfile::tempdir().unwrap();
    let (parents, childs) = (dir.path().join("parent.json"), dir.path().join("child.json"));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                save(&parents, &[b' '; 100_000]).unwrap();
            }
        });
        let codes: Vec<_> = (0..10)
            .map(|_| {
                let child = fork(|| save(&childs, b"1").map_or(1, |()| 0));
                wait(child)
            })
            .collect();
        over.store(true, Ordering::Relaxed);
        assert_eq!(codes, [Some(0); 10]);
    });
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < HANG, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

const TESTS: &[(&str, fn())] = &[
    (
        "ids_of_processes_threads_forks_and_containers_differ",
        ids_of_processes_threads_forks_and_containers_differ,
    ),
    (
        "a_forked_child_is_refused_at_once_and_its_parent_goes_on",
        a_forked_child_is_refused_at_once_and_its_parent_goes_on,
    ),
    (
        "a_child_saves_its_tables_whatever_its_parent_was_saving",
        a_child_saves_its_tables_whatever_its_parent_was_saving,
    ),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, kind, each, out] = &args[..] {
        if flag == "--make-ids" {
            make_ids(&PathBuf::from(out), each.parse().expect("a count"), kind == "container");
            return ExitCode::SUCCESS;
        }
    }
    let filters: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let chosen =
        |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()));
    if args.iter().any(|arg| arg == "--list") {
        TESTS.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let mut failed = 0;
    for (name, test) in TESTS.iter().filter(|(name, _)| chosen(name)) {
        let passed = catch_unwind(test).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed += u8::from(!passed);
    }
    ExitCode::from(failed)
}
