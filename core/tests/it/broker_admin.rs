//! What operators see and do: figures, progress, lists, settings, cleaning; and members of groups that are not as they
//! should be.

use std::collections::BTreeMap;

use ferromq::config::BrokerConfig;
use ferromq::wire::body::*;
use ferromq::wire::*;

use crate::logs;
use crate::net_support::eventually;
use crate::support::{
    create_topic, message, pull, send_back, start_server, start_with, Answer, RawClient, TestServer,
};

/// What a client says of itself.
pub struct Beat<'a> {
    pub client_id: &'a str,
    pub group: &'a str,
    pub topic: &'a str,
    pub expression: &'a str,
    pub language: &'a str,
    pub version: i32,
    pub produces: bool,
    pub unit_mode: bool,
}

impl<'a> Beat<'a> {
    /// A Java consumer.
    pub fn new(client_id: &'a str, group: &'a str, topic: &'a str, expression: &'a str) -> Self {
        Beat {
            client_id,
            group,
            topic,
            expression,
            language: "JAVA",
            version: 401,
            produces: false,
            unit_mode: false,
        }
    }

    fn frame(&self) -> Vec<u8> {
        let mut body = HeartbeatData { client_id: self.client_id.into(), ..Default::default() };
        if self.produces {
            body.producer_data_set.push(ProducerData { group_name: self.group.into() });
        } else {
            let subscription = SubscriptionData {
                topic: self.topic.into(),
                sub_string: self.expression.into(),
                ..Default::default()
            };
            body.consumer_data_set.push(ConsumerData {
                group_name: self.group.into(),
                subscription_data_set: vec![subscription],
                unit_mode: self.unit_mode,
                ..Default::default()
            });
        }
        let body = json::to_vec(&body);
        let header = format!(
            r#"{{"code":34,"flag":0,"language":"{}","opaque":1,"version":{}}}"#,
            self.language, self.version
        );
        let mut frame = ((header.len() + 4 + body.len()) as u32).to_be_bytes().to_vec();
        frame.extend_from_slice(&(header.len() as u32).to_be_bytes());
        frame.extend_from_slice(header.as_bytes());
        frame.extend_from_slice(&body);
        frame
    }

    /// Sends it and waits for the response; the notes that come before it are passed over.
    pub fn send(&self, client: &mut RawClient) {
        client.write(&self.frame());
        while !client.receive().frame().is_response() {}
    }
}

/// A client that said this.
pub fn beat_as(server: &TestServer, beat: &Beat<'_>) -> RawClient {
    let mut client = server.broker();
    beat.send(&mut client);
    client
}

/// A connected consumer.
pub fn consumer(server: &TestServer, id: &str, group: &str, topic: &str, expression: &str) -> RawClient {
    beat_as(server, &Beat::new(id, group, topic, expression))
}

/// A request that sets an offset.
pub fn commit(group: &str, topic: &str, queue_id: i32, commit_offset: i64) -> Request<'static> {
    Request::UpdateConsumerOffset(UpdateConsumerOffset {
        consumer_group: group.to_owned().into(),
        topic: topic.to_owned().into(),
        queue_id,
        commit_offset,
    })
}

/// Makes a group.
pub fn make_group(client: &mut RawClient, name: &str) {
    client.call(&group_list(&[(name, 16)])).ok();
}

/// Where a group is in a queue; -1 if nowhere.
pub fn offset_of(client: &mut RawClient, group: &str, topic: &str, queue_id: i32) -> i64 {
    let answer = client.call(&Request::QueryConsumerOffset(QueryConsumerOffset {
        consumer_group: group.to_owned().into(),
        topic: topic.to_owned().into(),
        queue_id,
        set_zero_if_not_found: Some(false),
    }));
    if answer.code() == ResponseCode::SUCCESS {
        answer.field("offset").parse().unwrap()
    } else {
        -1
    }
}

fn read<T: serde::de::DeserializeOwned>(answer: &Answer) -> T {
    json::from_slice(answer.frame().body).unwrap()
}

/// The figures of a broker.
pub fn runtime_info(client: &mut RawClient) -> BTreeMap<String, String> {
    read::<KvTable>(&client.call(&Request::GetBrokerRuntimeInfo).ok()).table
}

fn stats(client: &mut RawClient, name: &str, key: &str) -> BrokerStatsData {
    let ask = ViewBrokerStatsData { stats_name: name.to_owned().into(), stats_key: key.to_owned().into() };
    read(&client.call(&Request::ViewBrokerStatsData(ask)).ok())
}

