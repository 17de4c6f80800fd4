//! [`Request`]: which code has which struct.

use std::borrow::Cow;

use super::client::*;
use super::config::*;
use super::frame::{self, Head};
use super::group::*;
use super::header::{Form, Header};
use super::kv::*;
use super::lock::*;
use super::namesrv::*;
use super::offset::*;
use super::pull::*;
use super::query::*;
use super::reset::*;
use super::send::*;
use super::topic::*;
use super::transaction::*;
use super::{flag, DecodeError, Encoding, FieldWriter, Frame, FrameError, Language, RequestCode, VERSION};

/// Defines [`Request`]: codes without fields and body, codes with a struct, structs that serve several codes.
macro_rules! requests {
    (
        plain { $($plain:ident = $plain_code:ident,)* }
        typed { $($typed:ident($type:ty) = $typed_code:ident,)* }
        formed { $($formed:ident($formed_type:ty).$form:ident = $($formed_code:ident)|+,)* }
    ) => {
        /// A request, decoded. Borrows from its frame.
        #[derive(Debug, Clone, PartialEq)]
        #[non_exhaustive]
        #[allow(missing_docs, reason = "each is described with its struct, or named by its code")]
        pub enum Request<'a> {
            $($plain,)*
            $($typed($type),)*
            $($formed($formed_type),)*
            /// A code that has no typed form here.
            Other { code: RequestCode },
        }

        impl<'a> Request<'a> {
            /// Reads the fields and the body of a request.
            pub fn decode(frame: &Frame<'a>) -> Result<Self, DecodeError> {
                Ok(match frame.request_code() {
                    $(RequestCode::$plain_code => Request::$plain,)*
                    $(RequestCode::$typed_code => {
                        Request::$typed(Header::read(frame, stringify!($typed_code)).map_err(|error| *error)?)
                    })*
                    $($(RequestCode::$formed_code => {
                        Request::$formed(Header::read(frame, stringify!($formed_code)).map_err(|error| *error)?)
                    })+)*
                    code => Request::Other { code },
                })
            }

            /// The code that this request has on the wire.
            pub fn code(&self) -> RequestCode {
                match self {
                    $(Request::$plain => RequestCode::$plain_code,)*
                    $(Request::$typed(_) => RequestCode::$typed_code,)*
                    $(Request::$formed(request) => request.$form.code(),)*
                    Request::Other { code } => *code,
                }
            }

            fn write_fields(&self, writer: &mut FieldWriter<'_>) {
                match self {
                    $(Request::$typed(request) => request.write(writer),)*
                    $(Request::$formed(request) => request.write(writer),)*
                    _ => {}
                }
            }

            fn body(&self) -> Cow<'_, [u8]> {
                match self {
                    $(Request::$typed(request) => request.body(),)*
                    $(Request::$formed(request) => request.body(),)*
                    _ => Cow::Borrowed(&[]),
                }
            }

            /// Whether the field `name` is part of this request's form. The others, which are passed over, stand in
            /// the frame.
            pub fn knows(&self, name: &str) -> bool {
                match self {
                    $(Request::$typed(_) => <$type as Header<'_>>::knows(name),)*
                    $(Request::$formed(_) => <$formed_type as Header<'_>>::knows(name),)*
                    _ => false,
                }
            }
        }

        $(impl<'a> From<$type> for Request<'a> {
            fn from(request: $type) -> Self {
                Request::$typed(request)
            }
        })*
    };
}

