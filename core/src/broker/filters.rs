//! What a pull selects: by tags, or by an SQL92 expression over the properties.
//!
//! Reference: protocol.md 5.1; sql92.md, "Where it applies". Apache's names: ExpressionMessageFilter,
//! ExpressionForRetryMessageFilter.

use std::sync::Arc;

use crate::filter::{SqlExpression, SyntaxError, TagExpression};
use crate::message::property;
use crate::message::sys_flag::pull as pull_flag;
use crate::record::RecordView;
use crate::store::{Arrival, Filter};
use crate::wire::body::{SubscriptionData, SubscriptionGroupConfig};
use crate::wire::{self, PullMessage, Response, ResponseCode};

use super::clients::Subscribed;
use super::handler::{refuse, Refusal};
use super::state::{is_tag, Filters, SQL92};
use super::{names, Broker};

/// What a pull selects.
#[derive(Clone)]
pub(crate) enum PullFilter {
    /// By the hash of the tag; clients compare the text again.
    Tags(TagExpression),
    /// By the properties, exactly.
    Sql(Arc<SqlExpression>),
    /// In a retry topic: by the filter that the group has of the topic each message comes from.
    SqlOfRetry {
        /// The group.
        group: Box<str>,
        /// Where its filters are.
        filters: Arc<Filters>,
    },
    /// By a function that a user wrote, of what another filter leaves.
    #[cfg(feature = "wasm-filter")]
    Function(Box<PullFilter>, Arc<super::functions::GroupFunction>),
}

impl PullFilter {
    /// Whether a record that just came may match. `record` looks at it, which is done only if it has to be.
    pub fn wants<'r>(&self, arrival: &Arrival<'_>, record: impl FnOnce() -> Option<RecordView<'r>>) -> bool {
        match self {
            PullFilter::Tags(tags) => tags.matches(Some(arrival.tags_code)),
            #[cfg(feature = "wasm-filter")]
            PullFilter::Function(other, _) if !other.tags_match(Some(arrival.tags_code)) => false,
            // What cannot be read is left to the look into the queue.
            _ => record().is_none_or(|record| self.record_matches(&record)),
        }
    }
}

impl Filter for PullFilter {
    fn tags_match(&self, tags_code: Option<i64>) -> bool {
        match self {
            PullFilter::Tags(tags) => tags.matches(tags_code),
            PullFilter::Sql(_) | PullFilter::SqlOfRetry { .. } => true,
            #[cfg(feature = "wasm-filter")]
            PullFilter::Function(other, _) => other.tags_match(tags_code),
        }
    }

    fn record_matches(&self, record: &RecordView<'_>) -> bool {
        match self {
            PullFilter::Tags(_) => true,
            PullFilter::Sql(expression) => expression.matches_encoded(record.properties()),
            PullFilter::SqlOfRetry { group, filters } => {
                let topic = record.property(property::RETRY_TOPIC).unwrap_or_default();
                let expression = filters.find(group, topic).and_then(|found| found.expression);
                // A topic that the group does not filter comes whole.
                expression.is_none_or(|expression| expression.matches_encoded(record.properties()))
            }
            #[cfg(feature = "wasm-filter")]
            PullFilter::Function(other, function) => other.record_matches(record) && function.wants(record),
        }
    }

    fn looks_at_records(&self) -> bool {
        !matches!(self, PullFilter::Tags(_))
    }
}

/// The filter of a request.
pub(crate) fn of_pull(
    broker: &Broker,
    group: &SubscriptionGroupConfig,
    request: &PullMessage<'_>,
) -> Result<PullFilter, Refusal> {
    let filter = of_subscription(broker, group, request)?;
    #[cfg(feature = "wasm-filter")]
    if let Some(function) = broker.functions.find(&request.topic, &request.consumer_group) {
        if broker.config().enable_filter_function {
            return Ok(PullFilter::Function(Box::new(filter), function));
        }
    }
    Ok(filter)
}

