//! A store with transactions and delayed messages that wait goes from broker to broker: ours, Apache's, ours again. Each
//! asks for what is undecided, and for nothing else, and delivers what is due.

use crate::Run;
use ferromq::{
    ConsumeContext, ConsumeStatus, ConsumerOptions, Instance, Message, ProducerOptions, StoredMessage,
    TransactionListener, TransactionProducer, TransactionState,
};
use ferromq_interop::java::Line;
use ferromq_interop::process::{free_port, Process};
use ferromq_interop::server::{set, settings, start_broker, start_namesrv, Maker, Settings};
use ferromq_interop::Outcome;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(90);
/// Brokers that the store visits, with ours before and after.
const GUESTS: [(&str, Line); 2] = [("apache-5.3.3", Line::V53), ("apache-4.9.4", Line::V49)];

/// One case for each of Apache's brokers.
pub fn run(run: &Run) {
    for (name, line) in GUESTS {
        let case = format!("travels/{name}");
        if run.maker == Maker::Ours && run.report.matches(&case) {
            run.report.case(&case, || travels(run, name, line));
        }
    }
}

/// Decides by the body now; asked later, commits, and notes what was asked for.
#[derive(Clone, Default)]
struct Decider {
    asked: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl TransactionListener for Decider {
    fn execute(&self, message: &Message, _: &str) -> TransactionState {
        match &message.body {
            body if body.starts_with(b"commit") => TransactionState::Commit,
            body if body.starts_with(b"rollback") => TransactionState::Rollback,
            _ => TransactionState::Unknown,
        }
    }

    fn check(&self, message: &StoredMessage) -> TransactionState {
        *self.asked.lock().expect("asked").entry(text(message)).or_default() += 1;
        TransactionState::Commit
    }
}

fn text(message: &StoredMessage) -> String {
    String::from_utf8_lossy(&message.body).into_owned()
}

/// A broker on the store, with a name server and a client of its own.
struct Stay {
    broker: Process,
    _namesrv: Process,
    client: Instance,
    producer: TransactionProducer,
    decider: Decider,
}

fn conf(asks: bool, level_18: &str) -> Settings {
    let mut all = settings(level_18);
    set(&mut all, "transactionTimeOut", "1000");
    // Rounds further apart than the time that 5.x keeps decisions before it writes them: it would ask again.
    set(&mut all, "transactionCheckInterval", if asks { "6000" } else { "3600000" });
    all
}

fn wrong(what: &str) -> impl Fn(ferromq::Error) -> String + '_ {
    move |error| format!("{what}: {error}")
}

