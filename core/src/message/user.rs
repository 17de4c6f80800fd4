//! What users send and get: [`Message`] and [`StoredMessage`].

use std::net::SocketAddr;

use bytes::Bytes;

use super::{check_property, property, Name, Properties};
use crate::{Error, ErrorKind, Result};

/// A message as a producer makes it: a topic, a body, and what describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// The topic, not empty.
    pub topic: String,
    /// The body: bytes, whatever they mean.
    pub body: Bytes,
    /// A number that is carried and never looked at.
    pub flag: i32,
    /// The encoded properties' pairs, those of the user and the reserved ones.
    pub properties: Properties,
}

impl Message {
    /// A message with nothing but topic and body.
    pub fn new(topic: impl Into<String>, body: impl Into<Bytes>) -> Message {
        Message { topic: topic.into(), body: body.into(), ..Message::default() }
    }

    /// With the one tag a message may have: consumers choose by it. `||` in it is taken literally, so that no subscription
    /// by tags can choose the message.
    #[doc(alias = "setTags")]
    pub fn with_tag(mut self, tag: &str) -> Result<Message> {
        self.put(property::TAGS, tag)?;
        Ok(self)
    }

    /// With a business key such as an order id, under which the message can be found and told from its duplicates.
    /// Called again it adds a further one. A key has no spaces, which separate keys.
    #[doc(alias = "setKeys")]
    pub fn with_key(mut self, key: &str) -> Result<Message> {
        if key.contains(' ') {
            let context = format!("{key:?} holds a space, which separates keys; give each key by itself");
            return Err(Error::new(ErrorKind::InvalidArgument, "set key", context));
        }
        let keys = match self.properties.get(property::KEYS) {
            Some(keys) => format!("{keys} {key}"),
            None => key.to_string(),
        };
        check_property(property::KEYS, key)?;
        self.put(property::KEYS, &keys)?;
        Ok(self)
    }

    /// With a property of the user's. Reserved names are refused.
    #[doc(alias = "putUserProperty")]
    pub fn with_property(mut self, name: &str, value: &str) -> Result<Message> {
        if property::is_reserved(name) {
            let context = format!("{name:?} is reserved for the system; choose another name");
            return Err(Error::new(ErrorKind::InvalidArgument, "set property", context));
        }
        self.put(name, value)?;
        Ok(self)
    }

    /// With a delay: consumers get the message when the time of this level of the broker's has passed. Brokers have
    /// by default 18 levels: 1 s, 5 s, 10 s, 30 s, 1 to 10 min (one each), 20 min, 30 min, 1 h, 2 h. A level above the
    /// broker's highest counts as that; 0 is no delay.
    #[doc(alias = "setDelayTimeLevel")]
    pub fn with_delay_level(mut self, level: i32) -> Result<Message> {
        match level {
            0 => drop(self.properties.remove(property::DELAY)),
            1.. => self.properties.insert(property::DELAY, level.to_string()),
            _ => {
                let context = format!("{level} is no delay level; levels begin with 1, and 0 is no delay");
                return Err(Error::new(ErrorKind::InvalidArgument, "set delay level", context));
            }
        }
        Ok(self)
    }

    /// Whether the broker answers only when the message is as safe as its modes promise (on disk with SYNC_FLUSH, at a
    /// slave with SYNC_MASTER). Without, it answers as soon as it has the message, which may then be lost. Default true.
    #[doc(alias = "setWaitStoreMsgOK")]
    pub fn with_wait(mut self, wait: bool) -> Message {
        match wait {
            true => drop(self.properties.remove(property::WAIT)),
            false => self.properties.insert(property::WAIT, "false"),
        }
        self
    }

    /// With the key by which its order counts: messages with one sharding key go to one queue, unless the send names
    /// another, and are consumed in the order they were sent by one thread.
    #[doc(alias = "setShardingKey")]
    pub fn with_sharding_key(mut self, key: &str) -> Result<Message> {
        self.put(property::SHARDINGKEY, key)?;
        Ok(self)
    }

    /// With a number that is carried and never looked at.
    #[doc(alias = "setFlag")]
    pub fn with_flag(mut self, flag: i32) -> Message {
        self.flag = flag;
        self
    }

    /// Of a message sent in a transaction: the broker does not ask what became of the transaction before this many
    /// seconds, instead of its own `transactionTimeOut`.
    #[doc(alias = "CHECK_IMMUNITY_TIME_IN_SECONDS")]
    pub fn with_transaction_check_immunity(mut self, seconds: u32) -> Message {
        self.properties.insert(property::CHECK_IMMUNITY_TIME_IN_SECONDS, seconds.to_string());
        self
    }

    /// The tag.
    pub fn tag(&self) -> Option<&str> {
        self.properties.get(property::TAGS)
    }

