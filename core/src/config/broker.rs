//! Settings of the broker and its store.

use std::path::PathBuf;

use super::address::{home, host_name, local_ipv4};
use super::table::settings;
use super::table::Allowed::{Any, Filled, Range};
use super::tls::{ClientAuth, Secret, TlsMode, TLS_FILE};
use super::value::{BrokerRole, DelayLevels, DeleteHours, FlushDiskType, Value};

/// Largest number that Apache's `int` settings take.
const INT: i64 = i32::MAX as i64;
/// A duration in milliseconds, not 0.
const MS: super::Allowed = Range(1, INT);
const COUNT: super::Allowed = Range(1, INT);
const PERCENT: super::Allowed = Range(1, 100);

settings! {
    /// Settings of the broker and its store: Apache's keys in Rust's spelling, one field a key. Times are milliseconds
    /// and sizes bytes unless the field says otherwise.
    BrokerConfig of Broker {
        // Who it is and where.
        "brokerClusterName" broker_cluster_name: String = "DefaultCluster".into(), Filled, AtStart,
            "Name of the cluster.";
        "brokerName" broker_name: String = host_name(), Filled, AtStart,
            "Name that a master and its slaves share; the host's name unless set.";
        "brokerId" broker_id: i64 = 0, Range(0, 0), AtStart,
            "0 for a master; slaves (greater than 0) come with replication.";
        "brokerRole" broker_role: BrokerRole = BrokerRole::AsyncMaster, Any, AtStart,
            "Part that the broker plays in its group.";
        "brokerIP1" broker_ip1: String = local_ipv4().to_string(), Filled, AtStart,
            "Address that clients are told; the first one that is not a loopback unless set.";
        "brokerIP2" broker_ip2: String = local_ipv4().to_string(), Filled, AtStart,
            "Address that slaves are told.";
        "bindAddress" bind_address: String = "0.0.0.0".into(), Filled, AtStart,
            "Local address to listen on; 0.0.0.0 is every one.";
        "listenPort" listen_port: u16 = 10911, Any, AtStart,
            "Port to listen on; the port two below it takes everything but pulls; 0 picks a free one.";
        "haListenPort" ha_listen_port: Option<u16> = None, Range(1, 65535), AtStart,
            "Port that slaves are told; the listening port + 1 unless set.";
        "namesrvAddr" namesrv_addr: Option<String> = None, Any, AtStart,
            "Name servers to register with, host:port separated by ; .";
        "registerNameServerPeriod" register_name_server_period: i64 = 30_000, MS, Live,
            "Time between two registrations, held within 10 s to 60 s.";
        "registerBrokerTimeoutMills" register_broker_timeout_mills: i64 = 24_000, MS, Live,
            "Deadline of one registration call.";
        "forceRegister" force_register: bool = true, Any, Live,
            "Whether to register every time without asking first if the name server is up to date.";
        "compressedRegister" compressed_register: bool = false, Any, Live,
            "Whether the registration's body is compressed.";
        "regionId" region_id: String = "DefaultRegion".into(), Filled, AtStart,
            "Name of the region, put into messages (MSG_REGION) and send replies.";

        // Topics, groups, permissions.
        "brokerPermission" broker_permission: i32 = 6, Range(0, 7), Live,
            "What clients may do on this broker: 4 read, 2 write, or their sum; caps every topic's permission.";
        "defaultTopicQueueNums" default_topic_queue_nums: i32 = 8, Range(1, 65_536), Live,
            "Most queues of a topic that is made by a first send.";
        "autoCreateTopicEnable" auto_create_topic_enable: bool = true, Any, AtStart,
            "Whether a send to an unknown topic makes it, after the pattern of TBW102.";
        "autoCreateSubscriptionGroup" auto_create_subscription_group: bool = true, Any, Live,
            "Whether a heartbeat or pull of an unknown consumer group makes it.";
        "deadLetterTopicPerm" dead_letter_topic_perm: i32 = 6, Range(2, 6), Live,
            "Permission that topics of dead letters are made with: 6, or 2 as Apache did up to 4.9.1, closed to consumers until \
             updateTopicPerm sets it to 6.";
        "clusterTopicEnable" cluster_topic_enable: bool = true, Any, AtStart,
            "Whether there is a topic named like the cluster.";
        "brokerTopicEnable" broker_topic_enable: bool = true, Any, AtStart,
            "Whether there is a topic named like the broker.";
        "traceTopicEnable" trace_topic_enable: bool = false, Any, AtStart,
            "Whether the topic for trace data is made.";
        "msgTraceTopicName" msg_trace_topic_name: String = "RMQ_SYS_TRACE_TOPIC".into(), Filled, AtStart,
            "Topic for trace data.";
        "traceOn" trace_on: bool = true, Any, Live,
            "Whether messages and send replies ask clients to trace (TRACE_ON).";

        // Sending and consuming.
        "maxMessageSize" max_message_size: usize = 4_194_304, COUNT, AtStart,
            "Largest message body accepted.";
        "osPageCacheBusyTimeOutMills" os_page_cache_busy_time_out_mills: i64 = 1_000, MS, AtStart,
            "Longest that a send waits for another that is being written; then it is refused (SYSTEM_BUSY).";
        "sendThreadPoolQueueCapacity" send_thread_pool_queue_capacity: usize = 10_000, COUNT, Live,
            "Most sends that wait for the disk (SYNC_FLUSH) at a time; further ones are refused (SYSTEM_BUSY).";
        "maxHeldPulls" max_held_pulls: usize = 1_000_000, COUNT, Live,
            "Most pulls that wait for messages at a time; further ones are refused (SYSTEM_BUSY).";
        "startAcceptSendRequestTimeStamp" start_accept_send_request_time_stamp: i64 = 0, Range(0, i64::MAX), Live,
            "Milliseconds since 1970 before which sends are refused.";
        "longPollingEnable" long_polling_enable: bool = true, Any, Live,
            "Whether a pull that finds nothing waits as long as the client allows; otherwise shortPollingTimeMills.";
        "shortPollingTimeMills" short_polling_time_mills: i64 = 1_000, MS, Live,
            "Time that an empty pull waits when long polling is off.";
        "litePullMessageEnable" lite_pull_message_enable: bool = true, Any, Live,
            "Whether the request code of lite pull is served.";
        "slaveReadEnable" slave_read_enable: bool = false, Any, Live,
            "Whether consumers that lag far behind are sent to a slave.";
        "notifyConsumerIdsChangedEnable" notify_consumer_ids_changed_enable: bool = true, Any, Live,
            "Whether the members of a group are told when the group changes.";
        "useServerSideResetOffset" use_server_side_reset_offset: bool = true, Any, Live,
            "Whether a group is moved by the broker telling its next pulls (5.x), or by sending its members the offsets (4.9).";
        "rocketmq.broker.rebalance.lockMaxLiveTime" lock_max_live_time: i64 = 60_000, MS, Live,
            "Time that a queue lock of an ordered consumer lives without being renewed; a client trusts its lock for half of it.";
        "channelExpiredTimeout" channel_expired_timeout: i64 = 120_000, MS, Live,
            "Time without heartbeat after which a client is forgotten.";
        "flushConsumerOffsetInterval" flush_consumer_offset_interval: i64 = 5_000, MS, Live,
            "Time between two saves of the consumer offsets.";
        "flushDelayOffsetInterval" flush_delay_offset_interval: i64 = 10_000, MS, Live,
            "Time between two saves of how far delayed messages were delivered.";
        "messageDelayLevel" message_delay_level: DelayLevels = default_delay_levels(), Any, AtStart,
            "Delays of levels 1 to n.";
        "storeReplyMessageEnable" store_reply_message_enable: bool = true, Any, Live,
            "Whether replies to requests are stored besides being passed on.";
        "maxMsgsNumBatch" max_msgs_num_batch: usize = 64, COUNT, Live,
            "Most results of a query by key.";
        "defaultQueryMaxNum" default_query_max_num: usize = 32, COUNT, Live,
            "Most results of a query by unique id.";

        // Filters.
        "enablePropertyFilter" enable_property_filter: bool = false, Any, Live,
            "Whether consumers may choose messages by SQL92 expressions over their properties.";
        "filterSupportRetry" filter_support_retry: bool = false, Any, Live,
            "Whether an SQL92 subscription to a retry topic takes the filters of the messages' own topics.";
        "maxFilterMessageSize" max_filter_message_size: usize = 16_000, COUNT, AtStart,
            "Bytes of queue entries, 20 each, that one filtered pull looks at.";
        "filterDataCleanTimeSpan" filter_data_clean_time_span: i64 = 86_400_000, MS, Live,
            "Time after which the filter of a group without members is forgotten.";
        "expectConsumerNumUseFilter" expect_consumer_num_use_filter: u32 = 32, Range(1, 1_000_000), AtStart,
            "Groups that filter one topic: sizes the Bloom filter.";
        "maxErrorRateOfBloomFilter" max_error_rate_of_bloom_filter: u32 = 20, Range(1, 99), AtStart,
            "Percent of messages that the Bloom filter may take for wanted though they are not.";
        "enableFilterFunction" enable_filter_function: bool = false, Any, Live,
            "Whether filter functions may be uploaded and are asked; needs a build with the feature wasm-filter.";

        // Transactions.
        "rejectTransactionMessage" reject_transaction_message: bool = false, Any, Live,
            "Whether messages sent in transactions are refused.";
        "transactionTimeOut" transaction_time_out: i64 = 6_000, MS, Live,
            "Age from which the producers of an undecided message are asked, unless it has its own immunity time.";
        "transactionCheckInterval" transaction_check_interval: i64 = 30_000, MS, Live,
            "Time between two rounds of questions.";
        "transactionCheckMax" transaction_check_max: i64 = 15, COUNT, Live,
            "Questions about a message before it is given up, to the topic TRANS_CHECK_MAX_TIME_TOPIC.";
        "transactionOpMsgMaxSize" transaction_op_msg_max_size: usize = 4_096, COUNT, Live,
            "Size at which decisions are written together in one message.";
        "transactionOpBatchInterval" transaction_op_batch_interval: i64 = 3_000, Range(0, INT), Live,
            "Longest time that decisions wait to be written together.";

        // Connections.
        "serverChannelMaxIdleTimeSeconds" server_channel_max_idle_time_seconds: u32 = 120, COUNT, AtStart,
            "Seconds of silence after which a connection is closed.";
        "com.rocketmq.remoting.frameMaxLength" frame_max_length: usize = 16_777_216, Range(1024, INT), AtStart,
            "Largest frame accepted.";
        "maxConnections" max_connections: usize = 65_536, COUNT, AtStart,
            "Most connections at a time; further ones are closed at once.";
        "maxConnectionMemory" max_connection_memory: usize = 1 << 30, Range(1 << 20, 1 << 50), AtStart,
            "Most bytes that frames partly received and answers not yet read take, of all connections together. Above it large \
             frames wait for their turn, and connections that hold much and do not move are closed.";

        // Encrypted connections.
        "tls.server.mode" tls_server_mode: TlsMode = TlsMode::Permissive, Any, AtStart,
            "What ports make of TLS: plain text only, both (the first byte of a connection decides), or TLS only.";
        "tls.test.mode.enable" tls_test_mode_enable: bool = false, Any, AtStart,
            "Whether ports show a self-signed certificate although another one is named, and whether the broker trusts every name server.";
        "tls.config.file" tls_config_file: PathBuf = TLS_FILE.into(), Any, AtStart,
            "Properties file with keys of TLS, which stand above those set here; nothing happens if the default is not there.";
        "tls.server.certPath" tls_server_cert_path: Option<PathBuf> = None, Any, AtStart,
            "The ports' certificate and those that lead to its CA, PEM; a self-signed one is made at first use unless set. \
             Changed files are taken up while it runs.";
        "tls.server.keyPath" tls_server_key_path: Option<PathBuf> = None, Any, AtStart,
            "Its private key, PEM.";
        "tls.server.keyPassword" tls_server_key_password: Option<Secret> = None, Any, AtStart,
            "Password of that key if it is encrypted (PKCS#8).";
        "tls.server.need.client.auth" tls_server_need_client_auth: ClientAuth = ClientAuth::None, Any, AtStart,
            "Whether clients are asked for a certificate: none, optional, require.";
        "tls.server.authClient" tls_server_auth_client: bool = true, Any, AtStart,
            "Whether clients' certificates are verified where they are asked for; false takes any (Apache's default).";
        "tls.server.trustCertPath" tls_server_trust_cert_path: Option<PathBuf> = None, Any, AtStart,
            "Certificates of CAs whose clients are trusted, PEM.";
        "tls.enable" tls_enable: Option<bool> = None, Any, AtStart,
            "Whether the broker connects to name servers with TLS; it does if its own ports take TLS only, unless set.";
        "tls.client.authServer" tls_client_auth_server: bool = true, Any, AtStart,
            "Whether certificates of servers are verified; false takes any (Apache's default).";
        "tls.client.trustCertPath" tls_client_trust_cert_path: Option<PathBuf> = None, Any, AtStart,
            "Certificates of CAs, or of servers, that are trusted, PEM; the system's unless set.";
        "tls.client.serverName" tls_client_server_name: Option<String> = None, Any, AtStart,
            "Name or IP address that certificates of servers must be for; the host that is connected to unless set.";
        "tls.client.certPath" tls_client_cert_path: Option<PathBuf> = None, Any, AtStart,
            "Certificate of the broker for servers that ask for one, PEM.";
        "tls.client.keyPath" tls_client_key_path: Option<PathBuf> = None, Any, AtStart,
            "Its private key, PEM.";
        "tls.client.keyPassword" tls_client_key_password: Option<Secret> = None, Any, AtStart,
            "Password of that key if it is encrypted (PKCS#8).";

        // Store: files.
        "storePathRootDir" store_path_root_dir: PathBuf = home().join("store"), Any, AtStart,
            "Directory of all store files.";
        "storePathCommitLog" store_path_commit_log: Option<PathBuf> = None, Any, AtStart,
            "Directory of the commit log; commitlog in the store's directory unless set.";
        "backupPath" backup_path: Option<PathBuf> = None, Any, AtStart,
            "Directory below which `ferromq backup` makes its copies of the store; none are made by request unless set.";
        "mappedFileSizeCommitLog" mapped_file_size_commit_log: usize = 1 << 30, Range(4096, INT), AtStart,
            "Bytes of one commit log file.";
        "mappedFileSizeConsumeQueue" mapped_file_size_consume_queue: usize = 6_000_000, Range(20, INT), AtStart,
            "Bytes of one consume queue file, rounded up to a multiple of 20.";
        "messageIndexEnable" message_index_enable: bool = true, Any, AtStart,
            "Whether the key index is built.";
        "maxHashSlotNum" max_hash_slot_num: usize = 5_000_000, COUNT, AtStart,
            "Slots of one index file.";
        "maxIndexNum" max_index_num: usize = 20_000_000, Range(2, INT), AtStart,
            "Entries of one index file.";
        "checkCRCOnRecover" check_crc_on_recover: bool = true, Any, AtStart,
            "Whether recovery verifies the checksums of bodies.";

        // Store: flushing.
        "flushDiskType" flush_disk_type: FlushDiskType = FlushDiskType::Async, Any, AtStart,
            "When a send is acknowledged: once its message is in the page cache, or once it is on the disk.";
        "syncFlushTimeout" sync_flush_timeout: i64 = 5_000, MS, AtStart,
            "Longest wait for a synchronous flush.";
        "flushIntervalCommitLog" flush_interval_commit_log: i64 = 500, MS, AtStart,
            "Time between two asynchronous flushes of the commit log.";
        "flushCommitLogLeastPages" flush_commit_log_least_pages: usize = 4, Range(0, INT), AtStart,
            "Pages of 4 KiB that must be dirty before such a flush does something.";
        "flushCommitLogThoroughInterval" flush_commit_log_thorough_interval: i64 = 10_000, MS, AtStart,
            "Time after which it does something however little is dirty.";
        "flushIntervalConsumeQueue" flush_interval_consume_queue: i64 = 1_000, MS, AtStart,
            "Time between two flushes of the consume queues.";
        "flushConsumeQueueLeastPages" flush_consume_queue_least_pages: usize = 2, Range(0, INT), AtStart,
            "Pages of 4 KiB that must be dirty before a queue is flushed.";
        "flushConsumeQueueThoroughInterval" flush_consume_queue_thorough_interval: i64 = 60_000, MS, AtStart,
            "Time after which a queue is flushed however little is dirty.";

        // Store: retention.
        "fileReservedTime" file_reserved_time: i64 = 72, COUNT, Live,
            "Hours to keep messages.";
        "deleteWhen" delete_when: DeleteHours = default_delete_hours(), Any, Live,
            "Hours of the day at which expired files are deleted.";
        "cleanResourceInterval" clean_resource_interval: i64 = 10_000, MS, AtStart,
            "Time between two looks for expired files.";
        "diskMaxUsedSpaceRatio" disk_max_used_space_ratio: u32 = 75, PERCENT, Live,
            "Percent of disk use from which expired files are deleted at any hour.";
        "diskSpaceCleanForciblyRatio" disk_space_clean_forcibly_ratio: u32 = 85, PERCENT, Live,
            "Percent of disk use from which files are deleted before their time.";
        "diskSpaceWarningLevelRatio" disk_space_warning_level_ratio: u32 = 90, PERCENT, Live,
            "Percent of disk use from which sends are refused.";
        "cleanFileForciblyEnable" clean_file_forcibly_enable: bool = true, Any, Live,
            "Whether files may be deleted before their time when the disk is nearly full.";
        "maxStoreSize" max_store_size: usize = 0, Range(0, 1 << 60), Live,
            "Most bytes that commit log, queues and index take; above it the oldest files are deleted before their time. Looked at \
             every cleanResourceInterval; the file that is written to stays. 0: no limit.";

        // Store: reading.
        "commitLogKeptInMemory" commit_log_kept_in_memory: usize = 0, Range(0, 1 << 60), AtStart,
            "Most bytes of the commit log behind its end that stay in the page cache. What lies further behind goes back to the \
             system once it is on the disk, unless somebody reads there, and is read from the disk when it is wanted again. \
             0: as long as the system has memory for it.";
        "accessMessageInMemoryMaxRatio" access_message_in_memory_max_ratio: u32 = 40, PERCENT, AtStart,
            "Percent of the machine's memory; messages further from the end than that count as on disk.";
        "maxTransferBytesOnMessageInMemory" max_transfer_bytes_on_message_in_memory: usize = 262_144, COUNT, AtStart,
            "Most bytes of a pull of messages in memory.";
        "maxTransferCountOnMessageInMemory" max_transfer_count_on_message_in_memory: usize = 32, COUNT, AtStart,
            "Most messages of a pull of messages in memory.";
        "maxTransferBytesOnMessageInDisk" max_transfer_bytes_on_message_in_disk: usize = 65_536, COUNT, AtStart,
            "Most bytes of a pull of messages on disk.";
        "maxTransferCountOnMessageInDisk" max_transfer_count_on_message_in_disk: usize = 8, COUNT, AtStart,
            "Most messages of a pull of messages on disk.";
    } beside {
        /// Blocks of the commit log are allocated ahead in steps of this many bytes.
        allocation_step: usize = 64 << 20,
    }
}

