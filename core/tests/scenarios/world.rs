//! Where scenarios play: a cluster, clients of it, and helpers to say what must become true.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use ferromq::{
    ClientOptions, ConsumeContext, ConsumeStatus, Consumer, ConsumerOptions, Instance, Message, MessageQueue,
    Producer, ProducerOptions, PushConsumer, Result, StoredMessage,
};

/// Nothing takes this long; what does has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a scenario listens for what must not come.
pub const SILENCE: Duration = Duration::from_millis(400);

/// What a cluster can do.
#[derive(Debug, Clone, Copy)]
pub struct Supports {
    /// Filters by SQL92.
    pub sql: bool,
    /// It tells that a group has no offset when asked not to answer 0 for it.
    pub no_offset: bool,
    /// It finds the first message at a time or later; others find one of its neighbours.
    pub exact_times: bool,
    /// Bodies that clients before 4.9.4 cannot read.
    pub all_compressions: bool,
}

/// Makes a client of the cluster with these options; where it is, is filled in.
pub type Open = dyn Fn(ClientOptions) -> Result<Instance> + Send + Sync;

/// A cluster, and how to reach it.
pub struct World {
    /// The client that scenarios use where one is enough.
    pub client: Box<dyn Fn() -> Instance + Send + Sync>,
    /// Makes a further client, which counts as a member of its own.
    pub open: Box<Open>,
    /// What the cluster can do.
    pub supports: Supports,
    /// Stops the cluster's servers and starts them again on the same addresses, if that can be done.
    pub restart: Option<Box<dyn Fn() + Send + Sync>>,
    /// Where broadcasting keeps its offsets.
    pub dir: PathBuf,
}

/// Options for clients of tests, which look often and wait long: the machine is shared.
pub fn quick() -> ClientOptions {
    let mut options = ClientOptions::default();
    for (key, value) in [
        ("pollNameServerInterval", "500"),
        ("heartbeatBrokerInterval", "500"),
        ("rebalanceInterval", "500"),
        ("persistConsumerOffsetInterval", "300"),
        ("mqClientApiTimeout", "20000"),
    ] {
        options.set(key, value).unwrap();
    }
    options
}

/// A world in which a scenario has names of its own.
pub struct Stage<'a> {
    pub world: &'a World,
    name: String,
    /// The client where one is enough.
    pub client: Instance,
}

impl<'a> Stage<'a> {
    /// For the scenario of that name.
    pub fn new(world: &'a World, scenario: &str) -> Stage<'a> {
        // Groups and topics of repeated runs against one cluster differ.
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let name = format!("{scenario}-{}", RUNS.fetch_add(1, Ordering::Relaxed));
        Stage { world, name, client: (world.client)() }
    }

    /// A name that no other scenario uses.
    pub fn name(&self, what: &str) -> String {
        format!("{}-{what}", self.name)
    }

    /// A further client.
    pub fn another(&self) -> Instance {
        (self.world.open)(quick()).unwrap()
    }

    /// A new topic, whose route is known.
    pub fn topic(&self, queues: usize) -> String {
        self.topic_named("T", queues)
    }

    pub fn topic_named(&self, what: &str, queues: usize) -> String {
        let topic = self.name(what);
        create_topic(&self.client, &topic, queues);
        topic
    }

    pub fn producer(&self) -> Producer {
        self.producer_with(&[])
    }

    /// With settings by Apache's keys.
    pub fn producer_with(&self, settings: &[(&str, &str)]) -> Producer {
        self.client.producer_with(producer_options(&self.name("P"), settings)).unwrap()
    }

    /// A consumer from the first message on, not started.
    pub fn push(&self, settings: &[(&str, &str)]) -> PushConsumer {
        self.push_at(&self.client, "G", settings)
    }

    pub fn push_at(&self, client: &Instance, group: &str, settings: &[(&str, &str)]) -> PushConsumer {
        client.push_consumer_with(self.consumer_options(group, settings)).unwrap()
    }

    /// A pull consumer from the first message on.
    pub fn pull(&self, settings: &[(&str, &str)]) -> Consumer {
        self.pull_at(&self.client, "G", settings)
    }

    pub fn pull_at(&self, client: &Instance, group: &str, settings: &[(&str, &str)]) -> Consumer {
        client.consumer_with(self.consumer_options(group, settings)).unwrap()
    }

    pub fn consumer_options(&self, group: &str, settings: &[(&str, &str)]) -> ConsumerOptions {
        let mut options = ConsumerOptions::new(self.name(group));
        let dir = self.world.dir.display().to_string();
        let usual = [
            ("consumeFromWhere", "CONSUME_FROM_FIRST_OFFSET"),
            ("consumeThreadMin", "4"),
            ("consumeThreadMax", "4"),
            ("offsetStoreDir", dir.as_str()),
        ];
        for (key, value) in usual.iter().chain(settings) {
            options.set(key, value).unwrap();
        }
        options
    }

    /// A running consumer of one topic, and what it gets.
    pub fn inbox(&self, topic: &str, expression: &str) -> (PushConsumer, Inbox) {
        self.inbox_at(&self.client, "G", topic, expression, &[])
    }

    pub fn inbox_at(
        &self,
        client: &Instance,
        group: &str,
        topic: &str,
        expression: &str,
        settings: &[(&str, &str)],
    ) -> (PushConsumer, Inbox) {
        let (consumer, inbox) = (self.push_at(client, group, settings), Inbox::default());
        consumer.subscribe(topic, expression).unwrap();
        inbox.listen(&consumer);
        consumer.start().unwrap();
        (consumer, inbox)
    }
}

pub fn producer_options(group: &str, settings: &[(&str, &str)]) -> ProducerOptions {
    let mut options = ProducerOptions::new(group);
    // The machine is shared.
    options.set("sendMsgTimeout", "20000").unwrap();
    for (key, value) in settings {
        options.set(key, value).unwrap();
    }
    options
}

/// Makes a topic and waits for its route. Apache's broker registers topics that change at the same time in any order and
/// may lose one for good; only a further change of the topic is registered again.
pub fn create_topic(client: &Instance, topic: &str, queues: usize) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut last = None;
    eventually(&format!("{topic} with {queues} queues"), || {
        if last.is_none_or(|last: Instant| last.elapsed() > Duration::from_secs(5)) {
            if last.is_some() && client.create_topic(topic, queues as i32 + 1).is_err() {
                return false;
            }
            // A broker that has just started may not be registered yet.
            if client.create_topic(topic, queues as i32).is_err() {
                return false;
            }
            last = Some(Instant::now());
        }
        client.queues(topic).is_ok_and(|found| found.len() == queues)
    });
}