#[test]
fn figures_are_true() {
    let server = start_server("brokerClusterName=Counted");
    let mut client = server.broker();
    client.create_topic("T", 1);
    assert_eq!(stats(&mut client, "TOPIC_PUT_NUMS", "T"), BrokerStatsData::default());
    for _ in 0..5 {
        client.produce("T", 0, b"four", "").ok();
    }
    client.produce("T", 0, b"four", "DELAY=1").ok();
    let mut few = pull("G", "T", 0, 0, 0);
    few.max_msg_nums = 2;
    let got = client.call(&Request::PullMessage(few)).ok().records();
    assert_eq!(got.len(), 2);
    client.call(&Request::PullMessage(pull("G", "T", 0, 2, 0))).ok();
    client.call(&send_back("G", &got[0], 3)).ok();
    // Where a message says it comes from is nowhere: nothing is counted.
    client.produce("Other", 0, b"x", "RETRY_TOPIC=Ghost").ok();
    let of_ghost = client.pull_all("Other", 0, 0).remove(0);
    client.call(&send_back("G", &of_ghost, 3)).ok();
    client.create_topic("Ghost", 1);
    assert_eq!(stats(&mut client, "SNDBCK_PUT_NUMS", "Ghost@G"), BrokerStatsData::default());

    let put = stats(&mut client, "TOPIC_PUT_NUMS", "T");
    assert_eq!((put.stats_minute.sum, put.stats_hour.sum, put.stats_day.sum), (5, 5, 5));
    assert!(put.stats_minute.tps > 0.0 && put.stats_minute.avgpt == 1.0, "{put:?}");
    assert_eq!(stats(&mut client, "TOPIC_PUT_NUMS", "SCHEDULE_TOPIC_XXXX").stats_minute.sum, 3);
    let taken = stats(&mut client, "GROUP_GET_NUMS", "T@G").stats_minute;
    assert_eq!((taken.sum, taken.avgpt), (5, 2.5), "five messages by two pulls");
    let bytes = stats(&mut client, "TOPIC_PUT_SIZE", "T").stats_minute.sum;
    assert!(bytes > 5 * 4, "whole records: {bytes}");
    assert_eq!(stats(&mut client, "GROUP_GET_SIZE", "T@G").stats_minute.sum, bytes);
    assert_eq!(stats(&mut client, "SNDBCK_PUT_NUMS", "T@G").stats_minute.sum, 1);
    assert_eq!(stats(&mut client, "BROKER_PUT_NUMS", "Counted").stats_day.sum, 9);
    assert_eq!(stats(&mut client, "BROKER_GET_NUMS", "Counted").stats_day.sum, 6);
    // The delayed message counts for its topic when it gets there.
    server.pass(2);
    client.await_messages("T", 0, 6);
    assert_eq!(stats(&mut client, "TOPIC_PUT_NUMS", "T").stats_minute.sum, 6);
    for (name, key) in [
        ("TOPIC_PUT_NUMS", "Nowhere"),
        ("GROUP_GET_NUMS", "T@Nobody"),
        ("GROUP_GET_NUMS", "T"),
        ("NOTHING", "Counted"),
        ("BROKER_PUT_NUMS", "Other"),
    ] {
        let ask = ViewBrokerStatsData { stats_name: name.into(), stats_key: key.into() };
        let answer = client.call(&Request::ViewBrokerStatsData(ask));
        assert_eq!(answer.code(), ResponseCode::SYSTEM_ERROR);
        assert_eq!(answer.remark(), format!("The stats <{name}> <{key}> not exist"));
    }

    let info = runtime_info(&mut client);
    assert_eq!(info["msgPutTotalTodayNow"], "10");
    assert_eq!(info["putMessageFailedTimes"], "0");
    for number in
        ["msgPutTotalYesterdayMorning", "msgGetTotalTodayMorning", "sendThreadPoolQueueHeadWaitTimeMills"]
    {
        assert_eq!(info[number], "0", "{number}");
    }
    assert_eq!(info["putTps"].split(' ').filter_map(|rate| rate.parse::<f64>().ok()).count(), 3);
    let ask = GetTopicStatsInfo { topic: "T".into() };
    let table: TopicStatsTable = read(&client.call(&Request::GetTopicStatsInfo(ask)).ok());
    let offsets: Vec<_> =
        table.offset_table.values().map(|queue| (queue.min_offset, queue.max_offset)).collect();
    assert_eq!(offsets, [(0, 6)]);
    assert!(table.topic_put_tps > 0.0);
    // A topic made anew begins at 0.
    client.call(&Request::DeleteTopicInBroker(DeleteTopicInBroker { topic: "T".into() })).ok();
    client.create_topic("T", 1);
    assert_eq!(stats(&mut client, "TOPIC_PUT_NUMS", "T"), BrokerStatsData::default());
    assert_eq!(stats(&mut client, "GROUP_GET_NUMS", "T@G"), BrokerStatsData::default());
}

