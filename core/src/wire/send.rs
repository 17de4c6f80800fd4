//! Sending: messages, batches, replies, retries. Protocol reference, sections 3.4, 4, 5.4 and 9.

use std::borrow::Cow;
use std::sync::Arc;

use crate::message::OffsetId;

use super::header::{header, FieldValue, Form};
use super::writer::Name;
use super::{FieldWriter, Frame, RequestCode, Value};

header! {
    /// SEND_MESSAGE (10), SEND_MESSAGE_V2 (310), SEND_BATCH_MESSAGE (320), and as a reply to a request
    /// SEND_REPLY_MESSAGE (324), SEND_REPLY_MESSAGE_V2 (325). The body is the message's, or items of
    /// [`crate::message::batch`]. Answered with [`super::SendMessageResponse`].
    #[doc(alias = "SendMessageRequestHeader")]
    #[doc(alias = "SendMessageRequestHeaderV2")]
    SendMessage<'a> {
        /// Group of the producer.
        producer_group: Cow<'a, str> = "producerGroup" | "a",
        /// Topic to store in.
        topic: Cow<'a, str> = "topic" | "b",
        /// Topic to copy the settings of an unknown topic from, usually `TBW102`.
        default_topic: Cow<'a, str> = "defaultTopic" | "c",
        /// Queues that an unknown topic gets.
        default_topic_queue_nums: i32 = "defaultTopicQueueNums" | "d",
        /// Queue to store in; negative: the broker chooses.
        queue_id: i32 = "queueId" | "e",
        /// Bits of [`crate::message::sys_flag`].
        sys_flag: i32 = "sysFlag" | "f",
        /// When the message was made, ms by the producer's clock.
        born_timestamp: i64 = "bornTimestamp" | "g",
        /// The user's flag.
        flag: i32 = "flag" | "h",
        /// The encoded properties.
        properties: Option<Cow<'a, str>> = "properties" | "i",
        /// How often the message was consumed in vain.
        reconsume_times: i32 = "reconsumeTimes" | "j" or 0,
        /// Unit mode.
        unit_mode: bool = "unitMode" | "k" or false,
        /// Limit of retries.
        max_reconsume_times: Option<i32> = "maxReconsumeTimes" | "l",
        /// Whether the body is a batch.
        batch: bool = "batch" | "m" or false,
        /// The broker meant (5.x).
        broker_name: Option<Cow<'a, str>> = "bname" | "n",
    }
    form form: SendForm;
    body: &'a [u8];
}

header! {
    /// The answer to a send. With codes 0, 10, 11 and 12 the message is stored and this says where.
    #[doc(alias = "SendMessageResponseHeader")]
    SendMessageResponse {
        /// Offset id of the message; of every message of a batch.
        msg_id: MessageIds = "msgId",
        /// Queue that the message is in.
        queue_id: i32 = "queueId",
        /// Its offset there; that of a batch's first message.
        queue_offset: i64 = "queueOffset",
        /// The unique id.
        transaction_id: Option<String> = "transactionId",
        /// The unique id of the batch (5.x).
        batch_uniq_id: Option<String> = "batchUniqId",
        /// What recalls a timer message (5.x).
        recall_handle: Option<String> = "recallHandle",
        /// The broker's region.
        msg_region: Option<Arc<str>> = "MSG_REGION",
        /// Whether the producer is to trace this message.
        trace_on: Option<bool> = "TRACE_ON",
    }
}

/// The offset ids in the answer to a send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageIds {
    /// Of one message.
    One(OffsetId),
    /// Of the messages of a batch.
    Many(Vec<OffsetId>),
    /// As text, of several joined by commas: how they are read.
    Text(String),
}

impl Default for MessageIds {
    fn default() -> Self {
        MessageIds::Many(Vec::new())
    }
}

impl MessageIds {
    /// The text, several joined by commas.
    pub fn into_text(self) -> String {
        let ids = match self {
            MessageIds::Text(text) => return text,
            ids => ids,
        };
        let count = if let MessageIds::Many(ids) = &ids { ids.len() } else { 1 };
        let mut text = Vec::with_capacity(33 * count);
        ids.write_to(&mut text);
        // Hexadecimal digits and commas.
        String::from_utf8(text).unwrap_or_default()
    }

    /// Appends the text, several joined by commas.
    fn write_to(&self, out: &mut Vec<u8>) {
        let ids = match self {
            MessageIds::One(id) => std::slice::from_ref(id),
            MessageIds::Many(ids) => ids,
            MessageIds::Text(text) => return out.extend_from_slice(text.as_bytes()),
        };
        for (at, id) in ids.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            id.write_to(out);
        }
    }
}

impl std::fmt::Display for MessageIds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = Vec::new();
        self.write_to(&mut text);
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