fn stay(run: &Run, name: &str, maker: Maker, store: &std::path::Path, settings: &Settings) -> Outcome<Stay> {
    let port = free_port()?;
    let ns = format!("127.0.0.1:{port}");
    let namesrv = start_namesrv(&run.place, Maker::Apache(Line::V53), name, port)?;
    let broker = start_broker(&run.place, maker, name, free_port()?, &ns, store, settings)?;
    let client = ferromq::connect(&ns).map_err(wrong("connect"))?;
    let start = Instant::now();
    // Brokers answer before a name server that is slow has the route; the default topic's has more queues.
    let queues = || client.queues("Pending").map_or(0, |queues| queues.len());
    while client.create_topic("Pending", 2).is_err() || queues() != 2 {
        if start.elapsed() > PATIENCE {
            return Err(format!("no topic at {name}"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let decider = Decider::default();
    let mut options = ProducerOptions::new("pending-group");
    options.set("sendMsgTimeout", "20000").map_err(wrong("options"))?;
    let producer = client.transaction_producer(options, decider.clone()).map_err(wrong("producer"))?;
    Ok(Stay { broker, _namesrv: namesrv, client, producer, decider })
}

impl Stay {
    fn send(&self, bodies: &[&str]) -> Outcome {
        for body in bodies {
            let message =
                Message::new("Pending", body.to_string()).with_tag("A").and_then(|m| m.with_key(body));
            let sent = self.producer.send(&message.map_err(wrong("message"))?);
            sent.map_err(wrong("send in a transaction"))?;
        }
        Ok(())
    }

    /// How often each message is in the topic, once all of `expected` are there, and some time later.
    fn holds(&self, expected: &[&str]) -> Outcome {
        let inbox: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
        let mut options = ConsumerOptions::new(format!("reads-{}", expected.len()));
        options.set("consumeFromWhere", "CONSUME_FROM_FIRST_OFFSET").map_err(wrong("options"))?;
        let consumer = self.client.push_consumer_with(options).map_err(wrong("consumer"))?;
        consumer.subscribe("Pending", "A").map_err(wrong("subscribe"))?;
        let seen = inbox.clone();
        let listen = consumer.listen(move |messages: &[StoredMessage], _: &ConsumeContext| {
            for message in messages {
                *seen.lock().expect("inbox").entry(text(message)).or_default() += 1;
            }
            ConsumeStatus::Success
        });
        listen.map_err(wrong("listen"))?;
        consumer.start().map_err(wrong("start"))?;
        let start = Instant::now();
        while inbox.lock().expect("inbox").len() < expected.len() && start.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(50));
        }
        // Another round, for what must not come.
        std::thread::sleep(Duration::from_secs(8));
        consumer.close().map_err(wrong("close"))?;
        let wanted: BTreeMap<String, usize> = expected.iter().map(|body| (body.to_string(), 1)).collect();
        let found = inbox.lock().expect("inbox").clone();
        match found == wanted {
            true => Ok(()),
            false => Err(format!("the topic should hold {wanted:?}, it holds {found:?}")),
        }
    }

    /// What was asked for; twice if a decision took longer than a round.
    fn asked(&self, expected: &[&str]) -> Outcome {
        let wanted: BTreeSet<String> = expected.iter().map(|body| body.to_string()).collect();
        let asked: BTreeSet<String> = self.decider.asked.lock().expect("asked").keys().cloned().collect();
        match asked == wanted {
            true => Ok(()),
            false => Err(format!("the broker should ask for {wanted:?}, it asked for {asked:?}")),
        }
    }

    fn leave(self) -> Outcome {
        self.client.close().map_err(wrong("close"))?;
        self.broker.terminate(PATIENCE).map(|_| ())
    }
}

fn travels(run: &Run, name: &str, line: Line) -> Outcome {
    let store: PathBuf = run.place.dir().join(format!("travels-{name}"));
    let first = stay(run, &format!("{name}-before"), Maker::Ours, &store, &conf(false, "2h"))?;
    first.send(&["open-1", "commit-1", "rollback-1", "open-2", "commit-2", "open-3", "rollback-2"])?;
    let later = Message::new("Pending", "delayed").with_tag("A").and_then(|m| m.with_delay_level(18));
    let plain = first.client.producer("plain").map_err(wrong("producer"))?;
    plain.send(&later.map_err(wrong("message"))?).map_err(wrong("send"))?;
    // Decisions are on their way.
    first.holds(&["commit-1", "commit-2"])?;
    first.leave()?;

    let guest = stay(run, name, Maker::Apache(line), &store, &conf(true, "1s"))?;
    let mut all = vec!["commit-1", "commit-2", "delayed", "open-1", "open-2", "open-3"];
    guest.holds(&all)?;
    guest.asked(&["open-1", "open-2", "open-3"])?;
    guest.leave()?;

    let quiet = stay(run, &format!("{name}-quiet"), Maker::Apache(line), &store, &conf(false, "1s"))?;
    quiet.send(&["commit-3", "open-4", "rollback-3", "open-5", "commit-4"])?;
    all.extend(["commit-3", "commit-4"]);
    quiet.holds(&all)?;
    // 5.x keeps decisions for three seconds before it writes them.
    std::thread::sleep(Duration::from_secs(4));
    quiet.leave()?;

    let last = stay(run, &format!("{name}-after"), Maker::Ours, &store, &conf(true, "1s"))?;
    all.extend(["open-4", "open-5"]);
    last.holds(&all)?;
    last.asked(&["open-4", "open-5"])?;
    last.leave()
}