requests! {
    plain {
        GetBrokerConfig = GET_BROKER_CONFIG,
        GetBrokerRuntimeInfo = GET_BROKER_RUNTIME_INFO,
        GetAllConsumerOffset = GET_ALL_CONSUMER_OFFSET,
        GetAllDelayOffset = GET_ALL_DELAY_OFFSET,
        GetBrokerClusterInfo = GET_BROKER_CLUSTER_INFO,
        GetAllTopicListFromNameserver = GET_ALL_TOPIC_LIST_FROM_NAMESERVER,
        GetSystemTopicListFromNs = GET_SYSTEM_TOPIC_LIST_FROM_NS,
        GetSystemTopicListFromBroker = GET_SYSTEM_TOPIC_LIST_FROM_BROKER,
        GetNamesrvConfig = GET_NAMESRV_CONFIG,
        GetAllProducerInfo = GET_ALL_PRODUCER_INFO,
    }
    typed {
        QueryMessage(QueryMessage<'a>) = QUERY_MESSAGE,
        QueryConsumerOffset(QueryConsumerOffset<'a>) = QUERY_CONSUMER_OFFSET,
        UpdateConsumerOffset(UpdateConsumerOffset<'a>) = UPDATE_CONSUMER_OFFSET,
        UpdateAndCreateTopic(UpdateAndCreateTopic<'a>) = UPDATE_AND_CREATE_TOPIC,
        GetAllTopicConfig(GetAllTopicConfig<'a>) = GET_ALL_TOPIC_CONFIG,
        UpdateBrokerConfig(UpdateBrokerConfig<'a>) = UPDATE_BROKER_CONFIG,
        SearchOffsetByTimestamp(SearchOffsetByTimestamp<'a>) = SEARCH_OFFSET_BY_TIMESTAMP,
        GetMaxOffset(GetMaxOffset<'a>) = GET_MAX_OFFSET,
        GetMinOffset(GetMinOffset<'a>) = GET_MIN_OFFSET,
        GetEarliestMsgStoretime(GetEarliestMsgStoretime<'a>) = GET_EARLIEST_MSG_STORETIME,
        ViewMessageById(ViewMessageById<'a>) = VIEW_MESSAGE_BY_ID,
        HeartBeat(HeartBeat) = HEART_BEAT,
        UnregisterClient(UnregisterClient<'a>) = UNREGISTER_CLIENT,
        ConsumerSendMsgBack(ConsumerSendMsgBack<'a>) = CONSUMER_SEND_MSG_BACK,
        EndTransaction(EndTransaction<'a>) = END_TRANSACTION,
        GetConsumerListByGroup(GetConsumerListByGroup<'a>) = GET_CONSUMER_LIST_BY_GROUP,
        CheckTransactionState(CheckTransactionState<'a>) = CHECK_TRANSACTION_STATE,
        NotifyConsumerIdsChanged(NotifyConsumerIdsChanged<'a>) = NOTIFY_CONSUMER_IDS_CHANGED,
        LockBatchMq(LockBatchMq) = LOCK_BATCH_MQ,
        UnlockBatchMq(UnlockBatchMq) = UNLOCK_BATCH_MQ,
        CheckClientConfig(CheckClientConfig) = CHECK_CLIENT_CONFIG,
        PutKvConfig(PutKvConfig<'a>) = PUT_KV_CONFIG,
        GetKvConfig(GetKvConfig<'a>) = GET_KV_CONFIG,
        DeleteKvConfig(DeleteKvConfig<'a>) = DELETE_KV_CONFIG,
        RegisterBroker(RegisterBroker<'a>) = REGISTER_BROKER,
        UnregisterBroker(UnregisterBroker<'a>) = UNREGISTER_BROKER,
        GetRouteinfoByTopic(GetRouteinfoByTopic<'a>) = GET_ROUTEINFO_BY_TOPIC,
        UpdateAndCreateSubscriptiongroup(UpdateAndCreateSubscriptiongroup) = UPDATE_AND_CREATE_SUBSCRIPTIONGROUP,
        GetAllSubscriptiongroupConfig(GetAllSubscriptiongroupConfig<'a>) = GET_ALL_SUBSCRIPTIONGROUP_CONFIG,
        GetTopicStatsInfo(GetTopicStatsInfo<'a>) = GET_TOPIC_STATS_INFO,
        GetConsumerConnectionList(GetConsumerConnectionList<'a>) = GET_CONSUMER_CONNECTION_LIST,
        GetProducerConnectionList(GetProducerConnectionList<'a>) = GET_PRODUCER_CONNECTION_LIST,
        WipeWritePermOfBroker(WipeWritePermOfBroker<'a>) = WIPE_WRITE_PERM_OF_BROKER,
        DeleteSubscriptiongroup(DeleteSubscriptiongroup<'a>) = DELETE_SUBSCRIPTIONGROUP,
        GetConsumeStats(GetConsumeStats<'a>) = GET_CONSUME_STATS,
        DeleteTopicInBroker(DeleteTopicInBroker<'a>) = DELETE_TOPIC_IN_BROKER,
        DeleteTopicInNamesrv(DeleteTopicInNamesrv<'a>) = DELETE_TOPIC_IN_NAMESRV,
        GetKvlistByNamespace(GetKvlistByNamespace<'a>) = GET_KVLIST_BY_NAMESPACE,
        ResetConsumerClientOffset(ResetConsumerClientOffset<'a>) = RESET_CONSUMER_CLIENT_OFFSET,
        GetConsumerStatusFromClient(GetConsumerStatusFromClient<'a>) = GET_CONSUMER_STATUS_FROM_CLIENT,
        InvokeBrokerToResetOffset(InvokeBrokerToResetOffset<'a>) = INVOKE_BROKER_TO_RESET_OFFSET,
        InvokeBrokerToGetConsumerStatus(InvokeBrokerToGetConsumerStatus<'a>) = INVOKE_BROKER_TO_GET_CONSUMER_STATUS,
        GetTopicsByCluster(GetTopicsByCluster<'a>) = GET_TOPICS_BY_CLUSTER,
        QueryTopicConsumeByWho(QueryTopicConsumeByWho<'a>) = QUERY_TOPIC_CONSUME_BY_WHO,
        GetConsumerRunningInfo(GetConsumerRunningInfo<'a>) = GET_CONSUMER_RUNNING_INFO,
        UpdateNamesrvConfig(UpdateNamesrvConfig<'a>) = UPDATE_NAMESRV_CONFIG,
        QueryDataVersion(QueryDataVersion<'a>) = QUERY_DATA_VERSION,
        PushReplyMessageToClient(PushReplyMessageToClient<'a>) = PUSH_REPLY_MESSAGE_TO_CLIENT,
        AddWritePermOfBroker(AddWritePermOfBroker<'a>) = ADD_WRITE_PERM_OF_BROKER,
        GetTopicConfig(GetTopicConfig<'a>) = GET_TOPIC_CONFIG,
        GetSubscriptiongroupConfig(GetSubscriptiongroupConfig<'a>) = GET_SUBSCRIPTIONGROUP_CONFIG,
        GetBrokerMemberGroup(GetBrokerMemberGroup<'a>) = GET_BROKER_MEMBER_GROUP,
    }
    formed {
        SendMessage(SendMessage<'a>).form = SEND_MESSAGE | SEND_MESSAGE_V2 | SEND_BATCH_MESSAGE,
        SendReplyMessage(SendMessage<'a>).form = SEND_REPLY_MESSAGE | SEND_REPLY_MESSAGE_V2,
        PullMessage(PullMessage<'a>).lite = PULL_MESSAGE | LITE_PULL_MESSAGE,
    }
}

impl Request<'_> {
    /// Appends the whole frame to `out`. A code over 32767 goes in JSON whatever `encoding` says.
    pub fn encode(
        &self,
        encoding: Encoding,
        opaque: i32,
        oneway: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), FrameError> {
        self.encode_with(encoding, opaque, oneway, [("", ""); 0], out)
    }

    /// As [`Request::encode`], with further fields, such as a signature, behind the request's own.
    pub fn encode_with<N: AsRef<str>, V: AsRef<str>>(
        &self,
        encoding: Encoding,
        opaque: i32,
        oneway: bool,
        further: impl IntoIterator<Item = (N, V)>,
        out: &mut Vec<u8>,
    ) -> Result<(), FrameError> {
        let head = Head {
            code: self.code().0,
            language: Language::RUST,
            version: VERSION,
            opaque,
            flag: if oneway { flag::ONEWAY } else { 0 },
            remark: None,
        };
        let body = self.body();
        frame::write(out, encoding, &head, body.len(), |writer| {
            self.write_fields(writer);
            for (name, value) in further {
                writer.text(name.as_ref(), value.as_ref());
            }
        })?;
        out.extend_from_slice(&body);
        Ok(())
    }
}
