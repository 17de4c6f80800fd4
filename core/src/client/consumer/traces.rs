//! Traces of consumption: one record before each call of a listener and one after it for each message (protocol
//! reference, section 11).

use std::sync::OnceLock;
use std::time::Duration;

use super::concurrent::Outcome as Ended;
use super::Shared;
use crate::client::trace::{Outcome, TraceEvent};
use crate::client::tracer::Tracer;
use crate::client::{Cluster, Producer};
use crate::config::{ConsumerOptions, ProducerOptions};
use crate::message::{property, unique_id, StoredMessage};

/// The region of messages that do not name one.
const DEFAULT_REGION: &str = "DefaultRegion";

/// What records the calls of a consumer's listener, if the options want it.
pub(super) fn tracer(cluster: &std::sync::Arc<Cluster>, options: &ConsumerOptions) -> Option<Tracer> {
    if !options.enable_msg_trace {
        return None;
    }
    let topic = options.customized_trace_topic.clone();
    let group = options.consumer_group.as_deref().unwrap_or_default();
    let settings = ProducerOptions {
        producer_group: format!("_INNER_TRACE_PRODUCER-{group}-CONSUME-{topic}"),
        ..ProducerOptions::default()
    };
    let (cluster, producer) = (cluster.clone(), OnceLock::<Producer>::new());
    Some(Tracer::new(topic, move |message| {
        let producer = match producer.get() {
            Some(producer) => producer,
            None => {
                let made = Producer::new(&cluster, settings.clone())?;
                producer.get_or_init(|| made)
            }
        };
        producer.send(message).map(drop)
    }))
}

/// A call of a listener that is being recorded.
pub(super) struct Traced {
    request_id: String,
}

fn is_traced(message: &&StoredMessage) -> bool {
    message.properties.get(property::TRACE_ON) != Some("false")
}

fn keys(message: &StoredMessage) -> Option<String> {
    message.properties.get(property::KEYS).map(str::to_owned)
}

impl Shared {
    /// Records that a listener is about to be called; `None` if nothing is recorded.
    pub(super) fn trace_before(&self, messages: &[StoredMessage]) -> Option<Traced> {
        let tracer = self.tracer.as_ref()?;
        let (request_id, time) = (unique_id(), self.cluster.now_ms());
        for message in messages.iter().filter(is_traced) {
            let region = message.properties.get(property::MSG_REGION).unwrap_or(DEFAULT_REGION);
            tracer.record(TraceEvent::Consuming {
                time,
                region: region.to_owned(),
                group: self.own_group().to_owned(),
                request_id: request_id.clone(),
                message_id: message.message_id().to_owned(),
                retries: message.reconsume_times,
                keys: keys(message),
            });
        }
        Some(Traced { request_id })
    }

    /// Records how the call ended.
    pub(super) fn trace_after<S>(
        &self,
        traced: Option<Traced>,
        messages: &[StoredMessage],
        ended: &Ended<S>,
        is_consumed: bool,
        took: Duration,
    ) {
        let (Some(traced), Some(tracer)) = (traced, self.tracer.as_ref()) else { return };
        let timeout = Duration::from_secs(60) * self.options.consume_timeout;
        let outcome = match ended {
            Ended::Panicked => Outcome::Panicked,
            _ if took >= timeout => Outcome::TimedOut,
            _ if is_consumed => Outcome::Success,
            Ended::Returned(_) => Outcome::Failed,
        };
        let cost = took.as_millis() as usize / messages.len().max(1);
        for message in messages.iter().filter(is_traced) {
            tracer.record(TraceEvent::Consumed {
                request_id: traced.request_id.clone(),
                message_id: message.message_id().to_owned(),
                cost: i32::try_from(cost).unwrap_or(i32::MAX),
                is_consumed,
                keys: keys(message),
                outcome: Some(outcome),
                time: Some(self.cluster.now_ms()),
                group: Some(self.own_group().to_owned()),
            });
        }
    }
}
