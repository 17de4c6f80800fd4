//! What clients say of themselves and what they subscribe to.

use serde::{Deserialize, Serialize};

use super::lenient;

/// HEART_BEAT (34): all groups of a client.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeartbeatData {
    /// `<ip>@<instance>[@<unit>]`.
    #[serde(rename = "clientID")]
    pub client_id: String,
    /// The groups it produces in.
    pub producer_data_set: Vec<ProducerData>,
    /// The groups it consumes in.
    pub consumer_data_set: Vec<ConsumerData>,
    /// 0 in a full heartbeat (5.x).
    pub heartbeat_fingerprint: i32,
    /// Whether the subscriptions are left out because they are as before (5.x).
    pub without_sub: bool,
}

/// A group that a client produces in.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerData {
    /// The group.
    pub group_name: String,
}

/// A group that a client consumes in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerData {
    /// The group.
    pub group_name: String,
    /// `CONSUME_ACTIVELY` (pull), `CONSUME_PASSIVELY` (push), `CONSUME_POP`.
    #[serde(deserialize_with = "lenient::consume_type")]
    pub consume_type: String,
    /// `CLUSTERING` or `BROADCASTING`.
    #[serde(deserialize_with = "lenient::message_model")]
    pub message_model: String,
    /// `CONSUME_FROM_LAST_OFFSET`, `CONSUME_FROM_FIRST_OFFSET`, `CONSUME_FROM_TIMESTAMP`.
    #[serde(deserialize_with = "lenient::consume_from_where")]
    pub consume_from_where: String,
    /// What it subscribes to.
    pub subscription_data_set: Vec<SubscriptionData>,
    /// Unit mode.
    pub unit_mode: bool,
}

impl Default for ConsumerData {
    fn default() -> Self {
        ConsumerData {
            group_name: String::new(),
            consume_type: "CONSUME_PASSIVELY".into(),
            message_model: "CLUSTERING".into(),
            consume_from_where: "CONSUME_FROM_LAST_OFFSET".into(),
            subscription_data_set: Vec::new(),
            unit_mode: false,
        }
    }
}

/// A topic and what of it is wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionData {
    /// The topic.
    pub topic: String,
    /// The filter expression, `*` for all.
    pub sub_string: String,
    /// The tags in it.
    pub tags_set: Vec<String>,
    /// [`crate::message::java_hash`] of each tag.
    #[serde(deserialize_with = "lenient::numbers")]
    pub code_set: Vec<i32>,
    /// When the subscription was made, ms.
    #[serde(deserialize_with = "lenient::number")]
    pub sub_version: i64,
    /// `TAG` or `SQL92`.
    pub expression_type: String,
    /// Always false.
    pub class_filter_mode: bool,
}

impl Default for SubscriptionData {
    fn default() -> Self {
        SubscriptionData {
            topic: String::new(),
            sub_string: String::new(),
            tags_set: Vec::new(),
            code_set: Vec::new(),
            sub_version: 0,
            expression_type: "TAG".into(),
            class_filter_mode: false,
        }
    }
}

/// CHECK_CLIENT_CONFIG (46): a subscription to be checked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CheckClientRequestBody {
    /// The client.
    pub client_id: String,
    /// Its group.
    pub group: String,
    /// The subscription.
    pub subscription_data: SubscriptionData,
}

#[cfg(test)]
mod tests {
    use super::super::super::json;
    use super::*;

    #[test]
    fn heartbeats_of_other_languages_are_read() {
        let old_cpp = r#"{"clientID":"c","consumerDataSet":[{"consumeFromWhere":4,"consumeType":1,"groupName":"g",
            "messageModel":1,"subscriptionDataSet":[{"codeSet":[2598919],"subString":"TagA","subVersion":"1700000000000",
            "tagsSet":["TagA"],"topic":"t"}]}]}
"#;
        let read: HeartbeatData = json::from_slice(old_cpp.as_bytes()).unwrap();
        let group = &read.consumer_data_set[0];
        assert_eq!(group.consume_from_where, "CONSUME_FROM_FIRST_OFFSET");
        assert_eq!(
            (group.consume_type.as_str(), group.message_model.as_str()),
            ("CONSUME_PASSIVELY", "CLUSTERING")
        );
        let subscription = &group.subscription_data_set[0];
        assert_eq!(
            (subscription.sub_version, subscription.expression_type.as_str()),
            (1_700_000_000_000, "TAG")
        );

        let go = r#"{"clientID":"c","producerDataSet":null,"consumerDataSet":[{"groupName":"g","unitMode":false,
            "subscriptionDataSet":[{"topic":"t","tagsSet":null,"codeSet":["2598919","-1"],"subVersion":7}]}]}"#;
        let read: HeartbeatData = json::from_slice(go.as_bytes()).unwrap();
        assert_eq!(read.producer_data_set, []);
        let subscription = &read.consumer_data_set[0].subscription_data_set[0];
        assert_eq!((subscription.code_set.as_slice(), subscription.sub_version), (&[2_598_919, -1][..], 7));
        assert_eq!(subscription.tags_set, Vec::<String>::new());
    }

    #[test]
    fn a_subscription_shared_by_two_groups_may_be_a_reference() {
        let shared = r#"{"clientID":"c","consumerDataSet":[
            {"groupName":"a","subscriptionDataSet":[{"topic":"t","subString":"*"}]},
            {"groupName":"b","subscriptionDataSet":[{"$ref":"$.consumerDataSet[0].subscriptionDataSet[0]"}]}]}"#;
        let read: HeartbeatData = json::from_slice(shared.as_bytes()).unwrap();
        let [a, b] = &read.consumer_data_set[..] else { panic!("two groups") };
        assert_eq!(a.subscription_data_set, b.subscription_data_set);
        assert_eq!(b.subscription_data_set[0].topic, "t");
    }
}
