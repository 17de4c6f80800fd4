//! One match: a decoded request goes to the plain function that answers it.

use std::net::SocketAddr;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;

use crate::net::{Call, Connection, Service, Ticket};
use serde::Serialize;

use crate::wire::{self, treatment, Language, Request, RequestCode, Response, ResponseCode};
use crate::{Error, ErrorKind};

use super::errands::Errands;
use super::{
    admin, backup, clean, clients, figures, filters, flow, locks, offsets, progress, pull, query, relay,
    reply, reset, retry, send, topic_admin, transaction, Broker,
};

/// What a handler answers: at once, or later through a ticket. A handler never waits.
pub(crate) enum Answer {
    /// The response, ready to go.
    Now(Response),
    /// Parks the request: the closure gets the ticket and keeps it until the answer is true.
    Later(Box<dyn FnOnce(Ticket) + Send>),
}

impl Answer {
    /// The same answer, once the name servers know the topics as they are now.
    pub fn once_routed(self, broker: &Broker) -> Answer {
        let broker = broker.shared();
        Answer::Later(Box::new(move |ticket| {
            broker.registration.when_told(&broker, Box::new(move || self.give(ticket)));
        }))
    }

    /// The same answer, once the tables of topics and groups are saved as they are now; an error if they cannot be.
    pub fn once_saved(self, broker: &Broker) -> Answer {
        let broker = broker.shared();
        Answer::Later(Box::new(move |ticket| {
            broker.saving.when_saved(&broker, move |saved| match saved {
                Ok(()) => self.give(ticket),
                Err(why) => ticket.reply(refused(ResponseCode::SYSTEM_ERROR, why.as_str())),
            });
        }))
    }

    /// What `work` answers, which may wait for the disk or take long. A broker that is stopping does no more of it.
    pub fn apart<R: Into<Answer>>(
        broker: &Broker,
        work: impl FnOnce(&Broker) -> R + Send + 'static,
    ) -> Answer {
        Answer::done_by(broker, |broker| &broker.errands, work)
    }

    /// The same for backups, which nothing else waits for.
    pub fn copied<R: Into<Answer>>(
        broker: &Broker,
        work: impl FnOnce(&Broker) -> R + Send + 'static,
    ) -> Answer {
        Answer::done_by(broker, |broker| &broker.copies, work)
    }

    /// The same for what takes a few reads of old records, and does not wait for what takes long.
    pub fn looked_up<R: Into<Answer>>(
        broker: &Broker,
        work: impl FnOnce(&Broker) -> R + Send + 'static,
    ) -> Answer {
        Answer::done_by(broker, |broker| &broker.lookups, work)
    }

    fn done_by<R: Into<Answer>>(
        broker: &Broker,
        thread: fn(&Broker) -> &Errands,
        work: impl FnOnce(&Broker) -> R + Send + 'static,
    ) -> Answer {
        let broker = broker.shared();
        Answer::Later(Box::new(move |ticket| {
            if let Err(refusal) = flow::admit_errand(thread(&broker)) {
                return ticket.reply(refusal.into());
            }
            thread(&broker).run_apart(&broker, move |broker| {
                if broker.is_stopping() {
                    return ticket.reply(stopping());
                }
                // The panic hook reported it; who asked must not wait for ever.
                let answer =
                    catch_unwind(AssertUnwindSafe(|| work(broker).into())).unwrap_or_else(|_panic| {
                        let remark = "the broker failed at this request; its log says where";
                        refused(ResponseCode::SYSTEM_ERROR, remark).into()
                    });
                answer.give(ticket);
            });
        }))
    }

    fn give(self, ticket: Ticket) {
        match self {
            Answer::Now(response) => ticket.reply(response),
            Answer::Later(park) => park(ticket),
        }
    }
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Answer::Now(response)
    }
}

/// Who asks, as far as handlers look at it.
pub(crate) struct Caller<'a> {
    /// The connection of the client; the identity of a client is its connection.
    pub connection: &'a Arc<Connection>,
    /// Version ordinal of the peer, protocol.md 1.4.
    pub version: i32,
    /// Language of the peer.
    pub language: Language,
}

impl Caller<'_> {
    /// The peer's address.
    pub fn remote(&self) -> SocketAddr {
        self.connection.remote()
    }
}

/// Why a request is not done: the response code and what went wrong.
#[derive(Debug)]
pub(crate) struct Refusal {
    code: ResponseCode,
    remark: String,
}

impl Refusal {
    /// The same as an error of a call within the process.
    pub fn into_error(self, operation: &'static str) -> Error {
        let kind = match self.code {
            ResponseCode::TOPIC_NOT_EXIST => ErrorKind::NotFound,
            ResponseCode::NO_PERMISSION => ErrorKind::NoPermission,
            ResponseCode::SERVICE_NOT_AVAILABLE => ErrorKind::NotWritable,
            ResponseCode::INVALID_PARAMETER | ResponseCode::MESSAGE_ILLEGAL => ErrorKind::InvalidArgument,
            code => return Error::remote(operation, code.0, self.remark),
        };
        Error::new(kind, operation, self.remark)
    }
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Self {
        Response::error(refusal.code, refusal.remark)
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Answer::Now(refusal.into())
    }
}

