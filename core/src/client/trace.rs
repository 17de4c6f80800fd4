//! Message traces: what producers and consumers record about single messages, in Apache's form (protocol reference,
//! section 11), so that its tools read ours and [`decode`] reads theirs.

use crate::{Error, ErrorKind, Result};

/// Separates the fields of a record.
const FIELD: char = '\u{1}';
/// Ends a record.
const RECORD: char = '\u{2}';
/// What Apache writes where there is nothing.
const NOTHING: &str = "null";

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[doc(alias = "MessageType")]
pub enum MessageKind {
    /// Any other.
    #[doc(alias = "Normal_Msg")]
    Normal,
    /// The first part of a transaction.
    #[doc(alias = "Trans_Msg_Half")]
    Half,
    /// The message of a transaction that was decided.
    #[doc(alias = "Trans_msg_Commit")]
    Transaction,
    /// One with a delay.
    #[doc(alias = "Delay_Msg")]
    Delayed,
    /// One with an order key (5.x).
    #[doc(alias = "Order_Msg")]
    Ordered,
}

const KINDS: [MessageKind; 5] = [
    MessageKind::Normal,
    MessageKind::Half,
    MessageKind::Transaction,
    MessageKind::Delayed,
    MessageKind::Ordered,
];

/// How a call of a listener ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[doc(alias = "ConsumeReturnType")]
pub enum Outcome {
    /// The messages are consumed.
    Success,
    /// It took longer than the consume timeout.
    TimedOut,
    /// It threw or panicked.
    Panicked,
    /// It returned nothing.
    Nothing,
    /// It asked for the messages again.
    Failed,
}

const OUTCOMES: [Outcome; 5] =
    [Outcome::Success, Outcome::TimedOut, Outcome::Panicked, Outcome::Nothing, Outcome::Failed];

/// One thing that happened to a message. Times are ms since 1970, durations ms.
#[derive(Debug, Clone, PartialEq, Eq)]
#[doc(alias = "TraceContext")]
pub enum TraceEvent {
    /// It was sent, or was not after all attempts.
    #[doc(alias = "Pub")]
    Sent {
        /// When the send began.
        time: i64,
        /// Region of the broker.
        region: String,
        /// Producer group.
        group: String,
        /// Topic.
        topic: String,
        /// Unique id.
        message_id: String,
        /// Tag.
        tag: Option<String>,
        /// Keys, separated by spaces.
        keys: Option<String>,
        /// Address of the broker.
        broker: String,
        /// Bytes of the body.
        body_length: i32,
        /// How long the send took.
        cost: i32,
        /// What it is.
        kind: MessageKind,
        /// Id of its place at the broker.
        offset_id: Option<String>,
        /// Whether it is stored.
        is_sent: bool,
        /// Address of the producer, which newer clients leave out.
        client: Option<String>,
    },
    /// A listener gets it.
    #[doc(alias = "SubBefore")]
    Consuming {
        /// When the call began.
        time: i64,
        /// Region of the broker.
        region: String,
        /// Consumer group.
        group: String,
        /// Id of the call; the same in [`TraceEvent::Consumed`].
        request_id: String,
        /// Unique id.
        message_id: String,
        /// How often it was delivered again.
        retries: i32,
        /// Keys, separated by spaces.
        keys: Option<String>,
    },
    /// The listener is done with it.
    #[doc(alias = "SubAfter")]
    Consumed {
        /// Id of the call.
        request_id: String,
        /// Unique id.
        message_id: String,
        /// How long the call took, divided by its messages.
        cost: i32,
        /// Whether it is consumed.
        is_consumed: bool,
        /// Keys, separated by spaces.
        keys: Option<String>,
        /// How the call ended; old clients do not tell.
        outcome: Option<Outcome>,
        /// When the call ended; old clients do not tell.
        time: Option<i64>,
        /// Consumer group; old clients do not tell.
        group: Option<String>,
    },
    /// A transaction was decided.
    EndTransaction {
        /// When.
        time: i64,
        /// Region of the broker.
        region: String,
        /// Producer group.
        group: String,
        /// Topic.
        topic: String,
        /// Unique id.
        message_id: String,
        /// Tag.
        tag: Option<String>,
        /// Keys, separated by spaces.
        keys: Option<String>,
        /// Address of the broker.
        broker: String,
        /// What it is.
        kind: MessageKind,
        /// Id of the transaction.
        transaction_id: String,
        /// `COMMIT_MESSAGE`, `ROLLBACK_MESSAGE` or `UNKNOW`.
        state: String,
        /// Whether the broker had asked.
        is_from_check: bool,
    },
    /// A message for later was called back (5.x).
    #[doc(alias = "Recall")]
    Recalled {
        /// When.
        time: i64,
        /// Region of the broker.
        region: String,
        /// Producer group.
        group: String,
        /// Topic.
        topic: String,
        /// Unique id.
        message_id: String,
        /// Whether that succeeded.
        is_recalled: bool,
    },
}

