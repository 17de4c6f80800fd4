//! The producing half.

use super::{answer, client, event, why, Answer, Args};
use ferromq::{
    Instance, Message, Producer, ProducerOptions, SendOptions, Sent, StoredMessage, TransactionListener,
    TransactionProducer, TransactionState,
};
use ferromq_interop::member::{hex, unhex, Fields};
use std::time::{Duration, Instant};

/// A producer with its client.
pub struct Producing {
    instance: Instance,
    plain: Option<Producer>,
    transactional: Option<TransactionProducer>,
}

/// Decides as the request that made the producer says; `hang` never does.
struct Decisions {
    name: String,
    now: String,
    later: String,
}

fn state(word: &str) -> TransactionState {
    match word {
        "commit" => TransactionState::Commit,
        "rollback" => TransactionState::Rollback,
        "unknown" => TransactionState::Unknown,
        _ => loop {
            std::thread::park();
        },
    }
}

impl TransactionListener for Decisions {
    fn execute(&self, message: &Message, _: &str) -> TransactionState {
        event("execute", &answer([("name", self.name.clone()), ("hex", hex(&message.body))]));
        state(&self.now)
    }

    fn check(&self, message: &StoredMessage) -> TransactionState {
        let id = message.message_id().to_owned();
        event("check", &answer([("name", self.name.clone()), ("hex", hex(&message.body)), ("id", id)]));
        state(&self.later)
    }
}

impl Producing {
    pub fn start(args: &Args) -> Result<Producing, String> {
        let instance = client(args)?;
        let mut options = ProducerOptions::new(args.get("group")?);
        let mut set = |key: &str, value: &str| options.set(key, value).map_err(why);
        set("sendMsgTimeout", args.find("timeout").unwrap_or("20000"))?;
        set("compressMsgBodyOverHowmuch", args.find("over").unwrap_or("67108864"))?;
        if let Some(kind) = args.find("compress") {
            set("compressType", kind)?;
        }
        if args.find("trace").is_some() {
            set("enableMsgTrace", "true")?;
        }
        let Some(now) = args.find("transaction") else {
            let plain = Some(instance.producer_with(options).map_err(why)?);
            return Ok(Producing { instance, plain, transactional: None });
        };
        let later = args.find("check").unwrap_or("unknown").to_owned();
        let decisions = Decisions { name: args.get("name")?.to_owned(), now: now.to_owned(), later };
        let transactional = Some(instance.transaction_producer(options, decisions).map_err(why)?);
        Ok(Producing { instance, plain: None, transactional })
    }

    pub fn client_id(&self) -> String {
        self.instance.client_id().to_owned()
    }

    pub fn close(&self) -> Result<(), String> {
        self.instance.close().map_err(why)
    }

    fn producer(&self) -> Result<&Producer, String> {
        match (&self.plain, &self.transactional) {
            (Some(plain), _) => Ok(plain),
            (_, Some(transactional)) => Ok(transactional.producer()),
            _ => Err("no producer".to_owned()),
        }
    }

    pub fn run(&self, verb: &str, args: &Args) -> Answer {
        match verb {
            "topic" => self.topic(args),
            "send" => self.send(args),
            "batch" => {
                let bodies = args.get("hex")?.split(',');
                let all: Result<Vec<Message>, String> = bodies.map(|body| message(args, body)).collect();
                self.producer()?.send_batch(&all?).map(|sent| told(&sent)).map_err(why)
            }
            "transact" => {
                let producer = self.transactional.as_ref().ok_or("not a producer of transactions")?;
                let result = producer.send(&message(args, args.get("hex")?)?).map_err(why)?;
                let mut told = told(&result.sent);
                told.insert("state".into(), format!("{:?}", result.state));
                Ok(told)
            }
            "request" => {
                let patience = Duration::from_millis(args.number("timeout", 10_000)?);
                let reply =
                    self.producer()?.request(&message(args, args.get("hex")?)?, patience).map_err(why)?;
                let mut told = answer([("hex", hex(&reply.body))]);
                told.extend(reply.properties.iter().map(|(k, v)| (format!("p.{k}"), v.to_owned())));
                Ok(told)
            }
            other => Err(format!("no verb {other}")),
        }
    }

    /// Makes a topic and waits for its route, as the Java program does.
    fn topic(&self, args: &Args) -> Answer {
        let (topic, queues) = (args.get("topic")?, args.number("queues", 4)?);
        let end = Instant::now() + Duration::from_secs(30);
        for attempt in 0.. {
            if attempt % 40 == 0 {
                if attempt > 0 {
                    self.instance.create_topic(topic, queues as i32 + 1).map_err(why)?;
                }
                self.instance.create_topic(topic, queues as i32).map_err(why)?;
            }
            if self.instance.queues(topic).is_ok_and(|found| found.len() == queues) || Instant::now() > end {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(Fields::new())
    }

    fn send(&self, args: &Args) -> Answer {
        let (producer, message) = (self.producer()?, message(args, args.get("hex")?)?);
        let mut options = SendOptions::default();
        if let Some(key) = args.find("sharding") {
            options = options.with_sharding_key(key);
        }
        if args.find("queue").is_some() {
            let wanted: i32 = args.number("queue", 0)?;
            let mut queues = producer.queues(&message.topic).map_err(why)?.into_iter();
            options = options.with_queue(queues.find(|q| q.queue_id == wanted).ok_or("no such queue")?);
        }
        match args.find("mode") {
            Some("oneway") => producer.send_oneway(&message).map(|()| Fields::new()).map_err(why),
            Some("async") => {
                let (to, from) = std::sync::mpsc::channel();
                producer.send_callback(&message, &options, move |result| {
                    let _ = to.send(result);
                });
                let result = from.recv_timeout(Duration::from_secs(20)).map_err(why)?;
                result.map(|sent| told(&sent)).map_err(why)
            }
            _ => producer.send_with(&message, &options).map(|sent| told(&sent)).map_err(why),
        }
    }
}

fn message(args: &Args, body: &str) -> Result<Message, String> {
    let mut message = Message::new(args.get("topic")?, unhex(body)).with_flag(args.number("flag", 0)?);
    if let Some(tag) = args.find("tag") {
        message = message.with_tag(tag).map_err(why)?;
    }
    for key in args.find("keys").unwrap_or("").split_whitespace() {
        message = message.with_key(key).map_err(why)?;
    }
    if let Some(key) = args.find("sharding") {
        message = message.with_sharding_key(key).map_err(why)?;
    }
    for (name, value) in &args.0 {
        if let Some(name) = name.strip_prefix("p.") {
            message = message.with_property(name, value).map_err(why)?;
        }
    }
    if args.find("delay").is_some() {
        message = message.with_delay_level(args.number("delay", 0)?).map_err(why)?;
    }
    Ok(message)
}

fn told(sent: &Sent) -> Fields {
    answer([
        ("status", sent.status.name().to_owned()),
        ("id", sent.message_id.clone()),
        ("offsetid", sent.offset_id.clone()),
        ("broker", sent.queue.broker_name.clone()),
        ("queue", sent.queue.queue_id.to_string()),
        ("offset", sent.queue_offset.to_string()),
    ])
}