/// Waits until it is true.
pub fn eventually(what: &str, holds: impl FnMut() -> bool) {
    assert!(within(PATIENCE, holds), "never: {what}");
}

/// Waits until it is true, or the time is over.
pub fn within(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    while !holds() {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

/// The body of message `number`.
pub fn body(number: usize) -> String {
    format!("message {number}")
}

/// Messages that can be told apart: bodies as [`body`], key `k-NUMBER`, a property `number`.
pub fn numbered(topic: &str, numbers: std::ops::Range<usize>) -> Vec<Message> {
    numbers
        .map(|number| {
            let message = Message::new(topic, body(number)).with_key(&format!("k-{number}")).unwrap();
            message.with_property("number", &number.to_string()).unwrap()
        })
        .collect()
}

/// The number of a message made by [`numbered`].
pub fn number(message: &StoredMessage) -> usize {
    let text = std::str::from_utf8(&message.body).expect("a text");
    text.strip_prefix("message ")
        .and_then(|n| n.parse().ok())
        .unwrap_or_else(|| panic!("not numbered: {text:?}"))
}

pub fn numbers(messages: &[StoredMessage]) -> BTreeSet<usize> {
    messages.iter().map(number).collect()
}

/// Sends each to queue (index mod queues).
pub fn spread(producer: &Producer, messages: &[Message]) {
    let mut queues = producer.queues(&messages[0].topic).unwrap();
    queues.sort();
    for (message, queue) in messages.iter().zip(queues.iter().cycle()) {
        let to = ferromq::SendOptions::default().with_queue(queue.clone());
        producer.send_with(message, &to).unwrap();
    }
}

/// Collects what listeners get.
#[derive(Clone, Default)]
pub struct Inbox {
    shared: Arc<(Mutex<Vec<StoredMessage>>, Condvar)>,
}

impl Inbox {
    /// Everything the consumer gets comes here and counts as consumed.
    pub fn listen(&self, consumer: &PushConsumer) {
        let inbox = self.clone();
        consumer
            .listen(move |messages: &[StoredMessage], _: &ConsumeContext| {
                inbox.add(messages);
                ConsumeStatus::Success
            })
            .unwrap();
    }

    pub fn add(&self, messages: &[StoredMessage]) {
        self.shared.0.lock().unwrap().extend_from_slice(messages);
        self.shared.1.notify_all();
    }

    pub fn all(&self) -> Vec<StoredMessage> {
        self.shared.0.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.shared.0.lock().unwrap().len()
    }

    /// Waits for so many.
    pub fn await_count(&self, count: usize) -> Vec<StoredMessage> {
        let inbox = self.shared.0.lock().unwrap();
        let wait = self.shared.1.wait_timeout_while(inbox, PATIENCE, |all| all.len() < count);
        let (inbox, timeout) = wait.unwrap();
        assert!(!timeout.timed_out(), "{} of {count} messages came", inbox.len());
        inbox.clone()
    }

    /// Exactly the messages of these numbers come, each once, and then nothing.
    pub fn expect(&self, expected: std::ops::Range<usize>) -> Vec<StoredMessage> {
        self.expect_set(&expected.collect())
    }

    pub fn expect_set(&self, expected: &BTreeSet<usize>) -> Vec<StoredMessage> {
        within(PATIENCE, || expected.is_subset(&numbers(&self.all())));
        std::thread::sleep(SILENCE);
        let all = self.all();
        assert_eq!(&numbers(&all), expected);
        assert_eq!(all.len(), expected.len(), "some came twice");
        all
    }
}

/// Polls until so many messages came.
pub fn take(consumer: &Consumer, count: usize) -> Vec<StoredMessage> {
    let (mut all, end) = (Vec::new(), Instant::now() + PATIENCE);
    while all.len() < count {
        assert!(Instant::now() < end, "{} of {count} messages came", all.len());
        all.extend(consumer.poll(Duration::from_millis(100)).unwrap());
    }
    all
}

/// Waits for a future, on this thread.
pub fn block_on<F: std::future::Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    let end = Instant::now() + PATIENCE;
    loop {
        if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        assert!(Instant::now() < end, "the future never ends");
        std::thread::park_timeout(Duration::from_secs(1));
    }
}

/// How many queues of the topic a consumer has.
pub fn held(consumer: &PushConsumer, topic: &str) -> usize {
    consumer.queues().iter().filter(|queue| queue.topic == topic).count()
}

/// The queues of a topic, in order.
pub fn queues(client: &Instance, topic: &str) -> Vec<MessageQueue> {
    let mut queues = client.queues(topic).unwrap();
    queues.sort();
    queues
}
