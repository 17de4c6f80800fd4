//! What is done with each request code that Apache's servers and clients know, 4.9 and 5.3: the table behind
//! `docs/request-codes.md`, and behind what a refusal says. Tests send every code and see that it is so.

use super::RequestCode;
use super::RequestCode as C;

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A broker.
    Broker,
    /// A name server.
    Namesrv,
    /// A client, by a broker.
    Client,
}

/// Releases of Apache that know a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// 4.9 and 5.3.
    Both,
    /// 4.9 only.
    V4,
    /// 5.3 only.
    V5,
}

/// What is done with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// These answer it; the others say REQUEST_CODE_NOT_SUPPORTED.
    Answered(&'static [Peer]),
    /// Everybody says REQUEST_CODE_NOT_SUPPORTED, because of this.
    Refused(&'static str),
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The code.
    pub code: RequestCode,
    /// Which releases of Apache know it.
    pub line: Line,
    /// What is done with it.
    pub treatment: Treatment,
    /// The integration test that shows it, `module::function`.
    pub test: &'static str,
}

const BOTH: Line = Line::Both;
const V4: Line = Line::V4;
const V5: Line = Line::V5;

const fn answered(code: C, line: Line, by: &'static [Peer], test: &'static str) -> Row {
    Row { code, line, treatment: Treatment::Answered(by), test }
}

const fn refused(code: C, line: Line, why: &'static str) -> Row {
    let test = "request_codes::every_code_is_treated_as_the_table_says";
    Row { code, line, treatment: Treatment::Refused(why), test }
}

/// All codes, in order.
#[rustfmt::skip]
pub const REQUESTS: &[Row] = &[
    answered(C::SEND_MESSAGE, BOTH, &[Peer::Broker], "broker_messages::a_message_comes_out_as_it_went_in"),
    answered(C::PULL_MESSAGE, BOTH, &[Peer::Broker], "broker_messages::a_held_pull_is_answered_when_a_message_lands"),
    answered(C::QUERY_MESSAGE, BOTH, &[Peer::Broker], "broker_messages::a_key_finds_the_messages_of_a_time"),
    refused(C::QUERY_BROKER_OFFSET, BOTH, "no server of Apache's answers it either"),
    answered(C::QUERY_CONSUMER_OFFSET, BOTH, &[Peer::Broker], "broker_groups::offsets_are_kept_over_a_restart_and_a_new_group_starts_at_zero"),
    answered(C::UPDATE_CONSUMER_OFFSET, BOTH, &[Peer::Broker], "broker_groups::offsets_are_kept_over_a_restart_and_a_new_group_starts_at_zero"),
    answered(C::UPDATE_AND_CREATE_TOPIC, BOTH, &[Peer::Broker], "broker_errors::permissions_of_a_topic_close_each_side"),
    answered(C::UPDATE_AND_CREATE_TOPIC_LIST, V5, &[Peer::Broker], "broker_admin::lists_are_made_whole_or_not_at_all"),
    answered(C::GET_ALL_TOPIC_CONFIG, BOTH, &[Peer::Broker], "broker_admin::lists_are_made_whole_or_not_at_all"),
    refused(C::GET_TOPIC_CONFIG_LIST, BOTH, "no server of Apache's answers it either"),
    refused(C::GET_TOPIC_NAME_LIST, BOTH, "no server of Apache's answers it either"),
    answered(C::UPDATE_BROKER_CONFIG, BOTH, &[Peer::Broker], "broker_admin::settings_are_changed_and_kept"),
    answered(C::GET_BROKER_CONFIG, BOTH, &[Peer::Broker], "broker_admin::settings_are_changed_and_kept"),
    refused(C::TRIGGER_DELETE_FILES, BOTH, "no server of Apache's answers it either"),
    answered(C::GET_BROKER_RUNTIME_INFO, BOTH, &[Peer::Broker], "broker_admin::figures_are_true"),
    answered(C::SEARCH_OFFSET_BY_TIMESTAMP, BOTH, &[Peer::Broker], "broker_messages::offsets_of_a_queue_by_end_and_by_time"),
    answered(C::GET_MAX_OFFSET, BOTH, &[Peer::Broker], "broker_messages::offsets_of_a_queue_by_end_and_by_time"),
    answered(C::GET_MIN_OFFSET, BOTH, &[Peer::Broker], "broker_messages::offsets_of_a_queue_by_end_and_by_time"),
    answered(C::GET_EARLIEST_MSG_STORETIME, BOTH, &[Peer::Broker], "broker_messages::offsets_of_a_queue_by_end_and_by_time"),
    answered(C::VIEW_MESSAGE_BY_ID, BOTH, &[Peer::Broker], "broker_messages::a_message_comes_out_as_it_went_in"),
    answered(C::HEART_BEAT, BOTH, &[Peer::Broker], "broker_groups::members_come_and_go_and_everybody_is_told"),
    answered(C::UNREGISTER_CLIENT, BOTH, &[Peer::Broker], "broker_groups::members_come_and_go_and_everybody_is_told"),
    answered(C::CONSUMER_SEND_MSG_BACK, BOTH, &[Peer::Broker], "broker_retry::the_consumers_own_limit_counts"),
    answered(C::END_TRANSACTION, BOTH, &[Peer::Broker], "broker_transactions::committed_is_seen_once_and_rolled_back_never"),
    answered(C::GET_CONSUMER_LIST_BY_GROUP, BOTH, &[Peer::Broker], "broker_groups::members_come_and_go_and_everybody_is_told"),
    answered(C::CHECK_TRANSACTION_STATE, BOTH, &[Peer::Client], "client_transaction::any_producer_of_the_group_answers_a_broker_that_asks"),
    answered(C::NOTIFY_CONSUMER_IDS_CHANGED, BOTH, &[Peer::Client], "broker_groups::members_come_and_go_and_everybody_is_told"),
    answered(C::LOCK_BATCH_MQ, BOTH, &[Peer::Broker], "broker_groups::a_queue_has_one_owner"),
    answered(C::UNLOCK_BATCH_MQ, BOTH, &[Peer::Broker], "broker_groups::a_queue_has_one_owner"),
    answered(C::GET_ALL_CONSUMER_OFFSET, BOTH, &[Peer::Broker], "broker_admin::progress_of_groups_is_told"),
    answered(C::GET_ALL_DELAY_OFFSET, BOTH, &[Peer::Broker], "broker_admin::progress_of_groups_is_told"),
    answered(C::CHECK_CLIENT_CONFIG, BOTH, &[Peer::Broker], "broker_filter::wrong_expressions_are_refused_with_place_and_reason"),
    refused(C::GET_CLIENT_CONFIG, V5, "no server of Apache's answers it either"),
    refused(C::UPDATE_AND_CREATE_ACL_CONFIG, V4, "access control comes later"),
    refused(C::DELETE_ACL_CONFIG, V4, "access control comes later"),
    refused(C::GET_BROKER_CLUSTER_ACL_INFO, V4, "access control comes later"),
    refused(C::UPDATE_GLOBAL_WHITE_ADDRS_CONFIG, V4, "access control comes later"),
    refused(C::GET_BROKER_CLUSTER_ACL_CONFIG, V4, "access control comes later"),
    refused(C::GET_TIMER_CHECK_POINT, V5, "messages for arbitrary times are not taken"),
    refused(C::GET_TIMER_METRICS, V5, "messages for arbitrary times are not taken"),
    answered(C::PUT_KV_CONFIG, BOTH, &[Peer::Namesrv], "namesrv::keys_and_settings_survive_a_restart"),
    answered(C::GET_KV_CONFIG, BOTH, &[Peer::Namesrv], "namesrv::keys_and_settings_survive_a_restart"),
    answered(C::DELETE_KV_CONFIG, BOTH, &[Peer::Namesrv], "namesrv::recorded_conversations_are_answered_as_apaches_name_server_did"),
    answered(C::REGISTER_BROKER, BOTH, &[Peer::Namesrv], "namesrv::a_silent_broker_expires_and_is_disconnected"),
    answered(C::UNREGISTER_BROKER, BOTH, &[Peer::Namesrv], "namesrv::unregistering_leaves_the_connection_open"),
    answered(C::GET_ROUTEINFO_BY_TOPIC, BOTH, &[Peer::Namesrv], "namesrv::a_broker_is_gone_at_once_when_its_connection_closes"),
    answered(C::GET_BROKER_CLUSTER_INFO, BOTH, &[Peer::Namesrv], "namesrv::recorded_conversations_are_answered_as_apaches_name_server_did"),
    answered(C::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, BOTH, &[Peer::Broker], "broker_admin::lists_are_made_whole_or_not_at_all"),
    answered(C::GET_ALL_SUBSCRIPTIONGROUP_CONFIG, BOTH, &[Peer::Broker], "broker_admin::lists_are_made_whole_or_not_at_all"),
    answered(C::GET_TOPIC_STATS_INFO, BOTH, &[Peer::Broker], "broker_admin::figures_are_true"),
    answered(C::GET_CONSUMER_CONNECTION_LIST, BOTH, &[Peer::Broker], "broker_admin::members_that_disagree_are_told_of"),
    answered(C::GET_PRODUCER_CONNECTION_LIST, BOTH, &[Peer::Broker], "broker_reset::producers_are_listed_with_where_they_are"),
    answered(C::WIPE_WRITE_PERM_OF_BROKER, BOTH, &[Peer::Namesrv], "namesrv::recorded_conversations_are_answered_as_apaches_name_server_did"),
    answered(C::GET_ALL_TOPIC_LIST_FROM_NAMESERVER, BOTH, &[Peer::Namesrv], "namesrv::recorded_conversations_are_answered_as_apaches_name_server_did"),
    answered(C::DELETE_SUBSCRIPTIONGROUP, BOTH, &[Peer::Broker], "broker_admin::lists_are_made_whole_or_not_at_all"),
    answered(C::GET_CONSUME_STATS, BOTH, &[Peer::Broker], "broker_admin::progress_of_groups_is_told"),
    refused(C::SUSPEND_CONSUMER, BOTH, "no server of Apache's answers it either"),
    refused(C::RESUME_CONSUMER, BOTH, "no server of Apache's answers it either"),
    refused(C::RESET_CONSUMER_OFFSET_IN_CONSUMER, BOTH, "no server of Apache's answers it either"),
    refused(C::RESET_CONSUMER_OFFSET_IN_BROKER, BOTH, "no server of Apache's answers it either"),
    refused(C::ADJUST_CONSUMER_THREAD_POOL, BOTH, "no server of Apache's answers it either"),
    refused(C::WHO_CONSUME_THE_MESSAGE, BOTH, "no server of Apache's answers it either"),
    answered(C::DELETE_TOPIC_IN_BROKER, BOTH, &[Peer::Broker], "broker_groups::a_deleted_topic_is_gone_and_a_new_one_of_its_name_is_empty"),
    answered(C::DELETE_TOPIC_IN_NAMESRV, BOTH, &[Peer::Namesrv], "namesrv::recorded_conversations_are_answered_as_apaches_name_server_did"),
    refused(C::REGISTER_TOPIC_IN_NAMESRV, V5, "there are no static topics"),
    answered(C::GET_KVLIST_BY_NAMESPACE, BOTH, &[Peer::Namesrv], "namesrv::recorded_conversations_are_answered_as_apaches_name_server_did"),
    answered(C::RESET_CONSUMER_CLIENT_OFFSET, BOTH, &[Peer::Client], "client_consumer_admin::offsets_are_told_and_moved_backwards_and_forwards"),
    answered(C::GET_CONSUMER_STATUS_FROM_CLIENT, BOTH, &[Peer::Client], "client_consumer_admin::offsets_are_told_and_moved_backwards_and_forwards"),
    answered(C::INVOKE_BROKER_TO_RESET_OFFSET, BOTH, &[Peer::Broker], "broker_reset::a_group_is_moved_by_its_next_pulls"),
    answered(C::INVOKE_BROKER_TO_GET_CONSUMER_STATUS, BOTH, &[Peer::Broker], "broker_reset::clients_are_asked_through_the_broker"),
    answered(C::GET_TOPICS_BY_CLUSTER, BOTH, &[Peer::Namesrv], "namesrv::recorded_conversations_are_answered_as_apaches_name_server_did"),
    answered(C::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST, V5, &[Peer::Broker], "broker_admin::lists_are_made_whole_or_not_at_all"),
    answered(C::QUERY_TOPIC_CONSUME_BY_WHO, BOTH, &[Peer::Broker], "broker_admin::progress_of_groups_is_told"),
    refused(C::REGISTER_FILTER_SERVER, BOTH, "filter servers are gone since 4.3; filters run in the broker"),
    answered(C::REGISTER_MESSAGE_FILTER_CLASS, BOTH, &[Peer::Broker], "broker_function::a_groups_function_chooses_what_tags_and_sql_leave"),
    answered(C::QUERY_CONSUME_TIME_SPAN, BOTH, &[Peer::Broker], "broker_admin::progress_of_groups_is_told"),
    answered(C::GET_SYSTEM_TOPIC_LIST_FROM_NS, BOTH, &[Peer::Namesrv], "namesrv::topics_of_the_system_and_of_units_are_listed"),
    answered(C::GET_SYSTEM_TOPIC_LIST_FROM_BROKER, BOTH, &[Peer::Broker], "broker_admin::the_brokers_own_topics_are_listed"),
    answered(C::CLEAN_EXPIRED_CONSUMEQUEUE, BOTH, &[Peer::Broker], "broker_admin::cleaning_removes_what_is_over_and_nothing_else"),
    answered(C::GET_CONSUMER_RUNNING_INFO, BOTH, &[Peer::Broker, Peer::Client], "broker_reset::clients_are_asked_through_the_broker"),
    answered(C::QUERY_CORRECTION_OFFSET, BOTH, &[Peer::Broker], "broker_reset::offsets_are_cloned_and_compared"),
    answered(C::CONSUME_MESSAGE_DIRECTLY, BOTH, &[Peer::Broker, Peer::Client], "broker_reset::clients_are_asked_through_the_broker"),
    answered(C::SEND_MESSAGE_V2, BOTH, &[Peer::Broker], "broker_messages::a_message_comes_out_as_it_went_in"),
    answered(C::GET_UNIT_TOPIC_LIST, BOTH, &[Peer::Namesrv], "namesrv::topics_of_the_system_and_of_units_are_listed"),
    answered(C::GET_HAS_UNIT_SUB_TOPIC_LIST, BOTH, &[Peer::Namesrv], "namesrv::topics_of_the_system_and_of_units_are_listed"),
    answered(C::GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST, BOTH, &[Peer::Namesrv], "namesrv::topics_of_the_system_and_of_units_are_listed"),
    answered(C::CLONE_GROUP_OFFSET, BOTH, &[Peer::Broker], "broker_reset::offsets_are_cloned_and_compared"),
    answered(C::VIEW_BROKER_STATS_DATA, BOTH, &[Peer::Broker], "broker_admin::figures_are_true"),
    answered(C::CLEAN_UNUSED_TOPIC, BOTH, &[Peer::Broker], "broker_admin::cleaning_removes_what_is_over_and_nothing_else"),
    answered(C::GET_BROKER_CONSUME_STATS, BOTH, &[Peer::Broker], "broker_admin::progress_of_groups_is_told"),
    answered(C::UPDATE_NAMESRV_CONFIG, BOTH, &[Peer::Namesrv], "namesrv::keys_and_settings_survive_a_restart"),
    answered(C::GET_NAMESRV_CONFIG, BOTH, &[Peer::Namesrv], "namesrv::keys_and_settings_survive_a_restart"),
    answered(C::SEND_BATCH_MESSAGE, BOTH, &[Peer::Broker], "broker_messages::a_batch_is_stored_message_by_message"),
    answered(C::QUERY_CONSUME_QUEUE, BOTH, &[Peer::Broker], "broker_admin::entries_of_a_queue_are_shown"),
    answered(C::QUERY_DATA_VERSION, BOTH, &[Peer::Namesrv], "namesrv::recorded_conversations_are_answered_as_apaches_name_server_did"),
    answered(C::RESUME_CHECK_HALF_MESSAGE, BOTH, &[Peer::Broker], "broker_transactions::who_never_knows_is_asked_three_times_and_given_up"),
    answered(C::SEND_REPLY_MESSAGE, BOTH, &[Peer::Broker], "broker_replies::a_reply_goes_to_the_client_that_asked_and_is_kept"),
    answered(C::SEND_REPLY_MESSAGE_V2, BOTH, &[Peer::Broker], "broker_replies::a_reply_goes_to_the_client_that_asked_and_is_kept"),
    answered(C::PUSH_REPLY_MESSAGE_TO_CLIENT, BOTH, &[Peer::Client], "client_request::a_reply_comes_back_to_who_asked"),
    answered(C::ADD_WRITE_PERM_OF_BROKER, BOTH, &[Peer::Namesrv], "namesrv::recorded_conversations_are_answered_as_apaches_name_server_did"),
    answered(C::GET_ALL_PRODUCER_INFO, BOTH, &[Peer::Broker], "broker_reset::producers_are_listed_with_where_they_are"),
    answered(C::DELETE_EXPIRED_COMMITLOG, BOTH, &[Peer::Broker], "broker_admin::cleaning_removes_what_is_over_and_nothing_else"),
    answered(C::QUERY_TOPICS_BY_CONSUMER, V5, &[Peer::Broker], "broker_admin::progress_of_groups_is_told"),
    answered(C::QUERY_SUBSCRIPTION_BY_CONSUMER, V5, &[Peer::Broker], "broker_admin::progress_of_groups_is_told"),
    answered(C::GET_TOPIC_CONFIG, V5, &[Peer::Broker], "broker_admin::lists_are_made_whole_or_not_at_all"),
    answered(C::GET_SUBSCRIPTIONGROUP_CONFIG, V5, &[Peer::Broker], "broker_admin::lists_are_made_whole_or_not_at_all"),
    refused(C::UPDATE_AND_GET_GROUP_FORBIDDEN, V5, "groups are closed by consumeEnable, topics by their permission"),
    refused(C::CHECK_ROCKSDB_CQ_WRITE_PROGRESS, V5, "tables and queues stand in files, not in RocksDB"),
    refused(C::EXPORT_ROCKSDB_CONFIG_TO_JSON, V5, "tables and queues stand in files, not in RocksDB"),
    answered(C::LITE_PULL_MESSAGE, V5, &[Peer::Broker], "broker_messages::a_lite_pull_is_answered_as_a_pull_is"),
    refused(C::RECALL_MESSAGE, V5, "messages for arbitrary times are not taken"),
    refused(C::QUERY_ASSIGNMENT, V5, "clients share queues among themselves; there is no POP"),
    refused(C::SET_MESSAGE_REQUEST_MODE, V5, "clients share queues among themselves; there is no POP"),
    refused(C::GET_ALL_MESSAGE_REQUEST_MODE, V5, "clients share queues among themselves; there is no POP"),
    refused(C::UPDATE_AND_CREATE_STATIC_TOPIC, V5, "there are no static topics"),
    answered(C::GET_BROKER_MEMBER_GROUP, V5, &[Peer::Namesrv], "namesrv::recorded_conversations_are_answered_as_apaches_name_server_did"),
    refused(C::ADD_BROKER, V5, "for containers of brokers, of which there is none here"),
    refused(C::REMOVE_BROKER, V5, "for containers of brokers, of which there is none here"),
    answered(C::BROKER_HEARTBEAT, V5, &[Peer::Namesrv], "namesrv::a_heartbeat_of_5_x_keeps_a_broker"),
    refused(C::NOTIFY_MIN_BROKER_ID_CHANGE, V5, "replication of 5.x is not there"),
    refused(C::EXCHANGE_BROKER_HA_INFO, V5, "replication of 5.x is not there"),
    refused(C::GET_BROKER_HA_STATUS, V5, "replication of 5.x is not there"),
    refused(C::RESET_MASTER_FLUSH_OFFSET, V5, "replication of 5.x is not there"),
    refused(C::CONTROLLER_ALTER_SYNC_STATE_SET, V5, "for controllers, of which there is none here"),
    refused(C::CONTROLLER_ELECT_MASTER, V5, "for controllers, of which there is none here"),
    refused(C::CONTROLLER_REGISTER_BROKER, V5, "for controllers, of which there is none here"),
    refused(C::CONTROLLER_GET_REPLICA_INFO, V5, "for controllers, of which there is none here"),
    refused(C::CONTROLLER_GET_METADATA_INFO, V5, "for controllers, of which there is none here"),
    refused(C::CONTROLLER_GET_SYNC_STATE_DATA, V5, "for controllers, of which there is none here"),
    refused(C::GET_BROKER_EPOCH_CACHE, V5, "replication of 5.x is not there"),
    refused(C::NOTIFY_BROKER_ROLE_CHANGED, V5, "replication of 5.x is not there"),
    refused(C::UPDATE_CONTROLLER_CONFIG, V5, "for controllers, of which there is none here"),
    refused(C::GET_CONTROLLER_CONFIG, V5, "for controllers, of which there is none here"),
    refused(C::CLEAN_BROKER_DATA, V5, "for controllers, of which there is none here"),
    refused(C::CONTROLLER_GET_NEXT_BROKER_ID, V5, "for controllers, of which there is none here"),
    refused(C::CONTROLLER_APPLY_BROKER_ID, V5, "for controllers, of which there is none here"),
    refused(C::BROKER_CLOSE_CHANNEL_REQUEST, V5, "for controllers, of which there is none here"),
    refused(C::CHECK_NOT_ACTIVE_BROKER_REQUEST, V5, "for controllers, of which there is none here"),
    refused(C::GET_BROKER_LIVE_INFO_REQUEST, V5, "for controllers, of which there is none here"),
    refused(C::GET_SYNC_STATE_DATA_REQUEST, V5, "no server of Apache's answers it either"),
    refused(C::RAFT_BROKER_HEART_BEAT_EVENT_REQUEST, V5, "for controllers, of which there is none here"),
    refused(C::UPDATE_COLD_DATA_FLOW_CTR_CONFIG, V5, "cold reads are not limited"),
    refused(C::REMOVE_COLD_DATA_FLOW_CTR_CONFIG, V5, "cold reads are not limited"),
    refused(C::GET_COLD_DATA_FLOW_CTR_INFO, V5, "cold reads are not limited"),
    refused(C::SET_COMMITLOG_READ_MODE, V5, "cold reads are not limited"),
    refused(C::AUTH_CREATE_USER, V5, "access control comes later"),
    refused(C::AUTH_UPDATE_USER, V5, "access control comes later"),
    refused(C::AUTH_DELETE_USER, V5, "access control comes later"),
    refused(C::AUTH_GET_USER, V5, "access control comes later"),
    refused(C::AUTH_LIST_USER, V5, "access control comes later"),
    refused(C::AUTH_CREATE_ACL, V5, "access control comes later"),
    refused(C::AUTH_UPDATE_ACL, V5, "access control comes later"),
    refused(C::AUTH_DELETE_ACL, V5, "access control comes later"),
    refused(C::AUTH_GET_ACL, V5, "access control comes later"),
    refused(C::AUTH_LIST_ACL, V5, "access control comes later"),
    refused(C::POP_MESSAGE, V5, "clients share queues among themselves; there is no POP"),
    refused(C::ACK_MESSAGE, V5, "clients share queues among themselves; there is no POP"),
    refused(C::PEEK_MESSAGE, V5, "clients share queues among themselves; there is no POP"),
    refused(C::CHANGE_MESSAGE_INVISIBLETIME, V5, "clients share queues among themselves; there is no POP"),
    refused(C::NOTIFICATION, V5, "clients share queues among themselves; there is no POP"),
    refused(C::POLLING_INFO, V5, "clients share queues among themselves; there is no POP"),
    refused(C::POP_ROLLBACK, V5, "clients share queues among themselves; there is no POP"),
    refused(C::BATCH_ACK_MESSAGE, V5, "clients share queues among themselves; there is no POP"),
];

/// Whether `at` answers a code.
pub fn is_answered(code: RequestCode, at: Peer) -> bool {
    let row = REQUESTS.iter().find(|row| row.code == code);
    row.is_some_and(|row| matches!(row.treatment, Treatment::Answered(by) if by.contains(&at)))
}

/// The remark with which `at` refuses a code: Apache's words, and the reason where there is one.
pub fn unsupported(code: RequestCode, at: Peer) -> String {
    let number = code.0;
    let row = REQUESTS.iter().find(|row| row.code == code);
    match row.map(|row| row.treatment) {
        None => format!(" request type {number} not supported"),
        Some(Treatment::Refused(why)) => {
            format!(" request type {number} not supported ({}: {why})", code.name())
        }
        Some(Treatment::Answered(by)) if by.contains(&at) => {
            format!(" request type {number} not supported")
        }
        Some(Treatment::Answered(by)) => {
            let by: Vec<&str> = by.iter().map(|peer| peer.plural()).collect();
            format!(" request type {number} not supported ({} is for {})", code.name(), by.join(" and "))
        }
    }
}

impl Peer {
    /// Its name, of several.
    pub fn plural(self) -> &'static str {
        match self {
            Peer::Broker => "brokers",
            Peer::Namesrv => "name servers",
            Peer::Client => "clients",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_with_a_name_has_one_row() {
        assert!(REQUESTS.windows(2).all(|pair| pair[0].code < pair[1].code));
        let named = (0..=300_000).map(RequestCode).filter(|code| code.name() != "UNKNOWN");
        // The table is of Apache's codes; the page names our own above it.
        let named = named.filter(|code| *code != C::FERROMQ_BACKUP);
        assert!(named.eq(REQUESTS.iter().map(|row| row.code)));
    }

    #[test]
    fn a_refusal_begins_with_apaches_words_and_says_why() {
        assert_eq!(unsupported(RequestCode(1999), Peer::Broker), " request type 1999 not supported");
        let pop = unsupported(C::POP_MESSAGE, Peer::Broker);
        assert!(pop.starts_with(" request type 200050 not supported (POP_MESSAGE: "), "{pop}");
        let route = unsupported(C::GET_ROUTEINFO_BY_TOPIC, Peer::Broker);
        assert!(route.ends_with("(GET_ROUTEINFO_BY_TOPIC is for name servers)"), "{route}");
    }
}