/// Its own text, or what the group's heartbeats said.
fn of_subscription(
    broker: &Broker,
    group: &SubscriptionGroupConfig,
    request: &PullMessage<'_>,
) -> Result<PullFilter, Refusal> {
    if request.sys_flag & pull_flag::SUBSCRIPTION != 0 {
        let expression_type = request.expression_type.as_deref().unwrap_or_default();
        let expression = request.subscription.as_deref().unwrap_or("*");
        if is_tag(expression_type) {
            return tags(expression);
        }
        check_type(broker, expression_type)?;
        let compiled = broker.filters.compile(expression).map_err(|error| unparsable(expression, &error))?;
        return Ok(sql(broker, request, compiled));
    }
    let (broadcasting, subscription) = subscription_of(broker, request)?;
    if broadcasting && !group.consume_broadcast_enable {
        let remark =
            format!("the consumer group[{}] can not consume by broadcast way", request.consumer_group);
        return Err(refuse(ResponseCode::NO_PERMISSION, remark));
    }
    if subscription.sub_version < request.sub_version {
        return Err(refuse(ResponseCode::SUBSCRIPTION_NOT_LATEST, "the consumer's subscription not latest"));
    }
    if is_tag(&subscription.expression_type) {
        return tags(&subscription.sub_string);
    }
    check_type(broker, &subscription.expression_type)?;
    registered(broker, request, &subscription)
}

fn subscription_of(broker: &Broker, request: &PullMessage<'_>) -> Result<(bool, SubscriptionData), Refusal> {
    match broker.clients.subscription(&request.consumer_group, &request.topic) {
        Subscribed::Yes { broadcasting, subscription } => Ok((broadcasting, subscription)),
        Subscribed::NoGroup => {
            Err(refuse(ResponseCode::SUBSCRIPTION_NOT_EXIST, "the consumer's group info not exist"))
        }
        Subscribed::NoTopic => {
            Err(refuse(ResponseCode::SUBSCRIPTION_NOT_EXIST, "the consumer's subscription not exist"))
        }
    }
}

/// The filter that was compiled when the subscription was registered.
fn registered(
    broker: &Broker,
    request: &PullMessage<'_>,
    subscription: &SubscriptionData,
) -> Result<PullFilter, Refusal> {
    let Some(found) = broker.filters.find(&request.consumer_group, &request.topic) else {
        let reason = SqlExpression::parse(&subscription.sub_string).err();
        let reason = reason.map_or(String::new(), |error| format!(": {error}"));
        let remark =
            format!("The broker's consumer filter data is not exist!Your expression may be wrong!{reason}");
        return Err(refuse(ResponseCode::FILTER_DATA_NOT_EXIST, remark));
    };
    if found.client_version < request.sub_version {
        let remark = "the consumer's consumer filter data not latest";
        return Err(refuse(ResponseCode::FILTER_DATA_NOT_LATEST, remark));
    }
    let expression = match found.expression {
        Some(expression) => expression,
        None => broker
            .filters
            .compile(&subscription.sub_string)
            .map_err(|error| unparsable(&subscription.sub_string, &error))?,
    };
    Ok(sql(broker, request, expression))
}

fn sql(broker: &Broker, request: &PullMessage<'_>, expression: Arc<SqlExpression>) -> PullFilter {
    let group = &request.consumer_group;
    let is_retry = request.topic.strip_prefix(names::RETRY_PREFIX) == Some(&**group);
    match is_retry && broker.config().filter_support_retry {
        true => PullFilter::SqlOfRetry { group: (&**group).into(), filters: broker.filters.clone() },
        false => PullFilter::Sql(expression),
    }
}

fn tags(expression: &str) -> Result<PullFilter, Refusal> {
    TagExpression::parse(expression)
        .map(PullFilter::Tags)
        .map_err(|error| refuse(ResponseCode::SUBSCRIPTION_PARSE_FAILED, error.to_string()))
}

