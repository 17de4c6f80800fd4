//! Values of every type of this room at random, and the tests that none is lost on its way through the bytes.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use serde::{de::DeserializeOwned, Serialize};
use serde_json::Value;

use super::body::*;
use super::{json, Encoding, Frame, MessageIds, Request, Response, ResponseHeader, SendForm};

/// A source of numbers (xorshift).
pub(super) struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Random(seed | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 11) as usize % limit
    }
}

pub(super) trait Sample {
    fn sample(random: &mut Random) -> Self;
}

impl Sample for bool {
    fn sample(random: &mut Random) -> Self {
        random.below(2) == 0
    }
}

impl Sample for i64 {
    fn sample(random: &mut Random) -> Self {
        let wide = random.next() as i64;
        [0, -1, 1, i64::MAX, i64::MIN, wide, wide >> 40][random.below(7)]
    }
}

impl Sample for i32 {
    fn sample(random: &mut Random) -> Self {
        [0, -1, i32::MAX, i32::MIN, random.next() as i32][random.below(5)]
    }
}

impl Sample for f64 {
    fn sample(random: &mut Random) -> Self {
        random.below(1000) as f64 / 8.0
    }
}

impl Sample for String {
    /// Never empty, as the binary header takes that for null.
    fn sample(random: &mut Random) -> Self {
        const ODD: [char; 16] = [
            'a', 'Z', '9', ' ', '"', '\\', '\'', '{', '\u{1}', '\u{2}', '\n', '\u{7f}', 'é', '中', '😀',
            '\u{fffd}',
        ];
        let length = [1, 2, 7, 8, 9, 40, 300][random.below(7)];
        // Not { in front: such a map key passes for an object.
        let first = ['t', '%', '中'][random.below(3)];
        std::iter::once(first).chain((1..length).map(|_| ODD[random.below(ODD.len())])).collect()
    }
}

impl Sample for Cow<'_, str> {
    fn sample(random: &mut Random) -> Self {
        Cow::Owned(String::sample(random))
    }
}

impl Sample for Arc<str> {
    fn sample(random: &mut Random) -> Self {
        String::sample(random).into()
    }
}

impl Sample for &[u8] {
    fn sample(random: &mut Random) -> Self {
        [&b""[..], b"body", b"\0\xff{\""][random.below(3)]
    }
}

impl Sample for MessageIds {
    fn sample(random: &mut Random) -> Self {
        MessageIds::Text(String::sample(random))
    }
}

impl Sample for SendForm {
    fn sample(random: &mut Random) -> Self {
        use SendForm::*;
        [V1, V2, Batch, BatchV1, Reply, ReplyV2][random.below(6)]
    }
}

impl Sample for Value {
    fn sample(random: &mut Random) -> Self {
        serde_json::json!({ "type": String::sample(random) })
    }
}

impl<T: Sample> Sample for Option<T> {
    fn sample(random: &mut Random) -> Self {
        bool::sample(random).then(|| T::sample(random))
    }
}

macro_rules! collections {
    ($($collection:ident<$($item:ident),+>: $bound:ident;)*) => { $(
        impl<$($item: Sample + $bound),+> Sample for $collection<$($item),+> {
            fn sample(random: &mut Random) -> Self {
                (0..random.below(4)).map(|_| Sample::sample(random)).collect()
            }
        }
    )* };
}
collections! {
    Vec<T>: Sized;
    BTreeSet<T>: Ord;
}

impl<K: Sample + Ord, V: Sample> Sample for BTreeMap<K, V> {
    fn sample(random: &mut Random) -> Self {
        (0..random.below(4)).map(|_| (K::sample(random), V::sample(random))).collect()
    }
}

macro_rules! structs {
    ($($name:ident { $($field:ident)* })*) => { $(
        impl Sample for $name {
            fn sample(random: &mut Random) -> Self {
                $name { $($field: Sample::sample(random),)* }
            }
        }
    )* };
}

