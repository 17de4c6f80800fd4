//! What of a topic a consumer wants.

use std::collections::BTreeSet;

use crate::message::java_hash;
use crate::wire::body::SubscriptionData;
use crate::{Error, ErrorKind, Result};

/// A topic and a filter by tags.
#[derive(Debug, Clone, PartialEq, Eq)]
#[doc(alias = "SubscriptionData")]
pub struct Subscription {
    topic: String,
    expression: String,
    /// Empty: all messages, with or without tag.
    tags: BTreeSet<String>,
}

impl Subscription {
    /// All messages of a topic.
    pub fn all(topic: impl Into<String>) -> Subscription {
        Subscription { topic: topic.into(), expression: "*".into(), tags: BTreeSet::new() }
    }

    /// The messages of a topic whose tag is among those of `expression`: `*` for all, or `TagA || TagB`.
    pub fn tags(topic: impl Into<String>, expression: &str) -> Result<Subscription> {
        let expression = expression.trim();
        if matches!(expression, "" | "*") {
            return Ok(Subscription::all(topic));
        }
        let tags: BTreeSet<String> =
            expression.split("||").map(str::trim).filter(|tag| !tag.is_empty()).map(String::from).collect();
        if tags.is_empty() {
            let context = format!("{expression:?} names no tag; write * for all or TagA || TagB");
            return Err(Error::new(ErrorKind::InvalidArgument, "subscribe", context));
        }
        Ok(Subscription { topic: topic.into(), expression: expression.into(), tags })
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The filter as it was given.
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// Whether a message with this tag is wanted. Brokers compare hash codes only, so this is asked again here.
    pub(super) fn wants(&self, tag: Option<&str>) -> bool {
        self.tags.is_empty() || tag.is_some_and(|tag| self.tags.contains(tag))
    }

    /// For heartbeats; `version` is when the subscription was made, ms.
    pub(super) fn data(&self, version: i64) -> SubscriptionData {
        SubscriptionData {
            topic: self.topic.clone(),
            sub_string: self.expression.clone(),
            tags_set: self.tags.iter().cloned().collect(),
            code_set: self.tags.iter().map(|tag| java_hash(tag)).collect(),
            sub_version: version,
            ..SubscriptionData::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_told_apart_by_their_text() {
        let subscription = Subscription::tags("T", " Aa || C ").unwrap();
        // "Aa" and "BB" have the same hash code.
        assert_eq!(java_hash("Aa"), java_hash("BB"));
        assert!(subscription.wants(Some("Aa")) && subscription.wants(Some("C")));
        assert!(!subscription.wants(Some("BB")) && !subscription.wants(None));
        let data = subscription.data(5);
        assert_eq!((data.sub_string.as_str(), data.tags_set.len(), data.sub_version), ("Aa || C", 2, 5));
    }

    #[test]
    fn a_star_or_nothing_means_all() {
        for expression in ["*", "", "  "] {
            let subscription = Subscription::tags("T", expression).unwrap();
            assert!(subscription.wants(None) && subscription.wants(Some("x")));
            assert_eq!(subscription.expression(), "*");
        }
        for expression in ["||", " || || "] {
            assert_eq!(Subscription::tags("T", expression).unwrap_err().kind(), ErrorKind::InvalidArgument);
        }
    }
}