#[test]
fn progress_of_groups_is_told() {
    let server = start_server("");
    let mut client = server.broker();
    client.create_topic("T", 2);
    for number in 0..6u8 {
        client.produce("T", i32::from(number % 2), &[number], "").ok();
    }
    let unknown = client.call(&commit("G", "T", 0, 2));
    assert_eq!(unknown.code(), ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, "{}", unknown.remark());
    client.call(&Request::PullMessage(pull("G", "T", 0, 0, 0))).ok();
    client.call(&commit("G", "T", 0, 2)).ok();
    let ask = |topic: Option<&'static str>| {
        Request::GetConsumeStats(GetConsumeStats {
            consumer_group: "G".into(),
            topic: topic.map(Into::into),
            topic_list: None,
        })
    };
    for topic in [None, Some("T")] {
        let progress: ConsumeStats = read(&client.call(&ask(topic)).ok());
        let at: Vec<_> =
            progress.offset_table.values().map(|at| (at.broker_offset, at.consumer_offset)).collect();
        assert_eq!(at, [(3, 2), (3, 0)]);
        let pulled: Vec<_> = progress.offset_table.values().map(|at| at.pull_offset).collect();
        assert_eq!(pulled, [3, 0]);
        assert!(progress.offset_table.values().next().unwrap().last_timestamp > 0);
        assert!(progress.consume_tps > 0.0);
    }
    let all: ConsumeStatsList =
        read(&client.call(&Request::GetBrokerConsumeStats(GetBrokerConsumeStats { is_order: false })).ok());
    assert_eq!((all.total_diff, all.total_inflight_diff), (4, 1));
    let of_group = all.consume_stats_list.iter().find_map(|group| group.get("G")).unwrap();
    assert_eq!(of_group.len(), 1);
    let ordered: ConsumeStatsList =
        read(&client.call(&Request::GetBrokerConsumeStats(GetBrokerConsumeStats { is_order: true })).ok());
    assert_eq!(ordered.total_diff, 0);

    server.pass(100);
    let ask_span = QueryConsumeTimeSpan { topic: "T".into(), group: "G".into() };
    let spans: QueryConsumeTimeSpanBody = read(&client.call(&Request::QueryConsumeTimeSpan(ask_span)).ok());
    let [first, second] = &spans.consume_time_span_set[..] else { panic!("{spans:?}") };
    assert!(first.delay_time >= 100_000 && second.delay_time >= first.delay_time - 1, "{spans:?}");
    assert!(first.min_time_stamp <= first.consume_time_stamp);
    assert!(first.consume_time_stamp <= first.max_time_stamp);
    let nowhere = QueryConsumeTimeSpan { topic: "Nowhere".into(), group: "G".into() };
    let answer = client.call(&Request::QueryConsumeTimeSpan(nowhere));
    assert_eq!(answer.code(), ResponseCode::TOPIC_NOT_EXIST);

    // Who consumes what: by offsets, and by what connected members subscribe to.
    let _member = consumer(&server, "a", "Connected", "T", "x || y");
    let ask = QueryTopicConsumeByWho { topic: "T".into() };
    let groups: GroupList = read(&client.call(&Request::QueryTopicConsumeByWho(ask)).ok());
    assert_eq!(groups.group_list, ["Connected", "G"]);
    let ask = QueryTopicsByConsumer { group: "G".into() };
    let topics: TopicList = read(&client.call(&Request::QueryTopicsByConsumer(ask)).ok());
    assert_eq!(topics.topic_list, ["T"]);
    let ask = QuerySubscriptionByConsumer { group: "Connected".into(), topic: Some("T".into()) };
    let told: QuerySubscriptionResponseBody =
        read(&client.call(&Request::QuerySubscriptionByConsumer(ask)).ok());
    assert_eq!(told.subscription_data.unwrap().sub_string, "x || y");
    let offsets: ConsumerOffsetSerializeWrapper = read(&client.call(&Request::GetAllConsumerOffset).ok());
    assert_eq!(offsets.offset_table["T@G"], [(0, 2)].into());
    let delays: DelayOffsetSerializeWrapper = read(&client.call(&Request::GetAllDelayOffset).ok());
    assert!(delays.offset_table.values().all(|offset| *offset == 0));
}

/// Clients may say any number.
#[test]
fn progress_is_told_of_groups_that_are_anywhere() {
    let server = start_server("");
    let mut client = server.broker();
    client.create_topic("T", 3);
    for queue_id in 0..3 {
        client.produce("T", queue_id, b"x", "").ok();
    }
    for (queue_id, offset) in [(0, i64::MAX), (1, i64::MAX), (2, i64::MIN)] {
        let mut far = pull("G", "T", queue_id, i64::MAX, 0);
        (far.sys_flag, far.commit_offset) = (far.sys_flag | 1, offset);
        client.call(&Request::PullMessage(far));
    }
    assert_eq!(offset_of(&mut client, "G", "T", 0), i64::MAX);
    assert_eq!(offset_of(&mut client, "G", "T", 2), -1, "nothing is before the beginning");
    let ask = GetConsumeStats { consumer_group: "G".into(), ..Default::default() };
    let progress: ConsumeStats = read(&client.call(&Request::GetConsumeStats(ask)).ok());
    assert_eq!(progress.offset_table.len(), 3);
    let all: ConsumeStatsList =
        read(&client.call(&Request::GetBrokerConsumeStats(GetBrokerConsumeStats { is_order: false })).ok());
    assert!(all.total_diff < 0, "{}", all.total_diff);
    let ask = QueryConsumeTimeSpan { topic: "T".into(), group: "G".into() };
    client.call(&Request::QueryConsumeTimeSpan(ask)).ok();
    let ask = QueryCorrectionOffset { compare_group: "H".into(), topic: "T".into(), ..Default::default() };
    client.call(&Request::QueryCorrectionOffset(ask)).ok();
}

#[test]
fn a_topic_that_a_group_left_is_not_in_its_progress() {
    let server = start_server("");
    let mut client = server.broker();
    make_group(&mut client, "G");
    for topic in ["Left", "Kept"] {
        client.create_topic(topic, 1);
        client.call(&commit("G", topic, 0, 0)).ok();
    }
    let _member = consumer(&server, "a", "G", "Kept", "*");
    let ask = GetConsumeStats { consumer_group: "G".into(), ..Default::default() };
    let progress: ConsumeStats = read(&client.call(&Request::GetConsumeStats(ask)).ok());
    let topics: Vec<_> = progress.offset_table.keys().map(|queue| queue.topic.as_str()).collect();
    assert_eq!(topics, ["Kept"]);
}

