//! Settings of clients, producers and consumers: Apache's keys of `ClientConfig`, `DefaultMQProducer`,
//! `TransactionMQProducer`, `DefaultMQPushConsumer` and `DefaultLitePullConsumer`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use super::address::home;
use super::client_value::{
    AllocationStrategy, CompressionType, MessageModel, SerializeType, StartFrom, Timestamp,
};
use super::table::settings;
use super::table::Allowed::{Any, Filled, Range};
use super::tls::{Secret, TLS_FILE};
use crate::clock::Clock;

/// Largest number that Apache's `int` settings take.
const INT: i64 = i32::MAX as i64;
const COUNT: super::Allowed = Range(1, INT);
/// A duration that is not 0.
const SOME_TIME: super::Allowed = Range(1, INT);
/// A duration that may be 0.
const TIME: super::Allowed = Range(0, INT);

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

settings! {
    /// How a client finds and keeps to its cluster: what all its producers and consumers share.
    #[doc(alias = "ClientConfig")]
    ClientOptions of Client {
        "namesrvAddr" namesrv_addr: String = String::new(), Any, AtStart,
            "Name servers, host:port separated by ; ; the environment variable NAMESRV_ADDR if empty.";
        "clientIP" client_ip: Option<String> = None, Any, AtStart,
            "First part of the client id; the address that the name server is reached from unless set.";
        "machineRoom" machine_room: Option<String> = None, Any, AtStart,
            "This client's machine room: its id begins with it and @, and consumers get the queues of brokers named \
             room@name with the same room first (MACHINE_ROOM_NEARBY). All members of a group need one.";
        "instanceName" instance_name: Option<String> = None, Any, AtStart,
            "Second part of the client id; different in every client unless set. Clients with the same id count as one \
             member of a group.";
        "unitName" unit_name: Option<String> = None, Any, AtStart,
            "Third part of the client id.";
        "unitMode" unit_mode: bool = false, Any, AtStart,
            "Whether requests and heartbeats carry the mark of units (several sites).";
        "namespace" client_namespace: Option<String> = None, Any, AtStart,
            "Put before the names of topics and groups on the wire, and taken off what is received.";
        "vipChannelEnabled" vip_channel_enabled: bool = false, Any, AtStart,
            "Whether sends go to the broker's port less 2, which takes no pulls.";
        "mqClientApiTimeout" mq_client_api_timeout: Duration = ms(3_000), SOME_TIME, AtStart,
            "Time limit of calls other than sends and pulls, ms.";
        "connectTimeoutMillis" connect_timeout_millis: Duration = ms(3_000), SOME_TIME, AtStart,
            "How long making a connection may take, ms.";
        "clientChannelMaxIdleTimeSeconds" client_channel_max_idle_time_seconds: u32 = 120, COUNT, AtStart,
            "Seconds of silence after which a connection is closed.";
        "com.rocketmq.remoting.frameMaxLength" frame_max_length: usize = 16_777_216, Range(1024, INT), AtStart,
            "Largest frame sent and accepted, bytes.";
        "serializeType" serialize_type: SerializeType = SerializeType::Json, Any, AtStart,
            "Form of the headers that are sent; both are understood.";
        "pollNameServerInterval" poll_name_server_interval: Duration = ms(30_000), SOME_TIME, AtStart,
            "Time between two looks whether routes have changed, ms.";
        "heartbeatBrokerInterval" heartbeat_broker_interval: Duration = ms(30_000), SOME_TIME, AtStart,
            "Time between two heartbeats to brokers, ms; they forget a client after 120 s.";
        "rebalanceInterval" rebalance_interval: Duration = ms(10_000), SOME_TIME, AtStart,
            "Time between two looks which queues are this client's, ms, besides being told of changes; Apache's system \
             property rocketmq.client.rebalance.waitInterval.";
        "persistConsumerOffsetInterval" persist_consumer_offset_interval: Duration = ms(5_000), SOME_TIME, AtStart,
            "Time between two saves of how far consumers have come, ms.";
        "clientCallbackExecutorThreads" client_callback_executor_threads: usize = 0, Range(0, 1024), AtStart,
            "Threads that run callbacks of sends and requests of brokers; 0 is one a core.";
        "tls.enable" tls_enable: bool = false, Any, AtStart,
            "Whether connections are encrypted (TLS).";
        "useTLS" use_tls: bool = false, Any, AtStart,
            "Another name of tls.enable.";
        "tls.test.mode.enable" tls_test_mode_enable: bool = false, Any, AtStart,
            "Whether every server is trusted, whatever it shows.";
        "tls.config.file" tls_config_file: PathBuf = TLS_FILE.into(), Any, AtStart,
            "Properties file with keys of TLS, which stand above those set here; nothing happens if the default is not there.";
        "tls.client.authServer" tls_client_auth_server: bool = true, Any, AtStart,
            "Whether certificates of servers are verified; false takes any (Apache's default).";
        "tls.client.trustCertPath" tls_client_trust_cert_path: Option<PathBuf> = None, Any, AtStart,
            "Certificates of CAs, or of servers, that are trusted, PEM; the system's unless set.";
        "tls.client.serverName" tls_client_server_name: Option<String> = None, Any, AtStart,
            "Name or IP address that certificates of servers must be for; the host that is connected to unless set.";
        "tls.client.certPath" tls_client_cert_path: Option<PathBuf> = None, Any, AtStart,
            "Certificate of this client for servers that ask for one, PEM.";
        "tls.client.keyPath" tls_client_key_path: Option<PathBuf> = None, Any, AtStart,
            "Its private key, PEM.";
        "tls.client.keyPassword" tls_client_key_password: Option<Secret> = None, Any, AtStart,
            "Password of that key if it is encrypted (PKCS#8).";
    } beside {
        /// What the timers go by; tests give one that they move.
        clock: Clock = Clock::new(),
        /// After a connection that could not be made, or broke before anything came over it, the next is not tried for
        /// this long, doubled each time up to `reconnect_most`. Calls fail at once meanwhile. Default 100 ms.
        reconnect_least: Duration = ms(100),
        /// See `reconnect_least`. Default 3 s.
        reconnect_most: Duration = ms(3_000),
    }
}