structs! {
    BrokerData { cluster broker_name broker_addrs zone_name enable_acting_master }
    BrokerMemberGroup { cluster broker_name broker_addrs }
    BrokerStatsData { stats_minute stats_hour stats_day }
    BrokerStatsItem { sum tps avgpt }
    CheckClientRequestBody { client_id group subscription_data }
    ClusterInfo { broker_addr_table cluster_addr_table }
    Connection { client_id client_addr language version }
    ConsumeMessageDirectlyResult { order auto_commit consume_result remark spent_time_mills }
    ConsumeQueueData { physic_offset physic_size tags_code extend_data_json bit_map eval msg }
    ConsumeStats { offset_table consume_tps }
    ConsumeStatsList { consume_stats_list broker_addr total_diff total_inflight_diff }
    ConsumeStatus { pull_rt pull_tps consume_rt consume_ok_tps consume_failed_tps consume_failed_msgs }
    ConsumerConnection { connection_set subscription_table consume_type message_model consume_from_where }
    ConsumerData { group_name consume_type message_model consume_from_where subscription_data_set unit_mode }
    ConsumerOffsetSerializeWrapper { offset_table data_version }
    ConsumerRunningInfo { properties subscription_set mq_table status_table jstack }
    CreateTopicListRequestBody { topic_config_list }
    DataVersion { state_version timestamp counter }
    DelayOffsetSerializeWrapper { offset_table data_version }
    GetBrokerMemberGroupResponseBody { broker_member_group }
    GetConsumerListByGroupResponseBody { consumer_id_list }
    GetConsumerStatusBody { message_queue_table consumer_table }
    GroupList { group_list }
    HeartbeatData { client_id producer_data_set consumer_data_set heartbeat_fingerprint without_sub }
    KvTable { table }
    LockBatchRequestBody { consumer_group client_id only_this_broker mq_set }
    LockBatchResponseBody { lock_ok_mq_set }
    MessageQueue { broker_name queue_id topic }
    OffsetWrapper { broker_offset consumer_offset pull_offset last_timestamp }
    ProcessQueueInfo {
        commit_offset cached_msg_min_offset cached_msg_max_offset cached_msg_count cached_msg_size_in_mi_b
        transaction_msg_min_offset transaction_msg_max_offset transaction_msg_count locked try_unlock_times
        last_lock_timestamp droped last_pull_timestamp last_consume_timestamp
    }
    ProducerConnection { connection_set }
    ProducerData { group_name }
    ProducerInfo { client_id remote_ip language version last_update_timestamp }
    ProducerTableInfo { data }
    QueryConsumeQueueResponseBody {
        subscription_data filter_data queue_data max_queue_index min_queue_index
    }
    QueryConsumeTimeSpanBody { consume_time_span_set }
    QueryCorrectionOffsetBody { correction_offsets }
    QuerySubscriptionResponseBody { subscription_data group topic }
    QueueTimeSpan { message_queue min_time_stamp max_time_stamp consume_time_stamp delay_time }
    QueueData { broker_name read_queue_nums write_queue_nums perm topic_sys_flag }
    QueueOffset { broker_name offset queue_id topic }
    RegisterBrokerBody { topic_config_serialize_wrapper filter_server_list }
    SubscriptionData { topic sub_string tags_set code_set sub_version expression_type class_filter_mode }
    SubscriptionGroupConfig {
        group_name consume_enable consume_from_min_enable consume_broadcast_enable consume_message_orderly
        retry_queue_nums retry_max_times group_retry_policy broker_id which_broker_when_consume_slowly
        notify_consumer_ids_changed_enable group_sys_flag consume_timeout_minute subscription_data_set attributes
    }
    SubscriptionGroupList { group_config_list }
    SubscriptionGroupWrapper { subscription_group_table forbidden_table data_version }
    TopicConfig {
        topic_name read_queue_nums write_queue_nums perm topic_filter_type topic_sys_flag order attributes
    }
    TopicConfigAndQueueMapping { config mapping_detail }
    TopicConfigSerializeWrapper {
        topic_config_table data_version mapping_data_version topic_queue_mapping_info_map
        topic_queue_mapping_detail_map
    }
    TopicList { topic_list broker_addr }
    TopicOffset { min_offset max_offset last_update_timestamp }
    TopicRouteData { order_topic_conf queue_datas broker_datas filter_server_table }
    TopicStatsTable { offset_table topic_put_tps }
    UnlockBatchRequestBody { consumer_group client_id only_this_broker mq_set }
}

impl Sample for OffsetTable {
    fn sample(random: &mut Random) -> Self {
        OffsetTable(Sample::sample(random))
    }
}

impl Sample for ProcessQueueTable {
    fn sample(random: &mut Random) -> Self {
        ProcessQueueTable(Sample::sample(random))
    }
}