impl FieldValue<'_> for MessageIds {
    const EXPECTED: &'static str = "message ids";

    fn read(value: Value<'_>) -> Option<Self> {
        Some(MessageIds::Text(value.text().into()))
    }

    fn write(&self, name: Name, writer: &mut FieldWriter<'_>) {
        match self {
            MessageIds::Text(text) => writer.known(name, text),
            _ => writer.plain(name, |out| self.write_to(out)),
        }
    }
}

/// The code that a [`SendMessage`] was sent with, and with it the names of its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SendForm {
    /// SEND_MESSAGE (10): long names.
    V1,
    /// SEND_MESSAGE_V2 (310): names of one letter; what clients use.
    #[default]
    V2,
    /// SEND_BATCH_MESSAGE (320) with names of one letter.
    Batch,
    /// SEND_BATCH_MESSAGE (320) with long names.
    BatchV1,
    /// SEND_REPLY_MESSAGE (324): long names.
    Reply,
    /// SEND_REPLY_MESSAGE_V2 (325): names of one letter.
    ReplyV2,
}

impl Form for SendForm {
    fn of(frame: &Frame<'_>) -> Self {
        match frame.request_code() {
            RequestCode::SEND_MESSAGE => SendForm::V1,
            RequestCode::SEND_BATCH_MESSAGE if frame.fields.get("a").is_none() => SendForm::BatchV1,
            RequestCode::SEND_BATCH_MESSAGE => SendForm::Batch,
            RequestCode::SEND_REPLY_MESSAGE => SendForm::Reply,
            RequestCode::SEND_REPLY_MESSAGE_V2 => SendForm::ReplyV2,
            _ => SendForm::V2,
        }
    }

    fn code(self) -> RequestCode {
        match self {
            SendForm::V1 => RequestCode::SEND_MESSAGE,
            SendForm::V2 => RequestCode::SEND_MESSAGE_V2,
            SendForm::Batch | SendForm::BatchV1 => RequestCode::SEND_BATCH_MESSAGE,
            SendForm::Reply => RequestCode::SEND_REPLY_MESSAGE,
            SendForm::ReplyV2 => RequestCode::SEND_REPLY_MESSAGE_V2,
        }
    }

    fn is_short(self) -> bool {
        matches!(self, SendForm::V2 | SendForm::Batch | SendForm::ReplyV2)
    }
}

impl SendMessage<'_> {
    /// Whether the body is a batch, by code or by field.
    pub fn is_batch(&self) -> bool {
        self.batch || matches!(self.form, SendForm::Batch | SendForm::BatchV1)
    }
}

header! {
    /// CONSUMER_SEND_MSG_BACK (36): store a message again, to be consumed later.
    #[doc(alias = "ConsumerSendMsgBackRequestHeader")]
    ConsumerSendMsgBack<'a> {
        /// Place of the message in the commit log.
        offset: i64 = "offset",
        /// Group that could not consume it.
        group: Cow<'a, str> = "group",
        /// Delay level; 0: the broker chooses; negative: to the dead letters.
        delay_level: i32 = "delayLevel",
        /// The message's id.
        origin_msg_id: Option<Cow<'a, str>> = "originMsgId",
        /// The message's topic.
        origin_topic: Option<Cow<'a, str>> = "originTopic",
        /// Unit mode.
        unit_mode: bool = "unitMode" or false,
        /// Limit of retries.
        max_reconsume_times: Option<i32> = "maxReconsumeTimes",
    }
}

header! {
    /// PUSH_REPLY_MESSAGE_TO_CLIENT (326): a reply on its way from the broker to the requester.
    #[doc(alias = "ReplyMessageRequestHeader")]
    PushReplyMessageToClient<'a> {
        /// Group of the producer that replied.
        producer_group: Cow<'a, str> = "producerGroup",
        /// Topic of the reply.
        topic: Cow<'a, str> = "topic",
        /// As in [`SendMessage`].
        default_topic: Cow<'a, str> = "defaultTopic",
        /// As in [`SendMessage`].
        default_topic_queue_nums: i32 = "defaultTopicQueueNums",
        /// Queue that the reply was sent to.
        queue_id: i32 = "queueId",
        /// Bits of [`crate::message::sys_flag`].
        sys_flag: i32 = "sysFlag",
        /// When the reply was made, ms by its producer's clock.
        born_timestamp: i64 = "bornTimestamp",
        /// The user's flag.
        flag: i32 = "flag",
        /// The encoded properties.
        properties: Option<Cow<'a, str>> = "properties",
        /// How often the reply was consumed in vain.
        reconsume_times: Option<i32> = "reconsumeTimes",
        /// Unit mode.
        unit_mode: bool = "unitMode" or false,
        /// Address of the producer that replied, `ip:port`.
        born_host: Cow<'a, str> = "bornHost",
        /// Address of the broker, `ip:port`.
        store_host: Cow<'a, str> = "storeHost",
        /// When the broker got the reply, ms.
        store_timestamp: i64 = "storeTimestamp" or 0,
    }
    body: &'a [u8];
}
