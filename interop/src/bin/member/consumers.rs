//! The consuming half.

use super::{answer, client, event, why, Answer, Args};
use ferromq::{
    ConsumeContext, ConsumeStatus, ConsumerOptions, Instance, OrderlyContext, OrderlyStatus, Producer,
    PushConsumer, StoredMessage, Subscription,
};
use ferromq_interop::member::hex;
use std::time::Duration;

/// A consumer with its client.
pub struct Consuming {
    instance: Instance,
    consumer: PushConsumer,
}

/// What the listener does with a message, besides telling of it.
struct Manner {
    name: String,
    /// Fails until a message came so often.
    fail: i32,
    slow: Duration,
    /// Answers requests with this before their bodies.
    answer: Option<(String, Producer)>,
}

impl Consuming {
    pub fn start(args: &Args) -> Result<Consuming, String> {
        let instance = client(args)?;
        let mut options = ConsumerOptions::new(args.get("group")?);
        let mut set = |key: &str, value: &str| options.set(key, value).map_err(why);
        set("consumeFromWhere", "CONSUME_FROM_FIRST_OFFSET")?;
        set("consumeThreadMin", "2")?;
        set("allocateMessageQueueStrategy", args.find("strategy").unwrap_or("AVG"))?;
        set("consumeridcs", "r1")?;
        set("maxReconsumeTimes", args.find("retries").unwrap_or("-1"))?;
        if let Some(model) = args.find("model") {
            set("messageModel", model)?;
        }
        if args.find("trace").is_some() {
            set("enableMsgTrace", "true")?;
        }
        let consumer = instance.push_consumer_with(options).map_err(why)?;
        let topic = args.get("topic")?;
        let subscription = match args.find("sql") {
            Some(expression) => Subscription::sql(topic, expression),
            None => Subscription::tags(topic, args.find("expr").unwrap_or("*")),
        };
        consumer.subscribe_to(subscription.map_err(why)?).map_err(why)?;
        listen(&consumer, args, &instance)?;
        consumer.start().map_err(why)?;
        Ok(Consuming { instance, consumer })
    }

    pub fn client_id(&self) -> String {
        self.instance.client_id().to_owned()
    }

    pub fn close(&self) -> Result<(), String> {
        self.consumer.close().map_err(why)?;
        self.instance.close().map_err(why)
    }

    /// The queues of the topic that it holds now.
    pub fn assigned(&self, args: &Args) -> Answer {
        let topic = args.get("topic")?;
        let mut queues = self.consumer.queues();
        queues.retain(|queue| queue.topic == topic);
        let names: Vec<String> = queues.iter().map(|q| format!("{}:{}", q.broker_name, q.queue_id)).collect();
        Ok(answer([("queues", names.join(","))]))
    }
}

fn listen(consumer: &PushConsumer, args: &Args, instance: &Instance) -> Result<(), String> {
    let answer = match args.find("answer") {
        Some(text) => {
            let producer = instance.producer(&format!("{}-answers", args.get("group")?)).map_err(why)?;
            Some((text.to_owned(), producer))
        }
        None => None,
    };
    let slow = Duration::from_millis(args.number("slow", 0)?);
    let manner = Manner { name: args.get("name")?.to_owned(), fail: args.number("fail", 0)?, slow, answer };
    if args.find("orderly").is_some() {
        let listener = move |messages: &[StoredMessage], _: &OrderlyContext| {
            messages.iter().for_each(|message| told(&manner.name, message));
            std::thread::sleep(manner.slow);
            OrderlyStatus::Success
        };
        return consumer.listen_orderly(listener).map_err(why);
    }
    let listener = move |messages: &[StoredMessage], _: &ConsumeContext| {
        messages.iter().for_each(|message| told(&manner.name, message));
        std::thread::sleep(manner.slow);
        if let Some((text, producer)) = &manner.answer {
            let body = [text.as_bytes(), &messages[0].body].concat();
            if let Err(error) = producer.reply(&messages[0], body) {
                eprintln!("no reply: {error}");
            }
        }
        match messages[0].reconsume_times < manner.fail {
            true => ConsumeStatus::Later,
            false => ConsumeStatus::Success,
        }
    };
    consumer.listen(listener).map_err(why)
}

fn told(name: &str, message: &StoredMessage) {
    let mut told = answer([
        ("name", name.to_owned()),
        ("topic", message.topic.to_string()),
        ("hex", hex(&message.body)),
        ("queue", message.queue_id.to_string()),
        ("offset", message.queue_offset.to_string()),
        ("times", message.reconsume_times.to_string()),
        ("id", message.message_id().to_owned()),
        ("flag", message.flag.to_string()),
        ("broker", message.broker_name.to_string()),
        ("log", message.physical_offset.to_string()),
        ("sysflag", message.sys_flag.to_string()),
        ("offsetid", message.offset_id.clone()),
        ("born", message.born_timestamp.to_string()),
        ("bornhost", message.born_host.to_string()),
        ("stored", message.store_timestamp.to_string()),
    ]);
    told.extend(message.tag().map(|tag| ("tag".to_owned(), tag.to_owned())));
    let keys: Vec<&str> = message.keys().collect();
    told.extend((!keys.is_empty()).then(|| ("keys".to_owned(), keys.join(" "))));
    told.extend(message.properties.iter().map(|(key, value)| (format!("p.{key}"), value.to_owned())));
    event("got", &told);
}