    /// The keys.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.properties.get(property::KEYS).unwrap_or_default().split_ascii_whitespace()
    }

    /// The delay level, 0 without delay.
    pub fn delay_level(&self) -> i32 {
        self.properties.get(property::DELAY).and_then(|level| level.parse().ok()).unwrap_or(0)
    }

    /// Whether the broker is to wait as [`Message::with_wait`] says.
    #[doc(alias = "isWaitStoreMsgOK")]
    pub fn waits_for_store(&self) -> bool {
        self.properties.get(property::WAIT).is_none_or(|wait| wait.eq_ignore_ascii_case("true"))
    }

    /// The key by which its order counts.
    pub fn sharding_key(&self) -> Option<&str> {
        self.properties.get(property::SHARDINGKEY)
    }

    fn put(&mut self, name: &str, value: &str) -> Result<()> {
        check_property(name, value)?;
        self.properties.insert(name, value);
        Ok(())
    }
}

/// A message as a consumer gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[doc(alias = "MessageExt")]
pub struct StoredMessage {
    /// The topic; of a retried message the one it was first sent to.
    pub topic: Name,
    /// The body, unpacked if it travelled compressed.
    pub body: Bytes,
    /// The number that its producer gave it.
    pub flag: i32,
    /// All its properties.
    pub properties: Properties,
    /// Name of the broker that it comes from.
    pub broker_name: Name,
    /// Queue that it comes from.
    pub queue_id: i32,
    /// Its place in the queue.
    pub queue_offset: i64,
    /// Its place in the broker's log.
    pub physical_offset: i64,
    /// Id of the place where it is stored; another one after each retry.
    #[doc(alias = "offsetMsgId")]
    pub offset_id: String,
    /// Bits of [`super::sys_flag`].
    pub sys_flag: i32,
    /// When it was made, ms by its producer's clock.
    pub born_timestamp: i64,
    /// Where it was made.
    pub born_host: SocketAddr,
    /// When it was stored, ms by the broker's clock.
    pub store_timestamp: i64,
    /// How often it was consumed in vain.
    pub reconsume_times: i32,
}

impl StoredMessage {
    /// The id that its producer gave it, the same in every delivery; without one the [`StoredMessage::offset_id`].
    #[doc(alias = "getMsgId")]
    pub fn message_id(&self) -> &str {
        self.properties.get(property::UNIQ_KEY).unwrap_or(&self.offset_id)
    }

    /// The tag.
    pub fn tag(&self) -> Option<&str> {
        self.properties.get(property::TAGS)
    }

    /// The keys.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.properties.get(property::KEYS).unwrap_or_default().split_ascii_whitespace()
    }

    /// The properties that are the user's own.
    pub fn user_properties(&self) -> impl Iterator<Item = (&str, &str)> {
        self.properties.iter().filter(|(name, _)| !property::is_reserved(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_add_up_and_reserved_names_are_refused() {
        let message = Message::new("T", "body").with_tag("A").unwrap();
        let message = message.with_key("order-1").unwrap().with_key("user-2").unwrap();
        let message = message.with_property("colour", "red").unwrap();
        assert_eq!(message.properties.get("KEYS"), Some("order-1 user-2"));
        assert_eq!(message.properties.get("TAGS"), Some("A"));
        for (name, value) in
            [("KEYS", "x"), ("DELAY", "3"), ("UNIQ_KEY", "x"), ("", "x"), ("x", ""), ("a\u{1}", "x")]
        {
            let error = message.clone().with_property(name, value).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{name}={value}");
        }
        assert!(message.clone().with_key("two words").is_err());
        assert!(message.with_key("").is_err());
    }

    #[test]
    fn what_is_set_is_read_again() {
        let message =
            Message::new("T", "body").with_delay_level(3).unwrap().with_sharding_key("o-1").unwrap();
        let message = message.with_wait(false).with_flag(7).with_transaction_check_immunity(20);
        assert_eq!((message.delay_level(), message.sharding_key(), message.flag), (3, Some("o-1"), 7));
        assert!(!message.waits_for_store());
        assert_eq!(message.properties.get("CHECK_IMMUNITY_TIME_IN_SECONDS"), Some("20"));
        let message = message.with_wait(true).with_delay_level(0).unwrap();
        assert!(message.waits_for_store() && message.delay_level() == 0);
        assert!(!message.properties.contains("DELAY") && !message.properties.contains("WAIT"));
        assert!(message.clone().with_delay_level(-1).unwrap_err().context().contains("-1"));
        assert!(message.clone().with_sharding_key("").is_err());
        assert_eq!(
            message.with_delay_level(19).unwrap().delay_level(),
            19,
            "brokers take it for their highest"
        );
    }

    #[test]
    fn every_reserved_name_is_refused_and_no_other() {
        for name in property::RESERVED {
            let error = Message::new("T", "b").with_property(name, "1").unwrap_err();
            assert!(error.context().contains(name), "{error}");
        }
        assert!(Message::new("T", "b").with_property("__RMQ.TRANSIENT.X", "1").is_err());
        let allowed = ["a", "keys", "CHECK_IMMUNITY_TIME_IN_SECONDS"];
        assert!(allowed.iter().all(|name| Message::new("T", "b").with_property(name, "1").is_ok()));
    }
}