impl TraceEvent {
    /// Unique id of the message.
    pub fn message_id(&self) -> &str {
        match self {
            TraceEvent::Sent { message_id, .. }
            | TraceEvent::Consuming { message_id, .. }
            | TraceEvent::Consumed { message_id, .. }
            | TraceEvent::EndTransaction { message_id, .. }
            | TraceEvent::Recalled { message_id, .. } => message_id,
        }
    }

    /// What the message that carries the record can be found by: the message's id and its keys.
    pub fn index_keys(&self) -> impl Iterator<Item = &str> {
        let keys = match self {
            TraceEvent::Sent { keys, .. }
            | TraceEvent::Consuming { keys, .. }
            | TraceEvent::Consumed { keys, .. }
            | TraceEvent::EndTransaction { keys, .. } => keys.as_deref(),
            TraceEvent::Recalled { .. } => None,
        };
        let keys = keys.unwrap_or_default().split(' ').filter(|key| !key.is_empty());
        std::iter::once(self.message_id()).chain(keys)
    }

    /// Appends the record.
    pub fn encode_into(&self, out: &mut String) {
        let fields: Vec<String> = self.fields();
        for (number, field) in fields.iter().enumerate() {
            if number > 0 {
                out.push(FIELD);
            }
            // A record that a field cuts in two would take its neighbours with it.
            out.extend(field.chars().filter(|c| *c != FIELD && *c != RECORD));
        }
        out.push(RECORD);
    }

    fn fields(&self) -> Vec<String> {
        match self.clone() {
            TraceEvent::Sent { .. } | TraceEvent::EndTransaction { .. } => self.fields_of_producer(),
            TraceEvent::Consuming { time, region, group, request_id, message_id, retries, keys } => {
                let mut fields = vec!["SubBefore".into(), time.to_string(), region, group, request_id];
                fields.extend([message_id, retries.to_string(), or_nothing(keys)]);
                fields
            }
            TraceEvent::Consumed {
                request_id,
                message_id,
                cost,
                is_consumed,
                keys,
                outcome,
                time,
                group,
            } => {
                let mut fields = vec!["SubAfter".into(), request_id, message_id, cost.to_string()];
                fields.extend([is_consumed.to_string(), or_nothing(keys)]);
                // Each of these stands only where the ones before it do.
                let time = time.filter(|_| outcome.is_some());
                let group = group.filter(|_| time.is_some());
                fields.extend(outcome.map(|outcome| number(&OUTCOMES, outcome)));
                fields.extend(time.map(|time| time.to_string()));
                fields.extend(group);
                fields
            }
            TraceEvent::Recalled { time, region, group, topic, message_id, is_recalled } => {
                let mut fields = vec!["Recall".into(), time.to_string(), region, group, topic];
                fields.extend([message_id, is_recalled.to_string()]);
                fields
            }
        }
    }

    #[rustfmt::skip]
    fn fields_of_producer(&self) -> Vec<String> {
        match self.clone() {
            TraceEvent::Sent {
                time, region, group, topic, message_id, tag, keys, broker, body_length, cost, kind, offset_id,
                is_sent, client,
            } => {
                let mut fields = vec!["Pub".into(), time.to_string(), region, group, topic, message_id];
                fields.extend([or_nothing(tag), or_nothing(keys), broker, body_length.to_string()]);
                fields.extend([cost.to_string(), number(&KINDS, kind), or_nothing(offset_id)]);
                fields.push(is_sent.to_string());
                fields.extend(client);
                fields
            }
            TraceEvent::EndTransaction {
                time, region, group, topic, message_id, tag, keys, broker, kind, transaction_id, state,
                is_from_check,
            } => {
                let mut fields = vec!["EndTransaction".into(), time.to_string(), region, group, topic];
                fields.extend([message_id, or_nothing(tag), or_nothing(keys), broker]);
                fields.extend([number(&KINDS, kind), transaction_id, state, is_from_check.to_string()]);
                fields
            }
            _ => Vec::new(),
        }
    }
}