#[test]
fn entries_of_a_queue_are_shown() {
    let server = start_server("");
    let mut client = server.broker();
    for tag in ["A", "B", "A"] {
        client.produce("T", 0, b"x", &format!("TAGS={tag}")).ok();
    }
    let mut show = |group: Option<&'static str>, index, count| {
        let ask = QueryConsumeQueue {
            topic: Some("T".into()),
            queue_id: 0,
            index,
            count,
            consumer_group: group.map(Into::into),
        };
        read::<QueryConsumeQueueResponseBody>(&client.call(&Request::QueryConsumeQueue(ask)).ok())
    };
    let shown = show(None, 1, 10);
    assert_eq!((shown.min_queue_index, shown.max_queue_index, shown.queue_data.len()), (0, 3, 2));
    assert_eq!(shown.queue_data[0].tags_code, i64::from(ferromq::message::java_hash("B")));
    assert!(shown.queue_data[1].physic_offset > shown.queue_data[0].physic_offset);
    assert_eq!(show(None, 0, 1).queue_data.len(), 1);
    assert!(show(None, 3, 1).queue_data.is_empty() && show(None, -1, i32::MAX).queue_data.is_empty());
    assert_eq!(show(Some("G"), 0, 3).filter_data.as_deref(), Some("G@T is not online!"));
    let _member = consumer(&server, "a", "G", "T", "A");
    let shown = show(Some("G"), 0, 3);
    assert_eq!(shown.subscription_data.unwrap().sub_string, "A");
    assert_eq!(shown.queue_data.iter().map(|entry| entry.eval).collect::<Vec<_>>(), [true, false, true]);
    let nowhere = QueryConsumeQueue { topic: Some("Nowhere".into()), queue_id: 3, ..Default::default() };
    let answer = client.call(&Request::QueryConsumeQueue(nowhere));
    assert_eq!(
        (answer.code(), answer.remark().as_str()),
        (ResponseCode::SYSTEM_ERROR, "3@Nowhere is not exist!")
    );
}

fn topic_list(topics: &[(&str, i32)]) -> Request<'static> {
    let one = |&(name, queues): &(&str, i32)| TopicConfig {
        topic_name: name.into(),
        read_queue_nums: queues,
        write_queue_nums: queues,
        ..Default::default()
    };
    let topic_config_list = topics.iter().map(one).collect();
    Request::UpdateAndCreateTopicList(UpdateAndCreateTopicList {
        body: CreateTopicListRequestBody { topic_config_list },
    })
}

fn group_list(groups: &[(&str, i32)]) -> Request<'static> {
    let one = |&(name, retries): &(&str, i32)| SubscriptionGroupConfig {
        group_name: name.into(),
        retry_max_times: retries,
        ..Default::default()
    };
    let group_config_list = groups.iter().map(one).collect();
    Request::UpdateAndCreateSubscriptiongroupList(UpdateAndCreateSubscriptiongroupList {
        body: SubscriptionGroupList { group_config_list },
    })
}

#[test]
fn lists_are_made_whole_or_not_at_all() {
    let mut server = start_server("");
    let mut client = server.broker();
    for wrong in [topic_list(&[("A", 1), ("b!d", 1)]), topic_list(&[("A", 1), ("B", -1)])] {
        assert_eq!(client.call(&wrong).code(), ResponseCode::INVALID_PARAMETER);
    }
    let wrong = group_list(&[("A", 1), ("b!d", 1)]);
    assert_eq!(client.call(&wrong).code(), ResponseCode::INVALID_PARAMETER);
    let topics = |client: &mut RawClient| {
        let all: TopicConfigSerializeWrapper =
            read(&client.call(&Request::GetAllTopicConfig(GetAllTopicConfig::default())).ok());
        all.topic_config_table
    };
    let groups = |client: &mut RawClient| {
        let ask = GetAllSubscriptiongroupConfig::default();
        let all: SubscriptionGroupWrapper =
            read(&client.call(&Request::GetAllSubscriptiongroupConfig(ask)).ok());
        all.subscription_group_table
    };
    assert!(!topics(&mut client).contains_key("A") && !groups(&mut client).contains_key("A"));
    client.call(&topic_list(&[("A", 3), ("B", 1)])).ok();
    client.call(&group_list(&[("A", 3), ("B", 1)])).ok();
    let delete = DeleteSubscriptiongroup { group_name: "B".into(), ..Default::default() };
    client.call(&Request::DeleteSubscriptiongroup(delete)).ok();
    // What was answered is in the files.
    server.restart();
    let mut client = server.broker();
    assert_eq!(topics(&mut client)["A"].read_queue_nums, 3);
    let all = groups(&mut client);
    assert_eq!((all["A"].retry_max_times, all.contains_key("B")), (3, false));
    let ask = Request::GetTopicConfig(GetTopicConfig { topic: "B".into() });
    assert_eq!(read::<TopicConfigAndQueueMapping>(&client.call(&ask).ok()).config.topic_name, "B");
    for (group, code) in [("A", ResponseCode::SUCCESS), ("B", ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST)] {
        let ask = Request::GetSubscriptiongroupConfig(GetSubscriptiongroupConfig { group: group.into() });
        assert_eq!(client.call(&ask).code(), code);
    }
}

#[test]
fn topics_made_by_the_thousand_are_all_kept() {
    const COUNT: usize = 10_000;
    let mut server = start_server("");
    let mut client = server.broker();
    let names: Vec<String> = (0..COUNT).map(|number| format!("Many{number}")).collect();
    for some in names.chunks(1000) {
        for name in some {
            client.send(&create_topic(name, 1, 6));
        }
        // Who makes topics holds up nobody: another connection is served meanwhile.
        server.broker().produce("Other", 0, b"x", "").ok();
        for _ in some {
            client.receive().ok();
        }
    }
    server.restart();
    let mut client = server.broker();
    let all: TopicConfigSerializeWrapper =
        read(&client.call(&Request::GetAllTopicConfig(GetAllTopicConfig::default())).ok());
    assert!(names.iter().all(|name| all.topic_config_table.contains_key(name)));
    assert_eq!(client.pull_all("Other", 0, 0).len(), 10);
    for name in [&names[0], &names[COUNT - 1]] {
        client.produce(name, 0, b"here", "").ok();
        assert_eq!(client.pull_all(name, 0, 0)[0].body, b"here");
    }
}

