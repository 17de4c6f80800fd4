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

            fn remark(&self) -> Option<&str> {
                match self {
                    $(Request::$typed(request) => request.remark(),)*
                    $(Request::$formed(request) => request.remark(),)*
                    _ => None,
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

        #[cfg(test)]
        impl<'a> Request<'a> {
            /// One of each kind, at random.
            pub(super) fn samples(random: &mut super::sample::Random) -> Vec<Self> {
                use super::sample::Sample;
                vec![
                    $(Request::$plain,)*
                    $(Request::$typed(Sample::sample(random)),)*
                    $($(Request::$formed(loop {
                        let request = <$formed_type>::sample(random);
                        if request.$form.code() == RequestCode::$formed_code {
                            break request;
                        }
                    }),)+)*
                ]
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
        CleanExpiredConsumequeue = CLEAN_EXPIRED_CONSUMEQUEUE,
        CleanUnusedTopic = CLEAN_UNUSED_TOPIC,
        DeleteExpiredCommitlog = DELETE_EXPIRED_COMMITLOG,
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
        RegisterMessageFilterClass(RegisterMessageFilterClass<'a>) = REGISTER_MESSAGE_FILTER_CLASS,
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
        ConsumeMessageDirectly(ConsumeMessageDirectly<'a>) = CONSUME_MESSAGE_DIRECTLY,
        UpdateNamesrvConfig(UpdateNamesrvConfig<'a>) = UPDATE_NAMESRV_CONFIG,
        QueryDataVersion(QueryDataVersion<'a>) = QUERY_DATA_VERSION,
        PushReplyMessageToClient(PushReplyMessageToClient<'a>) = PUSH_REPLY_MESSAGE_TO_CLIENT,
        AddWritePermOfBroker(AddWritePermOfBroker<'a>) = ADD_WRITE_PERM_OF_BROKER,
        GetTopicConfig(GetTopicConfig<'a>) = GET_TOPIC_CONFIG,
        UpdateAndCreateTopicList(UpdateAndCreateTopicList) = UPDATE_AND_CREATE_TOPIC_LIST,
        UpdateAndCreateSubscriptiongroupList(UpdateAndCreateSubscriptiongroupList) =
            UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST,
        GetBrokerConsumeStats(GetBrokerConsumeStats) = GET_BROKER_CONSUME_STATS,
        QueryConsumeTimeSpan(QueryConsumeTimeSpan<'a>) = QUERY_CONSUME_TIME_SPAN,
        QuerySubscriptionByConsumer(QuerySubscriptionByConsumer<'a>) = QUERY_SUBSCRIPTION_BY_CONSUMER,
        QueryTopicsByConsumer(QueryTopicsByConsumer<'a>) = QUERY_TOPICS_BY_CONSUMER,
        CloneGroupOffset(CloneGroupOffset<'a>) = CLONE_GROUP_OFFSET,
        FerromqBackup(FerromqBackup<'a>) = FERROMQ_BACKUP,
        QueryCorrectionOffset(QueryCorrectionOffset<'a>) = QUERY_CORRECTION_OFFSET,
        QueryConsumeQueue(QueryConsumeQueue<'a>) = QUERY_CONSUME_QUEUE,
        ViewBrokerStatsData(ViewBrokerStatsData<'a>) = VIEW_BROKER_STATS_DATA,
        GetSubscriptiongroupConfig(GetSubscriptiongroupConfig<'a>) = GET_SUBSCRIPTIONGROUP_CONFIG,
        GetBrokerMemberGroup(GetBrokerMemberGroup<'a>) = GET_BROKER_MEMBER_GROUP,
        ResumeCheckHalfMessage(ResumeCheckHalfMessage<'a>) = RESUME_CHECK_HALF_MESSAGE,
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
            remark: self.remark(),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A JSON frame with these fields.
    fn framed(code: RequestCode, fields: &str, body: &[u8]) -> Vec<u8> {
        let header = format!("{{\"code\":{},\"extFields\":{{{fields}}},\"version\":401}}", code.0);
        let mut bytes = ((header.len() + body.len() + 4) as u32).to_be_bytes().to_vec();
        bytes.extend_from_slice(&(header.len() as u32).to_be_bytes());
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    const SHORT: &str =
        r#""a":"g","b":"t","c":"TBW102","d":"4","e":"1","f":"0","g":"17","h":"0","i":"p","zz":"9""#;
    const LONG: &str = concat!(
        r#""producerGroup":"g","topic":"t","defaultTopic":"TBW102","defaultTopicQueueNums":"4","queueId":"1","#,
        r#""sysFlag":"0","bornTimestamp":"17","flag":"0","properties":"p","batch":"TRUE""#
    );

    #[test]
    fn a_send_borrows_all_from_its_frame() {
        let bytes = framed(RequestCode::SEND_MESSAGE_V2, SHORT, b"body");
        let frame = Frame::decode(&bytes).unwrap();
        let Request::SendMessage(send) = Request::decode(&frame).unwrap() else { panic!("no send") };
        assert!(matches!(send.producer_group, Cow::Borrowed("g")));
        assert!(matches!(send.topic, Cow::Borrowed("t")));
        assert!(matches!(send.default_topic, Cow::Borrowed("TBW102")));
        assert!(matches!(send.properties, Some(Cow::Borrowed("p"))));
        assert_eq!(
            (send.queue_id, send.born_timestamp, send.reconsume_times, send.body),
            (1, 17, 0, &b"body"[..])
        );
        assert!(!send.is_batch());
    }

    #[test]
    fn one_struct_has_both_names_of_the_fields() {
        let forms = [
            (RequestCode::SEND_MESSAGE, LONG, SendForm::V1),
            (RequestCode::SEND_MESSAGE_V2, SHORT, SendForm::V2),
            (RequestCode::SEND_BATCH_MESSAGE, SHORT, SendForm::Batch),
            (RequestCode::SEND_BATCH_MESSAGE, LONG, SendForm::BatchV1),
            (RequestCode::SEND_REPLY_MESSAGE, LONG, SendForm::Reply),
            (RequestCode::SEND_REPLY_MESSAGE_V2, SHORT, SendForm::ReplyV2),
        ];
        for (code, fields, form) in forms {
            let bytes = framed(code, fields, b"");
            let request = Request::decode(&Frame::decode(&bytes).unwrap()).unwrap();
            let (Request::SendMessage(send) | Request::SendReplyMessage(send)) = &request else {
                panic!("no send")
            };
            assert_eq!((send.form, send.topic.as_ref(), send.born_timestamp), (form, "t", 17));
            assert_eq!(send.batch, fields == LONG, "Java's booleans ignore case");
            assert_eq!(request.code(), code);
        }
    }

    #[test]
    fn what_is_missing_or_does_not_read_is_named() {
        let refused = |code, fields: &str, body: &[u8]| {
            let bytes = framed(code, fields, body);
            Request::decode(&Frame::decode(&bytes).unwrap()).unwrap_err().to_string()
        };
        assert_eq!(
            refused(RequestCode::GET_MAX_OFFSET, r#""topic":"t""#, b""),
            "GET_MAX_OFFSET: the field queueId is missing"
        );
        assert_eq!(
            refused(RequestCode::GET_MAX_OFFSET, r#""topic":"t","queueId":"2147483648""#, b""),
            "GET_MAX_OFFSET: the field queueId is \"2147483648\", expected a number of 32 bits"
        );
        assert_eq!(
            refused(RequestCode::SEND_MESSAGE_V2, &SHORT.replace("17", "soon"), b""),
            "SEND_MESSAGE_V2: the field g is \"soon\", expected a number of 64 bits"
        );
        assert_eq!(
            refused(RequestCode::LOCK_BATCH_MQ, "", b"{\"mqSet\":7}"),
            "the body of LOCK_BATCH_MQ(41): JSON: invalid type: integer `7`, expected a sequence at line 1 column 10"
        );
        let long = format!(r#""topic":"t","queueId":"{}""#, "9".repeat(10_000));
        assert!(refused(RequestCode::GET_MAX_OFFSET, &long, b"").len() < 300);
    }

    #[test]
    fn unknown_codes_and_fields_are_no_error() {
        let bytes = framed(RequestCode(1999), "", b"whatever");
        let request = Request::decode(&Frame::decode(&bytes).unwrap()).unwrap();
        assert_eq!(request, Request::Other { code: RequestCode(1999) });
        let bytes =
            framed(RequestCode::GET_MIN_OFFSET, r#""bname":"b","topic":"t","ns":"x","queueId":"3""#, b"");
        let frame = Frame::decode(&bytes).unwrap();
        let request = Request::decode(&frame).unwrap();
        assert_eq!(request, Request::GetMinOffset(GetMinOffset { topic: "t".into(), queue_id: 3 }));
        assert!(request.knows("topic") && !request.knows("bname"));
        assert_eq!(frame.fields.get("bname").unwrap(), "b");
    }

    #[test]
    fn further_fields_go_behind_the_requests_own() {
        let request = Request::from(GetMinOffset { topic: "t".into(), queue_id: 3 });
        for encoding in [Encoding::Json, Encoding::Binary] {
            let mut bytes = Vec::new();
            request.encode_with(encoding, 7, false, [("AccessKey", "a\"k")], &mut bytes).unwrap();
            let frame = Frame::decode(&bytes).unwrap();
            assert_eq!(frame.fields.get("AccessKey").unwrap(), "a\"k");
            assert_eq!(Request::decode(&frame).unwrap(), request);
        }
    }
}