/// Whether this broker filters by expressions of this type.
fn check_type(broker: &Broker, expression_type: &str) -> Result<(), Refusal> {
    if !broker.config().enable_property_filter {
        let remark = format!(
            "The broker does not support consumer to filter message by {expression_type}; \
             set enablePropertyFilter=true on the broker"
        );
        return Err(refuse(ResponseCode::SYSTEM_ERROR, remark));
    }
    if expression_type != SQL92 {
        let remark = format!("the expression type {expression_type:?} is not known; there are TAG and SQL92");
        return Err(refuse(ResponseCode::SUBSCRIPTION_PARSE_FAILED, remark));
    }
    Ok(())
}

fn unparsable(expression: &str, error: &SyntaxError) -> Refusal {
    let shown: String = expression.chars().take(100).collect();
    let remark = format!("the SQL92 expression {shown:?} does not compile: {error}");
    refuse(ResponseCode::SUBSCRIPTION_PARSE_FAILED, remark)
}

/// CHECK_CLIENT_CONFIG (46): whether a subscription compiles here.
pub(crate) fn check_config(broker: &Broker, request: &wire::CheckClientConfig) -> Response {
    let subscription = &request.body.subscription_data;
    let checked = match is_tag(&subscription.expression_type) {
        true => tags(&subscription.sub_string).map(drop),
        false => check_type(broker, &subscription.expression_type).and_then(|()| {
            let expression = &subscription.sub_string;
            broker.filters.compile(expression).map(drop).map_err(|error| unparsable(expression, &error))
        }),
    };
    checked.map_or_else(Response::from, |()| Response::ok())
}

#[cfg(feature = "wasm-filter")]
pub(crate) use super::functions::register as register_function;

/// REGISTER_MESSAGE_FILTER_CLASS (302), where functions are not built in.
#[cfg(not(feature = "wasm-filter"))]
pub(crate) fn register_function(
    _: &Broker,
    _: &super::handler::Caller<'_>,
    request: &wire::RegisterMessageFilterClass<'_>,
) -> Response {
    let remark = format!(
        "no filter function for topic[{}]: this broker is built without the feature wasm-filter",
        request.topic
    );
    Response::error(ResponseCode::NO_PERMISSION, remark)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::record::NewRecord;

    fn record(properties: &str) -> Vec<u8> {
        let encoded = properties.replace('=', "\u{1}").replace(' ', "\u{2}");
        let host = "127.0.0.1:10911".parse().unwrap();
        let record = NewRecord {
            topic: "T",
            queue_id: 0,
            flag: 0,
            sys_flag: 0,
            born_timestamp: 0,
            born_host: host,
            store_host: host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: b"x",
            properties: encoded.as_bytes(),
        };
        record.encode(7, 0, 0)
    }

    /// A waiting pull is woken by what passes its filter, and the record is read only where that takes it.
    #[test]
    fn arrivals_are_judged_as_pulls_are() {
        let arrival = |tags_code| Arrival {
            topic: "T",
            queue_id: 0,
            offset: 7,
            next_offset: 8,
            physical_offset: 0,
            tags_code,
            store_timestamp: 0,
        };
        let (six, five, read) = (record("a=6 b=1"), record("a=5"), Cell::new(0));
        let wants = |filter: &PullFilter, tags_code, bytes: &[u8]| {
            let look = || {
                read.set(read.get() + 1);
                RecordView::parse(bytes).ok()
            };
            filter.wants(&arrival(tags_code), look)
        };
        let tags = tags("A").unwrap();
        assert!(wants(&tags, 65, &six) && !wants(&tags, 66, &six));
        assert_eq!(read.get(), 0);
        let sql = PullFilter::Sql(Arc::new(SqlExpression::parse("a > 5").unwrap()));
        assert!(wants(&sql, 0, &six) && !wants(&sql, 0, &five));
        assert!(wants(&sql, 0, b"unreadable"), "the look into the queue decides then");
        assert_eq!(read.get(), 3);
    }
}