#[test]
fn the_brokers_own_topics_are_listed() {
    let server = start_server("brokerClusterName=Mine\nbrokerName=own\ntraceTopicEnable=true");
    let mut client = server.broker();
    client.create_topic("Users", 1);
    let list: TopicList = read(&client.call(&Request::GetSystemTopicListFromBroker).ok());
    for name in ["TBW102", "SCHEDULE_TOPIC_XXXX", "SELF_TEST_TOPIC", "RMQ_SYS_TRACE_TOPIC", "Mine", "own"] {
        assert!(list.topic_list.iter().any(|topic| topic == name), "{name} in {:?}", list.topic_list);
    }
    assert!(!list.topic_list.iter().any(|topic| topic == "Users"));
}

/// Makes a topic of unequal counts; what the answer says.
fn queues(client: &mut RawClient, topic: &'static str, read: i32, write: i32) -> String {
    let Request::UpdateAndCreateTopic(mut request) = create_topic(topic, read, 6) else { unreachable!() };
    request.write_queue_nums = write;
    client.call(&Request::UpdateAndCreateTopic(request)).ok().remark()
}

#[test]
fn queues_that_are_written_or_read_only_are_told_of() {
    logs::listen();
    let server = start_server("");
    let mut client = server.broker();
    assert_eq!(queues(&mut client, "Uneven", 8, 8), "");
    for queue in 0..8 {
        client.produce("Uneven", queue, &[queue as u8], "").ok();
    }
    // The wrong way round.
    let lost = "queues 4 to 7 are written and never read (readQueueNums=4, writeQueueNums=8)";
    assert!(queues(&mut client, "Uneven", 4, 8).contains(lost));
    assert_eq!(logs::said(&["topic Uneven", lost]), 1);
    client.produce("Uneven", 7, b"nobody sees this", "").ok();
    let refused = client.pull("Uneven", 7, 0);
    assert_eq!(refused.code(), ResponseCode::INVALID_PARAMETER);
    assert!(refused.remark().contains("readQueueNums:[4]"), "{}", refused.remark());
    // The two steps: nothing new comes into the queues that are to go, all of them can be read to their end.
    let draining = "queues 4 to 7 are read and not written";
    assert!(queues(&mut client, "Uneven", 8, 4).contains(draining));
    assert_eq!(logs::said(&["topic Uneven", draining, "readQueueNums=8, writeQueueNums=4"]), 1);
    client.produce("Uneven", 3, b"goes on", "").ok();
    // Of a producer that has not asked for the route since.
    client.produce("Uneven", 6, b"late", "").ok();
    for queue in 0..8 {
        let expected = if [3, 6, 7].contains(&queue) { 2 } else { 1 };
        let all = client.pull_all("Uneven", queue, 0);
        assert_eq!((all.len(), all[0].body[0]), (expected, queue as u8));
    }
    assert_eq!(queues(&mut client, "Uneven", 4, 4), "");
    let refused = client.produce("Uneven", 7, b"too late", "");
    assert_eq!(refused.code(), ResponseCode::INVALID_PARAMETER);
    assert!(refused.remark().contains("4 write"), "{}", refused.remark());
    for queue in 0..8 {
        let code = client.pull("Uneven", queue, 0).code();
        assert_eq!(code == ResponseCode::SUCCESS, queue < 4, "{code}");
    }
    assert!(queues(&mut client, "One", 1, 2).contains("queue 1 is written and never read"));
    let both = UpdateAndCreateTopicList {
        body: CreateTopicListRequestBody {
            topic_config_list: [("ListedA", 1, 1), ("ListedB", 1, 3)]
                .map(|(name, read_queue_nums, write_queue_nums)| TopicConfig {
                    topic_name: name.into(),
                    read_queue_nums,
                    write_queue_nums,
                    perm: 6,
                    ..Default::default()
                })
                .into(),
        },
    };
    let told = client.call(&Request::UpdateAndCreateTopicList(both)).ok().remark();
    assert!(
        told.starts_with("topic ListedB: queues 1 to 2 are written") && !told.contains("ListedA"),
        "{told}"
    );
}

fn update(settings: &str) -> Request<'_> {
    Request::UpdateBrokerConfig(UpdateBrokerConfig { body: settings.as_bytes() })
}

#[test]
fn settings_are_changed_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("broker.conf");
    std::fs::write(&path, "# mine\nfileReservedTime=72\nsomeFutureKey=1\n").unwrap();
    let server = start_with(BrokerConfig::from_file(&path).unwrap());
    let mut client = server.broker();
    client.call(&update("fileReservedTime=48\ntraceOn=false")).ok();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, "# mine\nfileReservedTime=48\nsomeFutureKey=1\ntraceOn=false\n");
    client.produce("T", 0, b"x", "").ok();
    assert_eq!(client.pull_all("T", 0, 0)[0].properties.get("TRACE_ON"), Some("false"), "from now on");
    let answer = client.call(&Request::GetBrokerConfig).ok();
    let shown = String::from_utf8(answer.frame().body.to_vec()).unwrap();
    assert!(shown.contains("\nfileReservedTime=48\n") && shown.contains("\ntraceOn=false\n"), "{shown}");
    for (wrong, named) in [
        ("fileReservedTim=1", "did you mean fileReservedTime?"),
        ("traceOn=true\nfileReservedTime=-1", "fileReservedTime"),
        ("storePathRootDir=/elsewhere", "at the start only"),
        ("aclEnable=true", "not obeyed yet"),
        ("pullMessageThreadPoolNums=32", "not needed: there are no thread pools"),
    ] {
        let answer = client.call(&update(wrong));
        assert_eq!(answer.code(), ResponseCode::SYSTEM_ERROR);
        assert!(answer.remark().contains(named), "{}", answer.remark());
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "nothing of it was made");
    // A file that cannot be written: the change is not made either.
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert_eq!(client.call(&update("fileReservedTime=24")).code(), ResponseCode::SYSTEM_ERROR);
    let answer = client.call(&Request::GetBrokerConfig).ok();
    assert!(String::from_utf8_lossy(answer.frame().body).contains("\nfileReservedTime=48\n"));
}