impl ClientOptions {
    /// The defaults, with these name servers.
    pub fn new(name_servers: impl Into<String>) -> ClientOptions {
        ClientOptions { namesrv_addr: name_servers.into(), ..ClientOptions::default() }
    }
}

settings! {
    /// How a producer sends.
    ProducerOptions of Producer {
        "producerGroup" producer_group: String = "DEFAULT_PRODUCER".into(), Filled, AtStart,
            "Group of producers that send the same kind of messages; brokers ask any of them about a transaction.";
        "sendMsgTimeout" send_msg_timeout: Duration = ms(3_000), SOME_TIME, AtStart,
            "Time limit of a send with all its attempts, ms.";
        "retryTimesWhenSendFailed" retry_times_when_send_failed: usize = 2, Range(0, INT), AtStart,
            "Further attempts of a send that waits, on another broker if there is one.";
        "retryTimesWhenSendAsyncFailed" retry_times_when_send_async_failed: usize = 2, Range(0, INT), AtStart,
            "Further attempts of a send that does not wait.";
        "retryAnotherBrokerWhenNotStoreOK" retry_another_broker_when_not_store_ok: bool = false, Any, AtStart,
            "Whether a message that is stored but not yet safe (a status other than SEND_OK) is sent again to another \
             broker.";
        "compressMsgBodyOverHowmuch" compress_msg_body_over_howmuch: usize = 4_096, Range(0, INT), AtStart,
            "Bodies of at least this many bytes travel and are stored compressed.";
        "compressType" compress_type: CompressionType = CompressionType::Zlib, Any, AtStart,
            "How bodies are compressed; clients older than 4.9.4 read ZLIB only.";
        "compressLevel" compress_level: u32 = 5, Range(0, 9), AtStart,
            "How hard compression tries, 1 the fastest; LZ4 has one level.";
        "maxMessageSize" max_message_size: usize = 4_194_304, COUNT, AtStart,
            "Largest body, of a batch all bodies together, bytes; the broker has a limit of its own.";
        "defaultTopicQueueNums" default_topic_queue_nums: i32 = 4, Range(1, 65_536), AtStart,
            "Queues of a topic that is made by its first message.";
        "createTopicKey" create_topic_key: String = "TBW102".into(), Filled, AtStart,
            "Topic whose settings such a topic gets.";
        "sendLatencyFaultEnable" send_latency_fault_enable: bool = false, Any, AtStart,
            "Whether brokers that were slow or failed are avoided for a while.";
        "latencyMax" latency_max: Vec<Duration> = [50, 100, 550, 1_800, 3_000, 5_000, 15_000].map(ms).into(), Any, AtStart,
            "From which times of an answer on a broker counts as slow, ms, ascending, separated by commas.";
        "notAvailableDuration" not_available_duration: Vec<Duration> = [0, 0, 2_000, 5_000, 6_000, 10_000, 30_000].map(ms).into(), Any, AtStart,
            "For how long it is avoided then, ms, one for each of latencyMax.";
        "enableMsgTrace" enable_msg_trace: bool = false, Any, AtStart,
            "Whether every send is recorded in the trace topic.";
        "customizedTraceTopic" customized_trace_topic: String = "RMQ_SYS_TRACE_TOPIC".into(), Filled, AtStart,
            "The trace topic.";
        "backPressureForAsyncSendNum" back_pressure_for_async_send_num: usize = 10_000, COUNT, AtStart,
            "Most sends under way that nobody waits for; a further one waits for room, within its time limit.";
        "backPressureForAsyncSendSize" back_pressure_for_async_send_size: usize = 100 << 20, COUNT, AtStart,
            "Most bytes of their bodies.";
        "checkThreadPoolMaxSize" check_thread_pool_max_size: usize = 1, Range(1, 1024), AtStart,
            "Most transactions that are looked up at a time when brokers ask how they ended.";
        "checkRequestHoldMax" check_request_hold_max: usize = 2_000, COUNT, AtStart,
            "Most such questions that wait; further ones are dropped, as brokers ask again.";
    }
}

