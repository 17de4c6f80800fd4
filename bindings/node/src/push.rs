//! The push consumer's calls, and its listener's way to JavaScript and back.

use std::sync::Arc;
use std::time::Duration;

use ferromq::{ConsumeContext, ConsumeStatus, OrderlyContext, OrderlyStatus, Result, StoredMessage};
use napi_derive::napi;

use crate::error::{guard, invalid};
use crate::message::{pack, queue_json, queues_json};
use crate::options::{limit, subscription};
use crate::reports::{Answer, Payload, Shared};

/// The answer that all is consumed.
const SUCCESS: u32 = 0;

/// Calls a listener; `lib/push.cjs` has what programs see of it.
#[napi]
pub struct PushConsumer {
    consumer: Arc<ferromq::PushConsumer>,
    reports: Arc<Shared>,
}

impl Drop for PushConsumer {
    fn drop(&mut self) {
        // The end waits for listeners, which need the thread that drops this.
        self.reports.drop_elsewhere(self.consumer.clone());
    }
}

/// Calls the listener with this number and waits for what it says; `None` if nobody will.
fn ask(
    reports: &Shared,
    listener: u32,
    messages: &[StoredMessage],
    queue: &ferromq::MessageQueue,
) -> Option<Answer> {
    let mut payload = pack(messages);
    let text = payload.text.unwrap_or_default();
    payload.text = Some(format!("{}\n{text}", queue_json(queue)));
    reports.ask(listener, payload)
}

fn consume(
    reports: &Shared,
    listener: u32,
    messages: &[StoredMessage],
    context: &ConsumeContext,
) -> ConsumeStatus {
    let Some(answer) = ask(reports, listener, messages, context.queue()) else { return ConsumeStatus::Later };
    let [ack_index, delay_level] = answer.wishes;
    if let Some(index) = ack_index.and_then(|index| usize::try_from(index).ok()) {
        context.set_ack_index(index);
    }
    if let Some(level) = delay_level.and_then(|level| i32::try_from(level).ok()) {
        context.set_delay_level(level);
    }
    match answer.status {
        SUCCESS => ConsumeStatus::Success,
        _ => ConsumeStatus::Later,
    }
}

fn consume_orderly(
    reports: &Shared,
    listener: u32,
    messages: &[StoredMessage],
    context: &OrderlyContext,
) -> OrderlyStatus {
    let answer = ask(reports, listener, messages, context.queue());
    let Some(answer) = answer else { return OrderlyStatus::SuspendCurrentQueue };
    if let Some(ms) = answer.wishes[0].and_then(|ms| u64::try_from(ms).ok()) {
        context.set_suspend_time(Duration::from_millis(ms));
    }
    match answer.status {
        SUCCESS => OrderlyStatus::Success,
        _ => OrderlyStatus::SuspendCurrentQueue,
    }
}

#[napi]
impl PushConsumer {
    pub(crate) fn of(consumer: ferromq::PushConsumer, reports: Arc<Shared>) -> PushConsumer {
        let consumer = Arc::new(consumer);
        reports.remember_consumer(&consumer);
        PushConsumer { consumer, reports }
    }

    /// The group.
    #[napi(getter)]
    pub fn group(&self) -> String {
        self.consumer.group().to_owned()
    }

    fn run(
        &self,
        id: u32,
        operation: &'static str,
        call: impl FnOnce(&ferromq::PushConsumer) -> Result<Payload> + Send + 'static,
    ) -> napi::Result<()> {
        let consumer = self.consumer.clone();
        guard(operation, || self.reports.run(id, operation, move || call(&consumer)))
    }

    /// Consumes a topic; does not wait before the start.
    #[napi]
    pub fn subscribe(&self, topic: String, expression: String, sql: bool) -> napi::Result<()> {
        guard("subscribe", || self.consumer.subscribe_to(subscription(&topic, &expression, sql)?))
    }

    /// As `subscribe`, once it has started; reported.
    #[napi]
    pub fn subscribe_later(&self, id: u32, topic: String, expression: String, sql: bool) -> napi::Result<()> {
        self.run(id, "subscribe", move |consumer| {
            consumer.subscribe_to(subscription(&topic, &expression, sql)?).map(|()| Payload::default())
        })
    }

    /// Does not consume a topic any more.
    #[napi]
    pub fn unsubscribe(&self, topic: String) {
        self.consumer.unsubscribe(&topic);
    }

    /// The listener, under a number: `concurrently` with batches, `one` with single messages, or `orderly`.
    #[napi]
    pub fn listen(&self, listener: u32, how: String) -> napi::Result<()> {
        let reports = self.reports.clone();
        guard("set listener", || match how.as_str() {
            "concurrently" => {
                self.consumer.listen(move |messages, context| consume(&reports, listener, messages, context))
            }
            "one" => self.consumer.listen_one(move |message, context| {
                let messages = std::slice::from_ref(message);
                match consume(&reports, listener, messages, context) {
                    ConsumeStatus::Success => ferromq::Action::Commit,
                    ConsumeStatus::Later => ferromq::Action::Later,
                }
            }),
            "orderly" => self.consumer.listen_orderly(move |messages, context| {
                consume_orderly(&reports, listener, messages, context)
            }),
            other => Err(invalid("set listener", format!("{other:?} is no way to listen"))),
        })
    }

    /// Joins the group and begins to consume; reported.
    #[napi]
    pub fn start(&self, id: u32) -> napi::Result<()> {
        self.run(id, "start consumer", |consumer| consumer.start().map(|()| Payload::default()))
    }

    /// Pauses, or ends a pause.
    #[napi]
    pub fn suspend(&self, resume: bool) {
        match resume {
            true => self.consumer.resume(),
            false => self.consumer.suspend(),
        }
    }

    /// Whether it was paused.
    #[napi(getter)]
    pub fn is_suspended(&self) -> bool {
        self.consumer.is_suspended()
    }

    /// Changes how many calls of the listener run at a time.
    #[napi]
    pub fn update_threads(&self, count: u32) {
        self.consumer.update_threads(count as usize);
    }

    /// The queues that are this consumer's, as JSON.
    #[napi]
    pub fn queues(&self) -> String {
        queues_json(&self.consumer.queues()).text.unwrap_or_default()
    }

    /// Ends it, within a number of ms if one is given; reported.
    #[napi]
    pub fn close(&self, id: u32, within: Option<f64>, ask: Option<u32>) -> napi::Result<()> {
        let consumer = self.consumer.clone();
        let close = move || {
            match within {
                Some(ms) => consumer.close_within(limit(ms))?,
                None => consumer.close()?,
            }
            Ok(Payload::default())
        };
        guard("close", || self.reports.run_within(ask, id, "close", close))
    }
}