fn default_delay_levels() -> DelayLevels {
    let levels = "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h";
    DelayLevels::read(levels).expect("the default is well-formed, as a test checks")
}

fn default_delete_hours() -> DeleteHours {
    DeleteHours::read("04").expect("the default is well-formed, as a test checks")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.into(), value.into())
    }

    #[test]
    fn a_broker_conf_of_apaches_is_read() {
        let text = include_str!("../../tests/fixtures/config/broker.conf");
        let config = BrokerConfig::from_text(text, "broker.conf").unwrap();
        assert_eq!(config.broker_cluster_name, "FixCluster");
        assert_eq!(config.listen_port, 26510);
        assert_eq!(config.ha_listen_port, Some(26512));
        assert_eq!(config.mapped_file_size_commit_log, 8_388_608);
        assert_eq!(config.file_reserved_time, 876_000);
        assert_eq!(config.message_delay_level.ms().len(), 18);
        let odd: Vec<&str> = config
            .warnings
            .iter()
            .filter_map(|warning| warning.strip_suffix(" is a key of Apache RocketMQ that is not obeyed yet"))
            .collect();
        assert_eq!(odd.len(), config.warnings.len(), "{:?}", config.warnings);
        assert!(odd.contains(&"broker.conf line 13: recallMessageEnable"), "{odd:?}");
    }

    #[test]
    fn a_bad_value_is_named_with_file_line_key_value_and_what_is_allowed() {
        let cases = [
            (
                "a=1\nflushDiskType=ASYNC",
                "broker.conf line 2: flushDiskType = \"ASYNC\"",
                "ASYNC_FLUSH or SYNC_FLUSH",
            ),
            ("listenPort=70000", "line 1: listenPort = \"70000\"", "a number"),
            ("fileReservedTime=-1", "fileReservedTime = \"-1\"", "a number from 1 to 2147483647"),
            ("brokerPermission=8", "brokerPermission = \"8\"", "a number from 0 to 7"),
            ("brokerName=", "brokerName = \"\"", "not empty"),
            ("traceOn=yes", "traceOn = \"yes\"", "true or false"),
            ("brokerRole=SLAVE", "brokerRole = \"SLAVE\"", "ASYNC_MASTER"),
            ("messageDelayLevel=1s 5x", "messageDelayLevel = \"1s 5x\"", "unit s, m, h or d"),
            ("deleteWhen=25", "deleteWhen = \"25\"", "hours from 00 to 23"),
        ];
        for (text, named, allowed) in cases {
            let error = BrokerConfig::from_text(text, "broker.conf").unwrap_err().to_string();
            assert!(error.contains(named) && error.contains(allowed), "{text}: {error}");
        }
    }

    #[test]
    fn an_unknown_key_is_reported_once_with_the_nearest_one() {
        let mut config = BrokerConfig::from_text("transactionMsgTimeout=5", "broker.conf").unwrap();
        let warning = "broker.conf line 1: \"transactionMsgTimeout\" is not a known key; did you mean transactionTimeOut?";
        assert_eq!(config.warnings, [warning]);
        config.set("brokerNane", "x").unwrap();
        config.set("brokerNane", "y").unwrap();
        assert_eq!(config.warnings.len(), 2);
    }

    #[test]
    fn blanks_do_not_count_and_the_last_entry_wins() {
        let config =
            BrokerConfig::from_text("flushDiskType = SYNC_FLUSH  \nbrokerName=a \nbrokerName=b", "f")
                .unwrap();
        assert_eq!(config.flush_disk_type, FlushDiskType::Sync);
        assert_eq!(config.broker_name, "b");
    }

    #[test]
    fn an_update_is_made_whole_or_not_at_all() {
        let config = BrokerConfig::default();
        let changed =
            config.updated(&[pair("fileReservedTime", "48"), pair("brokerPermission", "4")]).unwrap();
        assert_eq!((changed.file_reserved_time, changed.broker_permission), (48, 4));
        let refused =
            |key, value| config.updated(&[pair("fileReservedTime", "48"), pair(key, value)]).unwrap_err();
        assert!(refused("storePathRootDir", "/x").to_string().contains("at the start only"));
        assert!(refused("fileReservedTim", "4").to_string().contains("did you mean fileReservedTime?"));
        assert!(refused("traceOn", "4").to_string().contains("true or false"));
        // The value it has already may be "changed" to.
        assert!(config.updated(&[pair("listenPort", "10911")]).is_ok());
    }

    #[test]
    fn the_file_is_rewritten_with_a_copy_beside_it_and_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("broker.conf");
        std::fs::write(&path, "# mine\nfileReservedTime=72\n").unwrap();
        BrokerConfig::rewrite_file(&path, &[pair("fileReservedTime", "48"), pair("traceOn", "false")])
            .unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "# mine\nfileReservedTime=48\ntraceOn=false\n");
        let copy = std::fs::read_to_string(dir.path().join("broker.conf.bak")).unwrap();
        assert_eq!(copy, "# mine\nfileReservedTime=72\n");
        let config = BrokerConfig::from_file(&path).unwrap();
        assert_eq!((config.file_reserved_time, config.trace_on), (48, false));
        assert_eq!(config.source.as_deref(), Some(path.as_path()));
    }

    #[test]
    fn the_whole_table_as_text_is_read_again() {
        let mut config = BrokerConfig::default();
        config.set("namesrvAddr", "a:1;b:2").unwrap();
        config.set("brokerName", "ü \\ x").unwrap();
        let text = config.to_properties_text();
        assert!(text.is_ascii() && text.contains("\nnamesrvAddr=a:1;b:2\n"), "{text}");
        let again = BrokerConfig::from_text(&text, "f").unwrap();
        assert_eq!(again.to_properties_text(), text);
        assert_eq!(again.broker_name, "ü \\ x");
        assert!(again.warnings.is_empty());
    }

    #[test]
    fn a_file_that_is_missing_or_too_large_is_named() {
        let missing = BrokerConfig::from_file("/nonexistent/broker.conf".as_ref()).unwrap_err();
        assert!(missing.to_string().contains("/nonexistent/broker.conf"), "{missing}");
        let endless = BrokerConfig::from_file("/dev/zero".as_ref()).unwrap_err();
        assert!(endless.to_string().contains("larger than"), "{endless}");
    }
}