impl ProducerOptions {
    /// The defaults, with this group.
    pub fn new(group: impl Into<String>) -> ProducerOptions {
        ProducerOptions { producer_group: group.into(), ..ProducerOptions::default() }
    }
}

settings! {
    /// How a consumer consumes; what is for push or pull consumers only says so.
    ConsumerOptions of Consumer {
        "consumerGroup" consumer_group: Option<String> = None, Any, AtStart,
            "The group: its members share the queues, and brokers keep how far it has come. A pull consumer without \
             one reads all queues for itself, and nothing is kept.";
        "messageModel" message_model: MessageModel = MessageModel::Clustering, Any, AtStart,
            "Whether members share the messages or each gets all.";
        "consumeFromWhere" consume_from_where: StartFrom = StartFrom::Last, Any, AtStart,
            "Where a group begins that has not consumed yet.";
        "consumeTimestamp" consume_timestamp: Option<Timestamp> = None, Any, AtStart,
            "Time that CONSUME_FROM_TIMESTAMP means; half an hour before the start unless set.";
        "allocateMessageQueueStrategy" allocate_message_queue_strategy: AllocationStrategy = AllocationStrategy::Averagely, Any, AtStart,
            "How members share the queues; all of a group need the same.";
        "consumeridcs" consumer_idcs: BTreeSet<String> = BTreeSet::new(), Any, AtStart,
            "Rooms whose queues MACHINE_ROOM gives out, separated by commas; brokers are named room@name there.";
        "virtualNodeCnt" virtual_node_cnt: usize = 10, Range(1, 10_000), AtStart,
            "Places of a member on the ring of CONSISTENT_HASH.";
        "consumeThreadMin" consume_thread_min: usize = 20, Range(1, 1_000), AtStart,
            "Push: calls of the listener at a time.";
        "consumeThreadMax" consume_thread_max: usize = 20, Range(1, 1_000), AtStart,
            "Push: most that consumeThreadMin can be changed to while the consumer runs.";
        "consumeMessageBatchMaxSize" consume_message_batch_max_size: usize = 1, Range(1, 1_024), AtStart,
            "Push: most messages of one call of the listener.";
        "pollBatch" poll_batch: usize = 32, COUNT, AtStart,
            "Pull: most messages of one poll.";
        "pullBatchSize" pull_batch_size: i32 = 32, Range(1, 1_024), AtStart,
            "Most messages of one request to a broker, which has limits of its own.";
        "pullInterval" pull_interval: Duration = ms(0), Range(0, 65_535), AtStart,
            "Push: pause between two requests for a queue, ms.";
        "pullThresholdForQueue" pull_threshold_for_queue: usize = 1_000, Range(1, 65_535), AtStart,
            "Messages of a queue that wait here before no more are fetched.";
        "pullThresholdSizeForQueue" pull_threshold_size_for_queue: usize = 100, Range(1, 1_024), AtStart,
            "The same in MiB.";
        "pullThresholdForTopic" pull_threshold_for_topic: i32 = -1, Range(-1, 6_553_500), AtStart,
            "Push: messages of all queues of a topic together, shared evenly among them; -1 sets no limit.";
        "pullThresholdSizeForTopic" pull_threshold_size_for_topic: i32 = -1, Range(-1, 102_400), AtStart,
            "Push: the same in MiB.";
        "consumeConcurrentlyMaxSpan" consume_concurrently_max_span: i64 = 2_000, Range(1, 65_535), AtStart,
            "Distance between the oldest and the newest message of a queue here above which no more are fetched.";
        "maxReconsumeTimes" max_reconsume_times: i32 = -1, Range(-1, INT), AtStart,
            "Push: how often a message is delivered again before it is a dead letter; -1 is 16, and no limit for ordered \
             consumption.";
        "suspendCurrentQueueTimeMillis" suspend_current_queue_time_millis: Duration = ms(1_000), Range(10, 30_000), AtStart,
            "Push: pause of a queue after its ordered listener failed, ms.";
        "consumeTimeout" consume_timeout: u32 = 15, COUNT, AtStart,
            "Push: minutes after which a message that the listener still holds is sent back.";
        "awaitTerminationMillisWhenShutdown" await_termination_millis_when_shutdown: Duration = ms(10_000), TIME, AtStart,
            "How long closing waits for running listeners, ms.";
        "autoCommit" auto_commit: bool = true, Any, AtStart,
            "Pull: whether a poll commits what earlier polls returned.";
        "autoCommitIntervalMillis" auto_commit_interval_millis: Duration = ms(5_000), SOME_TIME, AtStart,
            "Pull: time between two such commits, ms.";
        "brokerSuspendMaxTimeMillis" broker_suspend_max_time_millis: Duration = ms(20_000), SOME_TIME, AtStart,
            "How long a broker may hold a request while there is nothing, ms.";
        "consumerPullTimeoutMillis" consumer_pull_timeout_millis: Duration = ms(10_000), SOME_TIME, AtStart,
            "Pull: time limit of a single pull that is not held, ms.";
        "postSubscriptionWhenPull" post_subscription_when_pull: bool = false, Any, AtStart,
            "Whether each request carries the subscription, besides the heartbeat.";
        "enableMsgTrace" enable_msg_trace: bool = false, Any, AtStart,
            "Push: whether every call of the listener is recorded in the trace topic.";
        "customizedTraceTopic" customized_trace_topic: String = "RMQ_SYS_TRACE_TOPIC".into(), Filled, AtStart,
            "The trace topic.";
        "offsetStoreDir" offset_store_dir: Option<PathBuf> = None, Any, AtStart,
            "Directory where broadcasting keeps how far it has come; unless set .rocketmq_offsets in the home directory, \
             and with a server in this process a directory beside its messages. Apache's system property \
             rocketmq.client.localOffsetStoreDir.";
    }
}