impl Sample for ResetOffsetBody {
    fn sample(random: &mut Random) -> Self {
        match bool::sample(random) {
            true => ResetOffsetBody::Table { offset_table: Sample::sample(random) },
            false => ResetOffsetBody::List { offset_table: vec![Sample::sample(random)] },
        }
    }
}

/// Writes a body in both forms and reads it again.
fn assert_body_survives<T>(random: &mut Random)
where
    T: Sample + Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let body = T::sample(random);
    for bytes in [json::to_vec(&body), json::to_old_vec(&body)] {
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(
            json::from_slice::<T>(&bytes).unwrap_or_else(|error| panic!("{error}: {text}")),
            body,
            "{text}"
        );
    }
}

macro_rules! bodies {
    ($random:ident: $($body:ident)*) => { $(assert_body_survives::<$body>($random);)* };
}

fn assert_bodies_survive(random: &mut Random) {
    bodies! { random:
        BrokerStatsData CheckClientRequestBody ClusterInfo ConsumeMessageDirectlyResult ConsumeStats
        ConsumeStatsList ConsumerConnection CreateTopicListRequestBody QueryConsumeQueueResponseBody
        QueryConsumeTimeSpanBody QueryCorrectionOffsetBody QuerySubscriptionResponseBody SubscriptionGroupList
        ConsumerOffsetSerializeWrapper ConsumerRunningInfo DataVersion
        DelayOffsetSerializeWrapper GetBrokerMemberGroupResponseBody GetConsumerListByGroupResponseBody
        GetConsumerStatusBody GroupList HeartbeatData KvTable LockBatchRequestBody LockBatchResponseBody
        ProducerConnection ProducerTableInfo RegisterBrokerBody ResetOffsetBody SubscriptionGroupConfig
        SubscriptionGroupWrapper TopicConfigAndQueueMapping TopicConfigSerializeWrapper TopicList TopicRouteData
        TopicStatsTable UnlockBatchRequestBody
    }
}

const ENCODINGS: [Encoding; 2] = [Encoding::Json, Encoding::Binary];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn requests_survive_encoding(seed: u64, opaque: i32, oneway: bool) {
        let mut bytes = Vec::new();
        for request in Request::samples(&mut Random::new(seed)) {
            for encoding in ENCODINGS {
                bytes.clear();
                request.encode(encoding, opaque, oneway, &mut bytes).unwrap();
                let frame = Frame::decode(&bytes).unwrap();
                prop_assert_eq!((frame.encoding, frame.opaque, frame.is_oneway()), (encoding, opaque, oneway));
                prop_assert!(!frame.is_response());
                prop_assert_eq!(&Request::decode(&frame).unwrap(), &request);
            }
        }
    }

    #[test]
    fn responses_survive_encoding(seed: u64, opaque: i32) {
        let random = &mut Random::new(seed);
        for (header, decode) in ResponseHeader::samples(random) {
            for encoding in ENCODINGS {
                let mut response = Response::ok().with_header(header.clone()).with_body(vec![0; random.below(9)]);
                response.remark = Sample::sample(random);
                let mut bytes = b"before".to_vec();
                response.encode(encoding, opaque, &mut bytes);
                let frame = Frame::decode(&bytes[6..]).unwrap();
                prop_assert_eq!((frame.encoding, frame.opaque, frame.is_response()), (encoding, opaque, true));
                prop_assert_eq!(frame.remark.as_deref(), response.remark.as_deref());
                prop_assert_eq!(frame.body.len(), response.body.len());
                prop_assert_eq!(&decode(&frame).unwrap(), &header);
            }
        }
    }

    #[test]
    fn bodies_survive_both_forms(seed: u64) {
        assert_bodies_survive(&mut Random::new(seed));
    }

    #[test]
    fn a_frame_of_any_bytes_is_read_or_refused(mut bytes: Vec<u8>, header in any::<prop::sample::Index>()) {
        bytes.splice(0..0, [0; 8]);
        let length = bytes.len() as u32 - 4;
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        bytes[7] = header.index(length as usize) as u8;
        for encoding in 0..3 {
            bytes[4] = encoding;
            if let Ok(frame) = Frame::decode(&bytes) {
                let _ = Request::decode(&frame);
            }
        }
    }
}
