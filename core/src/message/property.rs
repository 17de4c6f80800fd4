//! The reserved property names (protocol reference, section 3.2). A constant is named like the property on the wire.

/// Index keys, separated by a space. Set by the user.
pub const KEYS: &str = "KEYS";
/// The one tag. Set by the user.
pub const TAGS: &str = "TAGS";
/// `true` or `false`: wait for disk and slave. 4.9 brokers drop it before storing.
pub const WAIT: &str = "WAIT";
/// Delay level, 1 to 18. Set by the user.
pub const DELAY: &str = "DELAY";
/// Original topic of a message in a retry topic.
pub const RETRY_TOPIC: &str = "RETRY_TOPIC";
/// Original topic of a delayed or half message.
pub const REAL_TOPIC: &str = "REAL_TOPIC";
/// Original queue of a delayed or half message.
pub const REAL_QID: &str = "REAL_QID";
/// `true` marks a half message.
pub const TRAN_MSG: &str = "TRAN_MSG";
/// Producer group of a half message.
pub const PGROUP: &str = "PGROUP";
/// Smallest offset of the queue at pull time; not stored.
pub const MIN_OFFSET: &str = "MIN_OFFSET";
/// Largest offset of the queue at pull time; not stored.
pub const MAX_OFFSET: &str = "MAX_OFFSET";
/// Not used by brokers.
pub const BUYER_ID: &str = "BUYER_ID";
/// Message id before the first retry.
pub const ORIGIN_MESSAGE_ID: &str = "ORIGIN_MESSAGE_ID";
/// Not used.
pub const TRANSFER_FLAG: &str = "TRANSFER_FLAG";
/// Not used.
pub const CORRECTION_FLAG: &str = "CORRECTION_FLAG";
/// Not used.
pub const MQ2_FLAG: &str = "MQ2_FLAG";
/// Retry count when a client sends a retry itself; the broker moves it into the record.
pub const RECONSUME_TIME: &str = "RECONSUME_TIME";
/// Limit of retries when a client sends a retry itself.
pub const MAX_RECONSUME_TIMES: &str = "MAX_RECONSUME_TIMES";
/// Region id of the broker.
pub const MSG_REGION: &str = "MSG_REGION";
/// `true` or `false`: whether consumers trace this message.
pub const TRACE_ON: &str = "TRACE_ON";
/// Unique id, made by the client, else by the broker; indexed.
pub const UNIQ_KEY: &str = "UNIQ_KEY";
/// Further unique ids of a batch.
pub const EXTEND_UNIQ_INFO: &str = "EXTEND_UNIQ_INFO";
/// Start of consumption in ms, for the consume timeout; not stored.
pub const CONSUME_START_TIME: &str = "CONSUME_START_TIME";
/// Cluster name of the broker.
pub const CLUSTER: &str = "CLUSTER";
/// Namespace of the client.
pub const INSTANCE_ID: &str = "INSTANCE_ID";
/// Unique id of a request-reply exchange.
pub const CORRELATION_ID: &str = "CORRELATION_ID";
/// Client id of the requester.
pub const REPLY_TO_CLIENT: &str = "REPLY_TO_CLIENT";
/// How long the requester waits, in ms.
pub const TTL: &str = "TTL";
/// `reply` in a reply.
pub const MSG_TYPE: &str = "MSG_TYPE";
/// When a reply arrived, in ms.
pub const ARRIVE_TIME: &str = "ARRIVE_TIME";
/// When a reply was pushed, in ms.
pub const PUSH_REPLY_TIME: &str = "PUSH_REPLY_TIME";
/// No transaction check before this many seconds.
pub const CHECK_IMMUNITY_TIME_IN_SECONDS: &str = "CHECK_IMMUNITY_TIME_IN_SECONDS";
/// Queue offset of the first copy of a half message that was put back.
pub const TRAN_PREPARED_QUEUE_OFFSET: &str = "TRAN_PREPARED_QUEUE_OFFSET";
/// How often a half message was checked.
pub const TRANSACTION_CHECK_TIMES: &str = "TRANSACTION_CHECK_TIMES";
/// Transaction id.
pub const TRANSACTION_ID: &str = "__transactionId__";
/// Number of messages in an inner batch.
pub const INNER_NUM: &str = "INNER_NUM";
/// First offset of an inner batch.
pub const INNER_BASE: &str = "INNER_BASE";
/// Light queues (LMQ), comma separated.
pub const INNER_MULTI_DISPATCH: &str = "INNER_MULTI_DISPATCH";
/// Offsets in the light queues, comma separated.
pub const INNER_MULTI_QUEUE_OFFSET: &str = "INNER_MULTI_QUEUE_OFFSET";
/// Not used.
pub const DUP_INFO: &str = "DUP_INFO";
/// Order key, `__SHARDINGKEY` on the wire.
pub const SHARDINGKEY: &str = "__SHARDINGKEY";
/// Receipt of a popped message.
pub const POP_CK: &str = "POP_CK";
/// Offset of the pop checkpoint.
pub const POP_CK_OFFSET: &str = "POP_CK_OFFSET";
/// First pop time in ms, `1ST_POP_TIME` on the wire.
pub const FIRST_POP_TIME: &str = "1ST_POP_TIME";
/// Delivery time in ms since 1970 (5.x timer).
pub const TIMER_DELIVER_MS: &str = "TIMER_DELIVER_MS";
/// Delay in ms (5.x timer).
pub const TIMER_DELAY_MS: &str = "TIMER_DELAY_MS";
/// Delay in seconds (5.x timer).
pub const TIMER_DELAY_SEC: &str = "TIMER_DELAY_SEC";
/// Delivery time cut to the timer's tick.
pub const TIMER_OUT_MS: &str = "TIMER_OUT_MS";
/// When the timer took the message, in ms.
pub const TIMER_ENQUEUE_MS: &str = "TIMER_ENQUEUE_MS";
/// When the timer gave the message back, in ms.
pub const TIMER_DEQUEUE_MS: &str = "TIMER_DEQUEUE_MS";
/// How often the timer put the message again.
pub const TIMER_ROLL_TIMES: &str = "TIMER_ROLL_TIMES";
/// `topic+uniqKey` of the timer message that this one cancels.
pub const TIMER_DEL_UNIQKEY: &str = "TIMER_DEL_UNIQKEY";
/// Delay level of a message that the timer holds.
pub const TIMER_DELAY_LEVEL: &str = "TIMER_DELAY_LEVEL";
/// Not used by brokers.
pub const PROPERTY_FORWARD_QUEUE_ID: &str = "PROPERTY_FORWARD_QUEUE_ID";
/// Not used by brokers.
pub const REDIRECT: &str = "REDIRECT";
/// Original topic of a dead letter (5.x).
pub const DLQ_ORIGIN_TOPIC: &str = "DLQ_ORIGIN_TOPIC";
/// Original message id of a dead letter (5.x).
pub const DLQ_ORIGIN_MESSAGE_ID: &str = "DLQ_ORIGIN_MESSAGE_ID";
/// Original sender behind a proxy, `__BORNHOST` on the wire.
pub const BORNHOST: &str = "__BORNHOST";
/// Original send time behind a proxy, in ms.
pub const BORN_TIMESTAMP: &str = "BORN_TIMESTAMP";
/// Prefix of properties that a broker adds for the consumer and never stores.
pub const TRANSIENT_PREFIX: &str = "__RMQ.TRANSIENT.";
/// Checksum of the record before this property, `__CRC32#` on the wire (store reference, section 2).
pub const CRC32: &str = "__CRC32#";
/// Opaque to everyone but the tracer.
pub const TRACE_CONTEXT: &str = "TRACE_CONTEXT";