/// An error on its way to the answer.
pub(crate) fn refuse(code: ResponseCode, remark: impl Into<String>) -> Refusal {
    Refusal { code, remark: remark.into() }
}

/// An error answer.
pub(crate) fn refused(code: ResponseCode, remark: impl Into<String>) -> Response {
    Response::error(code, remark)
}

/// The answer of a broker that is stopping.
pub(crate) fn stopping() -> Response {
    refused(ResponseCode::SERVICE_NOT_AVAILABLE, "the broker is stopping")
}

/// SUCCESS with a JSON body.
pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> Response {
    Response::ok().with_body(wire::json::to_vec(value))
}

/// SUCCESS with a JSON body in the old form: integer keys without quotes, objects as keys.
pub(crate) fn old_json<T: Serialize + ?Sized>(value: &T) -> Response {
    Response::ok().with_body(wire::json::to_old_vec(value))
}

impl Service for Broker {
    fn handle(&self, call: Call<'_>) {
        match self.answer(&call) {
            Answer::Now(response) => call.reply(response),
            Answer::Later(park) => park(call.park()),
        }
    }

    fn drained(&self, _connection: &Arc<Connection>) {
        // The producers have their answers; now consumers waiting for these messages are woken.
        self.store.dispatch();
    }

    fn closed(&self, connection: &Arc<Connection>) {
        clients::connection_closed(self, connection);
    }
}

impl Broker {
    fn answer(&self, call: &Call<'_>) -> Answer {
        let caller =
            Caller { connection: call.connection, version: call.version(), language: call.language() };
        match call.request() {
            Ok(request) => route(self, &caller, request),
            Err(_)
                if call.code() != RequestCode::FERROMQ_BACKUP
                    && !treatment::is_answered(call.code(), treatment::Peer::Broker) =>
            {
                unsupported(call.code()).into()
            }
            Err(error) => refused(ResponseCode::SYSTEM_ERROR, error.to_string()).into(),
        }
    }
}

fn route(broker: &Broker, caller: &Caller<'_>, request: Request<'_>) -> Answer {
    match request {
        Request::SendMessage(send) => send::send(broker, caller, &send),
        Request::SendReplyMessage(send) => reply::send(broker, caller, &send),
        Request::EndTransaction(end) => transaction::end(broker, &end),
        Request::PullMessage(pull) => pull::pull(broker, caller, &pull),
        Request::ConsumerSendMsgBack(back) => retry::send_back(broker, caller, &back),
        Request::HeartBeat(beat) => clients::heartbeat(broker, caller, beat).into(),
        Request::UnregisterClient(gone) => clients::unregister(broker, caller, &gone).into(),
        Request::GetConsumerListByGroup(ask) => clients::consumer_ids(broker, &ask).into(),
        Request::CheckClientConfig(check) => filters::check_config(broker, &check).into(),
        Request::QueryConsumerOffset(ask) => offsets::query(broker, caller, &ask).into(),
        Request::UpdateConsumerOffset(update) => offsets::update(broker, caller, &update).into(),
        Request::GetMaxOffset(ask) => offsets::max(broker, &ask).into(),
        Request::GetMinOffset(ask) => offsets::min(broker, &ask).into(),
        Request::SearchOffsetByTimestamp(ask) => offsets::search(broker, &ask),
        Request::GetEarliestMsgStoretime(ask) => offsets::earliest_store_time(broker, &ask),
        Request::LockBatchMq(lock) => locks::lock(broker, &lock).into(),
        Request::UnlockBatchMq(unlock) => locks::unlock(broker, &unlock).into(),
        Request::ViewMessageById(view) => query::view(broker, &view),
        Request::QueryMessage(ask) => query::by_key(broker, &ask),
        request => route_admin(broker, caller, request),
    }
}