fn or_nothing(text: Option<String>) -> String {
    text.unwrap_or_else(|| NOTHING.into())
}

fn number<T: PartialEq>(all: &[T], one: T) -> String {
    all.iter().position(|other| *other == one).unwrap_or_default().to_string()
}

/// Reads the body of a trace message. Records of kinds that are not known are left out.
///
/// # Errors
/// [`ErrorKind::Corrupt`] naming the first record whose fields are not what its kind has.
#[doc(alias = "decoderFromTraceDataString")]
pub fn decode(body: &[u8]) -> Result<Vec<TraceEvent>> {
    let text = String::from_utf8_lossy(body);
    let mut events = Vec::new();
    for (number, record) in text.split(RECORD).enumerate() {
        let fields = Fields(record.split(FIELD).collect());
        let event = match fields.0[0] {
            "Pub" => fields.sent(),
            "SubBefore" => fields.consuming(),
            "SubAfter" => fields.consumed(),
            "EndTransaction" => fields.end_transaction(),
            "Recall" => fields.recalled(),
            _ => continue,
        };
        events.push(event.ok_or_else(|| {
            let context =
                format!("record {number} ({}, {} fields) is not whole", fields.0[0], fields.0.len());
            Error::new(ErrorKind::Corrupt, "read trace", context)
        })?);
    }
    Ok(events)
}

/// The fields of one record.
struct Fields<'a>(Vec<&'a str>);