/// The names that belong to the system. Not among them: [`CHECK_IMMUNITY_TIME_IN_SECONDS`], which users set.
pub(super) const RESERVED: &[&str] = &[
    KEYS,
    TAGS,
    WAIT,
    DELAY,
    RETRY_TOPIC,
    REAL_TOPIC,
    REAL_QID,
    TRAN_MSG,
    PGROUP,
    MIN_OFFSET,
    MAX_OFFSET,
    BUYER_ID,
    ORIGIN_MESSAGE_ID,
    TRANSFER_FLAG,
    CORRECTION_FLAG,
    MQ2_FLAG,
    RECONSUME_TIME,
    MAX_RECONSUME_TIMES,
    MSG_REGION,
    TRACE_ON,
    UNIQ_KEY,
    EXTEND_UNIQ_INFO,
    CONSUME_START_TIME,
    CLUSTER,
    INSTANCE_ID,
    CORRELATION_ID,
    REPLY_TO_CLIENT,
    TTL,
    MSG_TYPE,
    ARRIVE_TIME,
    PUSH_REPLY_TIME,
    TRAN_PREPARED_QUEUE_OFFSET,
    TRANSACTION_CHECK_TIMES,
    TRANSACTION_ID,
    INNER_NUM,
    INNER_BASE,
    INNER_MULTI_DISPATCH,
    INNER_MULTI_QUEUE_OFFSET,
    DUP_INFO,
    SHARDINGKEY,
    POP_CK,
    POP_CK_OFFSET,
    FIRST_POP_TIME,
    TIMER_DELIVER_MS,
    TIMER_DELAY_MS,
    TIMER_DELAY_SEC,
    TIMER_OUT_MS,
    TIMER_ENQUEUE_MS,
    TIMER_DEQUEUE_MS,
    TIMER_ROLL_TIMES,
    TIMER_DEL_UNIQKEY,
    TIMER_DELAY_LEVEL,
    PROPERTY_FORWARD_QUEUE_ID,
    REDIRECT,
    DLQ_ORIGIN_TOPIC,
    DLQ_ORIGIN_MESSAGE_ID,
    BORNHOST,
    BORN_TIMESTAMP,
    CRC32,
    TRACE_CONTEXT,
];

/// Whether users may not give a property this name.
pub fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name) || name.starts_with(TRANSIENT_PREFIX)
}