fn route_admin(broker: &Broker, caller: &Caller<'_>, request: Request<'_>) -> Answer {
    match request {
        Request::UpdateAndCreateTopic(topic) => topic_admin::update(broker, caller, &topic),
        Request::UpdateAndCreateTopicList(topics) => topic_admin::update_list(broker, caller, topics),
        Request::GetTopicStatsInfo(ask) => topic_admin::stats(broker, &ask),
        Request::DeleteTopicInBroker(topic) => clean::delete_topic(broker, caller, &topic),
        Request::CleanUnusedTopic => clean::unused_topics(broker, caller),
        Request::CleanExpiredConsumequeue => clean::expired_queues(broker, caller),
        Request::FerromqBackup(ask) => backup::make(broker, caller, &ask),
        Request::DeleteExpiredCommitlog => clean::expired_log(broker, caller),
        Request::UpdateAndCreateSubscriptiongroup(group) => {
            admin::update_groups(broker, caller, vec![group.body])
        }
        Request::UpdateAndCreateSubscriptiongroupList(groups) => {
            admin::update_groups(broker, caller, groups.body.group_config_list)
        }
        Request::DeleteSubscriptiongroup(group) => admin::delete_group(broker, caller, &group),
        Request::UpdateBrokerConfig(update) => admin::update_config(broker, caller, &update),
        Request::GetConsumeStats(ask) => progress::of_group(broker, &ask),
        Request::GetBrokerConsumeStats(ask) => progress::of_all(broker, &ask),
        Request::QueryConsumeTimeSpan(ask) => progress::time_span(broker, &ask),
        Request::GetBrokerRuntimeInfo => Answer::looked_up(broker, figures::runtime_info),
        Request::QueryConsumeQueue(ask) => query::queue(broker, &ask),
        Request::InvokeBrokerToResetOffset(reset) => reset::reset(broker, caller, &reset),
        Request::CloneGroupOffset(clone) => reset::clone(broker, caller, &clone),
        Request::InvokeBrokerToGetConsumerStatus(ask) => relay::status(broker, &ask),
        Request::GetConsumerRunningInfo(ask) => relay::running_info(broker, &ask),
        Request::ConsumeMessageDirectly(ask) => relay::consume_directly(broker, &ask),
        Request::ResumeCheckHalfMessage(ask) => transaction::resume(broker, &ask),
        request => look_up(broker, caller, request).into(),
    }
}

/// What operators ask that is answered from memory.
fn look_up(broker: &Broker, caller: &Caller<'_>, request: Request<'_>) -> Response {
    match request {
        Request::GetAllTopicConfig(_) => topic_admin::all(broker),
        Request::GetTopicConfig(ask) => topic_admin::one(broker, &ask),
        Request::GetSystemTopicListFromBroker => topic_admin::system(broker),
        Request::GetAllSubscriptiongroupConfig(_) => admin::all_groups(broker),
        Request::GetSubscriptiongroupConfig(ask) => admin::one_group(broker, &ask),
        Request::GetAllConsumerOffset => admin::all_consumer_offsets(broker),
        Request::GetAllDelayOffset => admin::all_delay_offsets(broker),
        Request::RegisterMessageFilterClass(function) => {
            filters::register_function(broker, caller, &function)
        }
        Request::GetBrokerConfig => admin::config(broker),
        Request::ViewBrokerStatsData(ask) => figures::view(broker, &ask),
        Request::GetConsumerConnectionList(ask) => clients::consumer_connections(broker, &ask),
        Request::GetProducerConnectionList(ask) => clients::producer_connections(broker, &ask),
        Request::GetAllProducerInfo => clients::all_producers(broker),
        Request::QueryTopicConsumeByWho(ask) => progress::groups_of_topic(broker, &ask),
        Request::QueryTopicsByConsumer(ask) => progress::topics_of_group(broker, &ask),
        Request::QuerySubscriptionByConsumer(ask) => progress::subscription(broker, &ask),
        Request::QueryCorrectionOffset(ask) => reset::corrections(broker, &ask),
        other => unsupported(other.code()),
    }
}

fn unsupported(code: RequestCode) -> Response {
    let remark = treatment::unsupported(code, treatment::Peer::Broker);
    refused(ResponseCode::REQUEST_CODE_NOT_SUPPORTED, remark)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;
    use crate::config::BrokerConfig;
    use crate::net::{Client, ClientOptions, Loops};
    use crate::wire::{GetEarliestMsgStoretime, QueryMessage, SearchOffsetByTimestamp, ViewMessageById};

    /// Answers SUCCESS to what its broker does apart from the event loops, and an error to what it does on them.
    struct Judge(Arc<Broker>);

    impl Service for Judge {
        fn handle(&self, call: Call<'_>) {
            let response = match self.0.answer(&call) {
                Answer::Later(_) => Response::ok(),
                Answer::Now(_) => refused(ResponseCode::SYSTEM_ERROR, "on an event loop"),
            };
            call.reply(response);
        }

        fn drained(&self, _: &Arc<Connection>) {}

        fn closed(&self, _: &Arc<Connection>) {}
    }

    #[test]
    fn what_may_read_old_records_is_not_done_on_event_loops() {
        let dir = tempfile::tempdir().unwrap();
        let config = BrokerConfig { store_path_root_dir: dir.path().into(), ..BrokerConfig::default() };
        let broker = Broker::open(config, Clock::new()).unwrap();
        let client = Client::new(&Loops::new(1), ClientOptions::default(), broker.clone());
        client.attach("127.0.0.1:1", Arc::new(Judge(broker.clone())));
        for request in [
            Request::ViewMessageById(ViewMessageById::default()),
            Request::QueryMessage(QueryMessage::default()),
            Request::SearchOffsetByTimestamp(SearchOffsetByTimestamp::default()),
            Request::GetEarliestMsgStoretime(GetEarliestMsgStoretime::default()),
        ] {
            let judged = client.call("127.0.0.1:1", &request, Duration::from_secs(30)).unwrap();
            assert_eq!(judged.code(), ResponseCode::SUCCESS, "{request:?} {}", judged.remark());
        }
        broker.close().unwrap();
    }
}
