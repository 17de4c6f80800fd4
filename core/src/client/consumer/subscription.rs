//! What of a topic a consumer wants.

use std::collections::BTreeSet;

use crate::message::java_hash;
use crate::wire::body::SubscriptionData;
use crate::{Error, ErrorKind, Result};

/// A topic and a filter: by tags, or by an SQL92 expression over the properties.
#[derive(Debug, Clone, PartialEq, Eq)]
#[doc(alias = "SubscriptionData")]
#[doc(alias = "MessageSelector")]
pub struct Subscription {
    topic: String,
    expression: String,
    filter: Filter,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Filter {
    /// Empty: all messages, with or without tag.
    Tags(BTreeSet<String>),
    /// The broker filters.
    Sql,
}

impl Subscription {
    /// All messages of a topic.
    pub fn all(topic: impl Into<String>) -> Subscription {
        Subscription { topic: topic.into(), expression: "*".into(), filter: Filter::Tags(BTreeSet::new()) }
    }

    /// The messages of a topic whose tag is among those of `expression`: `*` for all, or `TagA || TagB`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if it names no tag.
    #[doc(alias = "byTag")]
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
        Ok(Subscription { topic: topic.into(), expression: expression.into(), filter: Filter::Tags(tags) })
    }

    /// The messages of a topic whose properties an SQL92 expression holds for, such as `a > 5 AND b = 'x'`. Brokers
    /// judge it when the consumer starts, and say where it is wrong; they need `enablePropertyFilter=true`, which an
    /// embedded broker has. What is behind the end of the expression is ignored, with a warning. The language is
    /// described in `docs/filters.md` and known to [`crate::filter::SqlExpression`]. Apache has it for push consumers and
    /// lite pull; here every consumer takes it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if it is empty.
    #[doc(alias = "bySql")]
    pub fn sql(topic: impl Into<String>, expression: &str) -> Result<Subscription> {
        let expression = expression.trim();
        if expression.is_empty() {
            let context = "the SQL92 expression is empty; for all messages use Subscription::all";
            return Err(Error::new(ErrorKind::InvalidArgument, "subscribe", context));
        }
        Ok(Subscription { topic: topic.into(), expression: expression.into(), filter: Filter::Sql })
    }

    /// The same of another topic.
    pub(super) fn named(self, topic: &str) -> Subscription {
        Subscription { topic: topic.to_owned(), ..self }
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The filter as it was given.
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// `TAG` or `SQL92`.
    #[doc(alias = "ExpressionType")]
    pub fn expression_type(&self) -> &'static str {
        match self.filter {
            Filter::Tags(_) => "TAG",
            Filter::Sql => "SQL92",
        }
    }

    /// Whether brokers must compile the expression.
    pub(super) fn is_sql(&self) -> bool {
        self.filter == Filter::Sql
    }

    /// Whether messages are wanted whatever their tags are.
    pub(super) fn wants_all(&self) -> bool {
        match &self.filter {
            Filter::Tags(tags) => tags.is_empty(),
            Filter::Sql => true,
        }
    }

    /// Whether a message with this tag is wanted. Brokers compare hash codes of tags only, so this is asked again here.
    pub(super) fn wants(&self, tag: Option<&str>) -> bool {
        match &self.filter {
            Filter::Tags(tags) if !tags.is_empty() => tag.is_some_and(|tag| tags.contains(tag)),
            _ => true,
        }
    }

    /// For heartbeats; `version` is when the subscription was made, ms.
    pub(super) fn data(&self, version: i64) -> SubscriptionData {
        let none = BTreeSet::new();
        let tags = match &self.filter {
            Filter::Tags(tags) => tags,
            Filter::Sql => &none,
        };
        SubscriptionData {
            topic: self.topic.clone(),
            sub_string: self.expression.clone(),
            tags_set: tags.iter().cloned().collect(),
            code_set: tags.iter().map(|tag| java_hash(tag)).collect(),
            sub_version: version,
            expression_type: self.expression_type().into(),
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
        assert_eq!(data.expression_type, "TAG");
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

    #[test]
    fn sql_is_left_to_the_broker() {
        let subscription = Subscription::sql("T", " a > 5 ").unwrap();
        assert!(subscription.wants(None) && subscription.is_sql());
        let data = subscription.data(5);
        assert_eq!((data.sub_string.as_str(), data.expression_type.as_str()), ("a > 5", "SQL92"));
        assert!(data.tags_set.is_empty());
        assert_eq!(Subscription::sql("T", " ").unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
}
