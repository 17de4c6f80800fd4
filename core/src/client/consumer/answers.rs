//! What brokers ask of a consumer for those who run the cluster (protocol reference, section 10).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::assigned::Assigned;
use super::concurrent::{run, Outcome};
use super::context::{ConsumeContext, ConsumeStatus, OrderlyContext, OrderlyStatus};
use super::push::{Listener, Push};
use super::{Shared, RETRY_PREFIX};
use crate::message::StoredMessage;
use crate::record::RecordView;
use crate::wire::body::{
    self, ConsumeMessageDirectlyResult, ConsumerRunningInfo, GetConsumerStatusBody, MessageQueue,
    OffsetTable, ProcessQueueInfo, ProcessQueueTable,
};
use crate::wire::VERSION;
use crate::{Error, ErrorKind, Result};

impl Shared {
    /// GET_CONSUMER_STATUS_FROM_CLIENT (221): how far it has come in its queues of a topic.
    pub(in crate::client) fn status(&self, topic: &str) -> GetConsumerStatusBody {
        let state = self.state.lock();
        let queues = state.queues.iter().filter(|(queue, _)| queue.topic == topic);
        let table = queues.map(|(queue, assigned)| (queue.clone(), self.progress(assigned))).collect();
        GetConsumerStatusBody { message_queue_table: OffsetTable(table), consumer_table: BTreeMap::new() }
    }

    /// GET_CONSUMER_RUNNING_INFO (307).
    pub(in crate::client) fn running_info(&self) -> ConsumerRunningInfo {
        let queues: BTreeMap<MessageQueue, ProcessQueueInfo> = {
            let state = self.state.lock();
            state.queues.iter().map(|(queue, assigned)| (queue.clone(), self.queue_info(assigned))).collect()
        };
        let subscriptions = self.describe().map(|described| described.subscription_data_set);
        let status = self.topics().into_iter().map(|topic| {
            let figures = self.stats.of(&topic);
            let status = body::ConsumeStatus {
                pull_rt: figures.pull_rt,
                pull_tps: figures.pull_tps,
                consume_rt: figures.consume_rt,
                consume_ok_tps: figures.consume_ok_tps,
                consume_failed_tps: figures.consume_failed_tps,
                consume_failed_msgs: figures.consume_failed_msgs,
            };
            (topic, status)
        });
        ConsumerRunningInfo {
            properties: self.properties(),
            subscription_set: subscriptions.unwrap_or_default(),
            status_table: status.collect(),
            mq_table: ProcessQueueTable(queues),
            jstack: None,
        }
    }

    /// The settings, and what Apache's tools look at.
    fn properties(&self) -> BTreeMap<String, String> {
        let threads = self.state.lock().threads.size;
        let mut properties: BTreeMap<String, String> = crate::config::ConsumerOptions::KEYS
            .iter()
            .filter_map(|key| Some((key.name.to_owned(), self.options.get(key.name)?)))
            .collect();
        let version = format!("V4_9_8 ({VERSION})");
        for (name, value) in [
            ("PROP_NAMESERVER_ADDR", format!("{};", self.cluster.options().namesrv_addr)),
            ("PROP_THREADPOOL_CORE_SIZE", threads.to_string()),
            ("PROP_CONSUMEORDERLY", self.orderly().to_string()),
            ("PROP_CONSUME_TYPE", self.consume_type().to_owned()),
            ("PROP_CLIENT_VERSION", version),
            ("PROP_CONSUMER_START_TIMESTAMP", self.started_ms.to_string()),
        ] {
            properties.insert(name.to_owned(), value);
        }
        properties
    }

    fn queue_info(&self, assigned: &Assigned) -> ProcessQueueInfo {
        let (messages, bytes) = assigned.held();
        let (min, max) = assigned.held_span().unwrap_or_default();
        ProcessQueueInfo {
            commit_offset: self.progress(assigned),
            cached_msg_min_offset: min,
            cached_msg_max_offset: max,
            cached_msg_count: i32::try_from(messages).unwrap_or(i32::MAX),
            cached_msg_size_in_mi_b: i32::try_from(bytes >> 20).unwrap_or(i32::MAX),
            locked: self.locks_queues(),
            last_lock_timestamp: assigned.locked.filter(|_| self.locks_queues()).unwrap_or_default(),
            last_pull_timestamp: assigned.last_pull,
            last_consume_timestamp: assigned.last_consume,
            ..ProcessQueueInfo::default()
        }
    }

    /// CONSUME_MESSAGE_DIRECTLY (309): calls the listener with one message, whose result counts for nothing else.
    ///
    /// # Errors
    /// If the message cannot be read, or there is no listener to call.
    pub(in crate::client) fn consume_directly(
        self: &Arc<Self>,
        record: bytes::Bytes,
        broker_name: &str,
    ) -> Result<ConsumeMessageDirectlyResult> {
        let queue = {
            let view = RecordView::parse(&record)?;
            let (topic, broker_name) = (view.topic().to_owned(), broker_name.to_owned());
            MessageQueue { topic, broker_name, queue_id: view.queue_id() }
        };
        let mut message = self.message(&self.common(&queue), record, 0)?;
        if queue.topic.starts_with(RETRY_PREFIX) && Some(&queue.topic) != self.retry_topic.as_ref() {
            message.topic = queue.topic.as_str().into();
        }
        let listener = self.push.as_ref().and_then(Push::listener).ok_or_else(|| {
            let context =
                format!("the consumer of group {} has no listener", self.group().unwrap_or_default());
            Error::new(ErrorKind::Unsupported, "consume message directly", context)
        })?;
        let queue = self.own_queue(&queue);
        self.with_call(|| call_directly(&listener, queue, message)).ok_or_else(|| {
            Error::new(ErrorKind::Closed, "consume message directly", "the consumer was closed")
        })
    }
}

fn call_directly(
    listener: &Listener,
    queue: MessageQueue,
    message: StoredMessage,
) -> ConsumeMessageDirectlyResult {
    let (began, messages) = (Instant::now(), [message]);
    let (order, result) = match listener {
        Listener::Concurrent(listener) => {
            let context = ConsumeContext::new(queue);
            let result = match run(|| listener(&messages, &context)) {
                Outcome::Returned(ConsumeStatus::Success) if context.acked() > 0 => "CR_SUCCESS",
                Outcome::Returned(_) => "CR_LATER",
                Outcome::Panicked => "CR_THROW_EXCEPTION",
            };
            (false, result)
        }
        Listener::Orderly(listener) => {
            let context = OrderlyContext::new(queue);
            let result = match run(|| listener(&messages, &context)) {
                Outcome::Returned(OrderlyStatus::Success) => "CR_SUCCESS",
                Outcome::Returned(OrderlyStatus::SuspendCurrentQueue) => "CR_LATER",
                Outcome::Panicked => "CR_THROW_EXCEPTION",
            };
            (true, result)
        }
    };
    ConsumeMessageDirectlyResult {
        order,
        auto_commit: true,
        consume_result: result.to_owned(),
        remark: (result == "CR_THROW_EXCEPTION")
            .then(|| "the listener panicked; the client's log says why".into()),
        spent_time_mills: i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX),
    }
}
