//! The program's own log as messages: a layer for `tracing` that sends each record to a topic, from where the logs of many
//! programs can be collected. Logging must never stop the program: what cannot be sent in time is dropped, and counted.

use std::fmt::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use ferromq::{
    Consumer, ConsumerOptions, Instance, Message, Producer, ProducerOptions, SendOptions, StartFrom,
};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::{text, Failure, PATIENCE};

/// Records that are on their way at most; further ones are dropped.
const MOST_UNDER_WAY: usize = 1_000;

/// Sends log records: the body is the line, the tag the level, and the properties `target` and `thread` say where it was
/// written.
pub struct LogAppender {
    producer: Arc<Producer>,
    topic: String,
    dropped: Arc<AtomicUsize>,
}

impl LogAppender {
    /// A layer that sends to this topic.
    pub fn new(mq: &Instance, group: &str, topic: &str) -> ferromq::Result<LogAppender> {
        let options = ProducerOptions {
            back_pressure_for_async_send_num: MOST_UNDER_WAY * 2,
            ..ProducerOptions::new(group)
        };
        let producer = Arc::new(mq.producer_with(options)?);
        Ok(LogAppender { producer, topic: topic.into(), dropped: Arc::default() })
    }

    /// Counts the records that were not sent.
    pub fn dropped(&self) -> Arc<AtomicUsize> {
        self.dropped.clone()
    }

    fn message(&self, event: &Event<'_>) -> ferromq::Result<Message> {
        let mut line = Line::default();
        event.record(&mut line);
        let target = event.metadata().target();
        let body = format!("{target}: {}{}", line.message, line.fields);
        let message = Message::new(&self.topic, body).with_tag(event.metadata().level().as_str())?;
        let message = message.with_property("target", target)?;
        match std::thread::current().name() {
            Some(thread) => message.with_property("thread", thread),
            None => Ok(message),
        }
    }
}

impl<S: Subscriber> Layer<S> for LogAppender {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        // What the library itself says about these sends would be sent again, and so on.
        if event.metadata().target().starts_with("ferromq::") {
            return;
        }
        let message = match self.message(event) {
            Ok(message) if self.producer.sends_in_flight() < MOST_UNDER_WAY => message,
            _ => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                return;
            }
        };
        let dropped = self.dropped.clone();
        self.producer.send_callback(&message, &SendOptions::default(), move |result| {
            dropped.fetch_add(usize::from(result.is_err()), Ordering::Relaxed);
        });
    }
}

/// The text of a record, and its fields behind it.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let written = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
        debug_assert!(written.is_ok(), "a string takes what is written");
    }
}

/// Logs five records, and returns those of a warning or worse as a collector gets them.
pub fn run(mq: &Instance) -> Result<Vec<String>, Failure> {
    mq.create_topic("Logs", 1)?;
    let appender = LogAppender::new(mq, "log-appenders", "Logs")?;
    let (producer, dropped) = (appender.producer.clone(), appender.dropped());
    // A program sets it for good: `tracing_subscriber::registry().with(appender).init()`.
    tracing::subscriber::with_default(tracing_subscriber::registry().with(appender), || {
        tracing::info!("the shop opens");
        tracing::warn!(order = 7, customer = "ann", "paid twice");
        tracing::debug!("nobody wants to know");
        tracing::error!(stock = 0, "sold out");
        tracing::info!("the shop closes");
    });
    // All that is under way is sent.
    producer.close()?;

    let options =
        ConsumerOptions { consume_from_where: StartFrom::First, ..ConsumerOptions::new("log-collectors") };
    let collector: Consumer = mq.consumer_with(options)?;
    collector.subscribe("Logs", "WARN || ERROR")?;
    let mut lines = Vec::new();
    while lines.len() < 2 {
        let messages = collector.poll(PATIENCE)?;
        if messages.is_empty() {
            return Err(format!(
                "{} records came, {} were dropped",
                lines.len(),
                dropped.load(Ordering::Relaxed)
            )
            .into());
        }
        for message in messages {
            println!("{} {}", message.tag().unwrap_or_default(), text(&message));
            lines.push(format!("{} {}", message.tag().unwrap_or_default(), text(&message)));
        }
    }
    collector.close()?;
    Ok(lines)
}