#[test]
fn cleaning_removes_what_is_over_and_nothing_else() {
    let server = start_server("");
    let mut client = server.broker();
    client.create_topic("T", 1);
    for body in [b"a", b"b", b"c"] {
        client.produce("T", 0, body, "").ok();
    }
    client.produce("T", 0, b"later", "DELAY=18").ok();
    for request in
        [Request::CleanExpiredConsumequeue, Request::CleanUnusedTopic, Request::DeleteExpiredCommitlog]
    {
        client.call(&request).ok();
        assert_eq!(client.pull_all("T", 0, 0).len(), 3, "{request:?}");
    }
    assert_eq!(client.produce("T", 0, b"d", "").ok().queue_offset(), 3);
    server.pass(2 * 3600 + 10);
    assert_eq!(client.await_messages("T", 0, 5)[4].body, b"later");
}

#[test]
fn what_the_broker_made_for_itself_is_not_removed() {
    let mut server = start_server(
        "brokerClusterName=Own\nbrokerName=own-a\nmsgTraceTopicName=Traces\ntraceTopicEnable=true",
    );
    let mut client = server.broker();
    for topic in ["Own", "own-a", "Own_REPLY_TOPIC", "Traces", "TBW102"] {
        let delete = DeleteTopicInBroker { topic: topic.into() };
        let answer = client.call(&Request::DeleteTopicInBroker(delete));
        assert_eq!(answer.code(), ResponseCode::INVALID_PARAMETER, "{topic}");
        assert!(answer.remark().contains("conflict with system topic"), "{}", answer.remark());
    }
    // Light queues of 5.x stand in no table; queues of topics that were there once are of no use.
    for topic in ["%LMQ%light", "Left"] {
        client.produce(topic, 0, b"x", "").ok();
    }
    drop(client);
    server.restart();
    let copy = server.copy_with(|data| {
        let table = data.join("config/topics.json");
        let text = std::fs::read_to_string(&table).unwrap();
        let mut topics: serde_json::Value = serde_json::from_str(&text).unwrap();
        let topics_table = topics["topicConfigTable"].as_object_mut().unwrap();
        topics_table.remove("%LMQ%light").unwrap();
        topics_table.remove("Left").unwrap();
        std::fs::write(&table, topics.to_string()).unwrap();
    });
    copy.broker().call(&Request::CleanUnusedTopic).ok();
    let is_there = |topic: &str| copy.data().join("consumequeue").join(topic).exists();
    assert!(is_there("%LMQ%light") && !is_there("Left"));
}

#[test]
fn a_heartbeat_has_a_size() {
    let server = start_server("");
    let mut client = server.broker();
    let topics = |from: usize, count: usize| {
        let subscription = |n| SubscriptionData { topic: format!("T{n}"), ..Default::default() };
        (from..from + count).map(subscription).collect::<Vec<_>>()
    };
    let mut beat = |groups: usize, subscriptions: usize| {
        let group = |n| ConsumerData {
            group_name: format!("G{n}"),
            subscription_data_set: topics(0, subscriptions),
            ..Default::default()
        };
        let consumer_data_set = (0..groups).map(group).collect();
        let body = HeartbeatData { client_id: "c".into(), consumer_data_set, ..Default::default() };
        client.send(&Request::HeartBeat(HeartBeat { body }));
        // Notes of the group's change come before it.
        std::iter::repeat_with(|| client.receive()).find(|answer| answer.frame().is_response()).unwrap()
    };
    let many = beat(2, 5_001);
    assert_eq!(many.code(), ResponseCode::INVALID_PARAMETER);
    assert!(many.remark().contains("10002 subscriptions, allowed are 10000"), "{}", many.remark());
    let ask = QueryTopicConsumeByWho { topic: "T1".into() };
    let mut operator = server.broker();
    let groups: GroupList = read(&operator.call(&Request::QueryTopicConsumeByWho(ask.clone())).ok());
    assert!(groups.group_list.is_empty(), "{groups:?}");
    beat(1, 10_000).ok();
    let groups: GroupList = read(&operator.call(&Request::QueryTopicConsumeByWho(ask.clone())).ok());
    assert_eq!(groups.group_list, ["G0"]);
    // Of too many groups the first ones live on.
    beat(1_001, 2).ok();
    let groups: GroupList = read(&operator.call(&Request::QueryTopicConsumeByWho(ask)).ok());
    assert_eq!(groups.group_list.len(), 1_000);
    assert!(!groups.group_list.contains(&"G1000".to_owned()));
}