impl ConsumerOptions {
    /// The defaults, with this group.
    pub fn new(group: impl Into<String>) -> ConsumerOptions {
        ConsumerOptions { consumer_group: Some(group.into()), ..ConsumerOptions::default() }
    }

    /// Where broadcasting keeps how far it has come in a cluster: `offsetStoreDir` or its default.
    pub fn offset_dir(&self) -> PathBuf {
        self.offset_store_dir.clone().unwrap_or_else(|| home().join(".rocketmq_offsets"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_set_by_name_and_read_as_text() {
        let mut options = ProducerOptions::new("g");
        options.set("sendMsgTimeout", "500").unwrap();
        options.set("compressType", "ZSTD").unwrap();
        options.set("latencyMax", "1, 2,3").unwrap();
        assert_eq!(options.send_msg_timeout, ms(500));
        assert_eq!(options.compress_type, CompressionType::Zstd);
        assert_eq!(options.latency_max, [1, 2, 3].map(ms));
        assert_eq!(options.get("latencyMax").unwrap(), "1,2,3");
        let mut options = ConsumerOptions::new("g");
        options.set("messageModel", "BROADCASTING").unwrap();
        options.set("consumeridcs", "r1, r2").unwrap();
        options.set("consumeFromWhere", "CONSUME_FROM_FIRST_OFFSET").unwrap();
        assert_eq!(options.message_model, MessageModel::Broadcasting);
        assert_eq!(options.consume_from_where, StartFrom::First);
        assert_eq!(options.get("consumeridcs").unwrap(), "r1,r2");
    }

    #[test]
    fn a_key_that_a_program_misspells_is_refused_with_the_nearest_one() {
        let refused = |error: crate::Result<()>, what: &str| {
            let error = error.unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::InvalidArgument);
            assert!(error.to_string().contains(what), "{error}");
        };
        refused(ProducerOptions::default().set("sendMsgTimeot", "1"), "did you mean sendMsgTimeout?");
        refused(ProducerOptions::default().set("pullBatchSize", "1"), "is a key of the consumer");
        refused(ConsumerOptions::default().set("popInvisibleTime", "1"), "not obeyed yet");
        refused(ConsumerOptions::default().set("pullBatchSize", "2000"), "a number from 1 to 1024");
        refused(ClientOptions::default().set("serializeType", "XML"), "JSON or ROCKETMQ");
        // A file may be shared by all three.
        let options = ProducerOptions::from_text("sendMsgTimeout=1\npullBatchSize=1", "f").unwrap();
        assert_eq!(
            options.warnings,
            ["f line 2: pullBatchSize is a key of the consumer, it does nothing here"]
        );
    }
}