impl Fields<'_> {
    fn text(&self, at: usize) -> Option<String> {
        self.0.get(at).map(|field| field.to_string())
    }

    /// `Some(None)` if the field says that there is nothing.
    fn optional(&self, at: usize) -> Option<Option<String>> {
        self.text(at).map(|text| Some(text).filter(|text| text != NOTHING))
    }

    fn parse<T: std::str::FromStr>(&self, at: usize) -> Option<T> {
        self.0.get(at)?.parse().ok()
    }

    fn word<T: Copy>(&self, at: usize, all: &[T]) -> Option<T> {
        all.get(self.parse::<usize>(at)?).copied()
    }

    fn sent(&self) -> Option<TraceEvent> {
        // Old clients do not tell the id of the place.
        let has_offset_id = self.0.len() > 13;
        Some(TraceEvent::Sent {
            time: self.parse(1)?,
            region: self.text(2)?,
            group: self.text(3)?,
            topic: self.text(4)?,
            message_id: self.text(5)?,
            tag: self.optional(6)?,
            keys: self.optional(7)?,
            broker: self.text(8)?,
            body_length: self.parse(9)?,
            cost: self.parse(10)?,
            kind: self.word(11, &KINDS)?,
            offset_id: if has_offset_id { self.optional(12)? } else { None },
            is_sent: self.parse(if has_offset_id { 13 } else { 12 })?,
            client: self.text(14),
        })
    }

    fn consuming(&self) -> Option<TraceEvent> {
        Some(TraceEvent::Consuming {
            time: self.parse(1)?,
            region: self.text(2)?,
            group: self.text(3)?,
            request_id: self.text(4)?,
            message_id: self.text(5)?,
            retries: self.parse(6)?,
            keys: self.optional(7)?,
        })
    }

    fn consumed(&self) -> Option<TraceEvent> {
        Some(TraceEvent::Consumed {
            request_id: self.text(1)?,
            message_id: self.text(2)?,
            cost: self.parse(3)?,
            is_consumed: self.parse(4)?,
            keys: self.optional(5)?,
            outcome: if self.0.len() > 6 { Some(self.word(6, &OUTCOMES)?) } else { None },
            time: if self.0.len() > 7 { Some(self.parse(7)?) } else { None },
            group: self.text(8),
        })
    }

    fn end_transaction(&self) -> Option<TraceEvent> {
        Some(TraceEvent::EndTransaction {
            time: self.parse(1)?,
            region: self.text(2)?,
            group: self.text(3)?,
            topic: self.text(4)?,
            message_id: self.text(5)?,
            tag: self.optional(6)?,
            keys: self.optional(7)?,
            broker: self.text(8)?,
            kind: self.word(9, &KINDS)?,
            transaction_id: self.text(10)?,
            state: self.text(11)?,
            is_from_check: self.parse(12)?,
        })
    }

    fn recalled(&self) -> Option<TraceEvent> {
        Some(TraceEvent::Recalled {
            time: self.parse(1)?,
            region: self.text(2)?,
            group: self.text(3)?,
            topic: self.text(4)?,
            message_id: self.text(5)?,
            is_recalled: self.parse(6)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(events: &[TraceEvent]) -> String {
        let mut text = String::new();
        for event in events {
            event.encode_into(&mut text);
        }
        text
    }

    /// Lines as TraceDataEncoder of rocketmq-client 5.3.3 writes them, every kind and with fields that are null.
    #[test]
    fn apaches_records_are_read_and_written_the_same() {
        let mut all = Vec::new();
        for line in include_str!("../../tests/fixtures/client/trace.txt").lines() {
            let events = decode(line.as_bytes()).unwrap();
            assert_eq!(encoded(&events), line);
            all.extend(events);
        }
        assert_eq!(all.len(), 2 + 3 + 2 + 3 + 1);
        let TraceEvent::Sent { tag, keys, kind, offset_id, is_sent, .. } = &all[1] else {
            panic!("{:?}", all[1])
        };
        assert_eq!((tag, keys, offset_id, *is_sent), (&None, &None, &None, false));
        assert_eq!(*kind, MessageKind::Half);
        let TraceEvent::Consumed { outcome, time, group, .. } = &all[5] else { panic!("{:?}", all[5]) };
        assert_eq!((*outcome, *time), (Some(Outcome::Failed), Some(1_700_000_000_130)));
        assert_eq!(group.as_deref(), Some("cg"));
        assert_eq!(all[0].index_keys().collect::<Vec<_>>(), ["7F000001000118B4AAC2088F4E5C0000", "k1", "k2"]);
        assert_eq!(all[4].index_keys().collect::<Vec<_>>(), ["M3"]);
    }

    #[test]
    fn records_of_older_clients_are_read() {
        let old = "Pub|1|r|g|T|M|t|k|b:1|2|3|0|true$SubAfter|R|M|6|true|k$Pub|1|r|g|T|M|t|k|b:1|2|3|0|O|true|c:1$New|1$";
        let events = decode(old.replace('|', "\u{1}").replace('$', "\u{2}").as_bytes()).unwrap();
        assert_eq!(events.len(), 3);
        let TraceEvent::Sent { offset_id, is_sent, client, .. } = &events[0] else { panic!() };
        assert_eq!((offset_id, *is_sent, client), (&None, true, &None));
        let TraceEvent::Consumed { outcome, group, .. } = &events[1] else { panic!() };
        assert_eq!((outcome, group), (&None, &None));
        let TraceEvent::Sent { offset_id, client, .. } = &events[2] else { panic!() };
        assert_eq!((offset_id.as_deref(), client.as_deref()), (Some("O"), Some("c:1")));
    }

    #[test]
    fn a_torn_record_is_named() {
        let torn = "Recall|1|r|g|T|M|true$Pub|1|r".replace('|', "\u{1}").replace('$', "\u{2}");
        let error = decode(torn.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.context().contains("record 1 (Pub, 3 fields)"), "{error}");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, kind in 0usize..5, fields in proptest::collection::vec("[0-9a-z]{0,3}", 0..16)) {
            let _ = decode(&bytes);
            let kind = ["Pub", "SubBefore", "SubAfter", "EndTransaction", "Recall"][kind];
            let _ = decode(format!("{kind}\u{1}{}", fields.join("\u{1}")).as_bytes());
        }

        #[test]
        fn what_is_written_is_read_again(text in "[^\u{1}\u{2}]{0,20}", keys in proptest::option::of("[a-z ]{1,9}"), numbers: (i64, i32)) {
            prop_assume!(keys.as_deref() != Some(NOTHING));
            let event = TraceEvent::Consuming {
                time: numbers.0, region: text.clone(), group: text.clone(), request_id: text.clone(),
                message_id: text, retries: numbers.1, keys,
            };
            prop_assert_eq!(decode(encoded(std::slice::from_ref(&event)).as_bytes()).unwrap(), [event]);
        }
    }
}