#[test]
fn members_that_disagree_are_told_of() {
    logs::listen();
    let server = start_server("");
    let mut watcher = server.broker();
    let _one = consumer(&server, "one", "Torn", "T", "A");
    let count = |watcher: &mut RawClient| runtime_info(watcher)["inconsistentSubscriptionGroups"].clone();
    let connections = |watcher: &mut RawClient| {
        let ask = GetConsumerConnectionList { consumer_group: "Torn".into() };
        watcher.call(&Request::GetConsumerConnectionList(ask)).ok()
    };
    assert_eq!((count(&mut watcher).as_str(), connections(&mut watcher).remark().as_str()), ("0", ""));
    let mut two = consumer(&server, "two", "Torn", "T", "B");
    assert_eq!(count(&mut watcher), "1");
    assert_eq!(runtime_info(&mut watcher)["inconsistentSubscriptionGroupNames"], "Torn");
    let answer = connections(&mut watcher);
    assert_eq!(read::<ConsumerConnection>(&answer).connection_set.len(), 2);
    for part in ["one (127.0.0.1:", "two (127.0.0.1:", "topic T", r#"TAG "A""#, r#"TAG "B""#] {
        assert!(answer.remark().contains(part), "{part} in {}", answer.remark());
    }
    assert!(logs::said(&["Torn", "do not agree on what they consume", "topic T"]) > 0);
    // It subscribes to the same now; or it is gone.
    Beat::new("two", "Torn", "T", "A").send(&mut two);
    assert_eq!(count(&mut watcher), "0");
    Beat::new("two", "Torn", "T", "B").send(&mut two);
    assert_eq!(count(&mut watcher), "1");
    drop(two);
    while count(&mut watcher) != "0" {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn two_clients_with_one_id_are_told_of_with_both_addresses() {
    logs::listen();
    let server = start_server("");
    let one = consumer(&server, "same", "Twins", "T", "*");
    let other = consumer(&server, "same", "Twins", "T", "*");
    let [one, other] = [&one, &other].map(|client| client.stream.local_addr().unwrap().to_string());
    assert_eq!(logs::said(&["Twins", "two clients have the same id", &one, &other]), 1);
}

#[test]
fn a_units_topics_are_marked() {
    let server = start_server("");
    let mut client = server.broker();
    let mut send = message("UnitTopic", 0, b"x", "");
    send.unit_mode = true;
    client.call(&Request::SendMessage(send)).ok();
    let _member = beat_as(&server, &Beat { unit_mode: true, ..Beat::new("a", "UG", "UnitTopic", "*") });
    let flags = |client: &mut RawClient, topic: &'static str| {
        let ask = Request::GetTopicConfig(GetTopicConfig { topic: topic.into() });
        read::<TopicConfigAndQueueMapping>(&client.call(&ask).ok()).config.topic_sys_flag
    };
    assert_eq!((flags(&mut client, "UnitTopic"), flags(&mut client, "%RETRY%UG")), (1, 2));
}

fn lock(client: &mut RawClient, client_id: &str) -> usize {
    let queue = MessageQueue { topic: "T".into(), broker_name: "here".into(), queue_id: 0 };
    let body = LockBatchRequestBody {
        consumer_group: "G".into(),
        client_id: client_id.into(),
        mq_set: vec![queue],
        ..Default::default()
    };
    let held: LockBatchResponseBody = read(&client.call(&Request::LockBatchMq(LockBatchMq { body })).ok());
    held.lock_ok_mq_set.len()
}

#[test]
fn a_dead_members_lock_lives_on_for_its_time() {
    let server = start_server("brokerName=here\nrocketmq.broker.rebalance.lockMaxLiveTime=30000");
    server.broker().create_topic("T", 1);
    let mut dying = consumer(&server, "dying", "G", "T", "*");
    let mut heir = server.broker();
    assert_eq!(lock(&mut dying, "dying"), 1);
    drop(dying);
    while let ids @ 1.. = runtime_info(&mut heir)["consumerCount"].parse::<usize>().unwrap() {
        assert_eq!(ids, 1);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(lock(&mut heir, "heir"), 0, "its listener may still be at work");
    server.pass(31);
    assert_eq!(lock(&mut heir, "heir"), 1);
    // The dead one's goodbye was under way all the time: it frees nothing.
    let mut ghost = server.broker();
    let body = UnlockBatchRequestBody {
        consumer_group: "G".into(),
        client_id: "dying".into(),
        mq_set: vec![MessageQueue { topic: "T".into(), broker_name: "here".into(), queue_id: 0 }],
        ..Default::default()
    };
    ghost.call(&Request::UnlockBatchMq(UnlockBatchMq { body })).ok();
    assert_eq!(lock(&mut ghost, "dying"), 0);
}

#[test]
fn a_table_of_5_x_that_is_not_obeyed_is_kept() {
    let mut server = start_server("");
    make_group(&mut server.broker(), "Old");
    let path = server.data().join("config/subscriptionGroup.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let forbidden = r#""forbiddenTable":{"Gone":{"T":1},"Old":{"T":1}}"#;
    assert!(text.contains(r#""forbiddenTable":{}"#), "{text}");
    std::fs::write(&path, text.replace(r#""forbiddenTable":{}"#, forbidden)).unwrap();
    server.restart();
    let mut client = server.broker();
    let gone = DeleteSubscriptiongroup { group_name: "Gone".into(), ..Default::default() };
    make_group(&mut client, "Gone");
    client.call(&Request::DeleteSubscriptiongroup(gone)).ok();
    let saved: SubscriptionGroupWrapper = json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert!(saved.subscription_group_table.contains_key("Old"));
    let left = BTreeMap::from([("Old".to_owned(), BTreeMap::from([("T".to_owned(), 1)]))]);
    assert_eq!(saved.forbidden_table, left);
}

#[test]
fn a_groups_settings_are_obeyed() {
    let server = start_server("");
    let mut client = server.broker();
    client.produce("T", 0, b"x", "").ok();
    let set = |client: &mut RawClient, change: &dyn Fn(&mut SubscriptionGroupConfig)| {
        let mut body = SubscriptionGroupConfig { group_name: "G".into(), ..Default::default() };
        change(&mut body);
        let request = UpdateAndCreateSubscriptiongroup { body };
        client.call(&Request::UpdateAndCreateSubscriptiongroup(request))
    };
    set(&mut client, &|group| group.consume_enable = false).ok();
    assert_eq!(client.pull("T", 0, 0).code(), ResponseCode::NO_PERMISSION);
    set(&mut client, &|group| group.retry_queue_nums = 0).ok();
    let got = client.pull("T", 0, 0).ok().records();
    client.call(&send_back("G", &got[0], 1)).ok();
    set(&mut client, &|group| group.retry_max_times = 0).ok();
    client.call(&send_back("G", &got[0], 1)).ok();
    assert_eq!(
        client.await_messages("%DLQ%G", 0, 1).len(),
        1,
        "the first was not wanted, the second dead at once"
    );
    // More retry queues than the topic has that was made before.
    set(&mut client, &|group| group.retry_queue_nums = 1).ok();
    let _member = consumer(&server, "a", "G", "T", "*");
    set(&mut client, &|group| group.retry_queue_nums = 9).ok();
    for _ in 0..9 {
        client.call(&send_back("G", &got[0], 1)).ok();
    }
    server.pass(2);
    assert_eq!(client.await_messages("%RETRY%G", 0, 9).len(), 9, "all where consumers look");
    let ask = |group: &'static str| {
        Request::QueryConsumerOffset(QueryConsumerOffset {
            consumer_group: group.into(),
            topic: "T".into(),
            queue_id: 0,
            set_zero_if_not_found: None,
        })
    };
    assert_eq!(client.call(&ask("G")).ok().field("offset"), "0");
    set(&mut client, &|group| group.consume_from_min_enable = false).ok();
    assert_eq!(client.call(&ask("G")).code(), ResponseCode::QUERY_NOT_FOUND);
    assert_eq!(
        set(&mut client, &|group| group.retry_queue_nums = -1).code(),
        ResponseCode::INVALID_PARAMETER
    );
    assert_eq!(
        set(&mut client, &|group| group.group_name = "a b".into()).code(),
        ResponseCode::INVALID_PARAMETER
    );
}

#[test]
fn a_topic_made_anew_while_it_is_deleted_keeps_its_messages() {
    let server = start_server("");
    let mut client = server.broker();
    let delete = Request::DeleteTopicInBroker(DeleteTopicInBroker { topic: "Phoenix".into() });
    for round in 0..20u8 {
        client.produce("Phoenix", 0, &[round], "").ok();
        // Pipelined: the topic is made again while its queues are being removed.
        client.send(&delete);
        client.send(&create_topic("Phoenix", 1, 6));
        client.receive().ok();
        client.receive().ok();
        assert_eq!(client.produce("Phoenix", 0, &[100 + round], "").ok().queue_offset(), 0);
        assert_eq!(client.pull_all("Phoenix", 0, 0).len(), 1);
    }
}

/// What a topic's route says may be done with it.
fn routed_perm(server: &TestServer, topic: &'static str) -> Option<i32> {
    let port = server.name_server().rsplit_once(':').unwrap().1.parse().unwrap();
    let ask = GetRouteinfoByTopic { topic: topic.into(), accept_standard_json_only: None };
    let answer = RawClient::connect(port).call(&Request::GetRouteinfoByTopic(ask));
    if answer.code() != ResponseCode::SUCCESS {
        return None;
    }
    Some(read::<TopicRouteData>(&answer).queue_datas[0].perm)
}

#[test]
fn a_dead_letter_topic_is_closed_and_opened() {
    // As it is made now, and as it was made up to 4.9.1.
    for (settings, perm) in [("", 6), ("deadLetterTopicPerm=2", 2)] {
        let server = start_server(settings);
        let mut client = server.broker();
        client.produce("T", 0, b"x", "").ok();
        let got = client.pull("T", 0, 0).ok().records();
        client.call(&send_back("G", &got[0], -1)).ok();
        eventually("the name server knows", || routed_perm(&server, "%DLQ%G") == Some(perm));
        if perm == 6 {
            let dead = &client.await_messages("%DLQ%G", 0, 1)[0];
            assert_eq!(dead.properties.get("DLQ_ORIGIN_TOPIC"), Some("T"));
            client.call(&create_topic("%DLQ%G", 1, 2)).ok();
            assert_eq!(routed_perm(&server, "%DLQ%G"), Some(2));
        }
        let closed = client.pull("%DLQ%G", 0, 0);
        assert_eq!(closed.code(), ResponseCode::NO_PERMISSION);
        let told = "its perm is 2, reading needs 4; set it to 6 with updateTopicPerm";
        assert!(closed.remark().contains(told), "{}", closed.remark());
        // The broker writes to it all the same.
        client.call(&send_back("G", &got[0], -1)).ok();
        client.call(&create_topic("%DLQ%G", 1, 6)).ok();
        assert_eq!(routed_perm(&server, "%DLQ%G"), Some(6));
        assert_eq!(client.pull("%DLQ%G", 0, 0).ok().records().len(), 2);
    }
}
