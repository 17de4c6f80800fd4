//! A name server and brokers of a few lines, which do what a test tells them, for the tests of the client room.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use ferromq::client::{ClientOptions, Cluster};
use ferromq::message::{self, batch, OffsetId, Properties};
use ferromq::net::{Call, Connection, Loops, Reply, Server, ServerOptions, Service, Ticket};
use ferromq::record::NewRecord;
use ferromq::wire::body::{
    BrokerData, ConsumerConnection, ConsumerData, GetConsumerListByGroupResponseBody, LockBatchRequestBody,
    LockBatchResponseBody, MessageQueue, QueueData, TopicRouteData,
};
use ferromq::wire::*;
use parking_lot::Mutex;

/// What a broker does with the next send instead of storing it.
pub enum Mood {
    /// Answers this code.
    Refuse(i32),
    /// Stores it and answers this code.
    StoreWith(i32),
    /// Stores it and cuts the connection without an answer.
    Cut,
    /// Stores it and never answers.
    Silence,
}

/// A send as it came over the wire.
#[derive(Debug, Clone)]
pub struct Seen {
    pub code: i32,
    pub is_oneway: bool,
    pub connection: u64,
    pub group: String,
    pub topic: String,
    pub sys_flag: i32,
    pub properties: Properties,
}

/// A decision about a half message.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    pub group: String,
    pub queue_offset: i64,
    pub log_offset: i64,
    pub decision: i32,
    pub is_answer: bool,
    pub message_id: String,
    pub transaction_id: String,
    pub remark: String,
}

#[derive(Default)]
pub struct BrokerState {
    pub topics: HashMap<String, Vec<Vec<Bytes>>>,
    /// First offset kept, of all queues.
    pub min: i64,
    pub offsets: BTreeMap<(String, String, i32), i64>,
    pub groups: BTreeMap<String, BTreeMap<String, Arc<Connection>>>,
    pub moods: VecDeque<Mood>,
    /// Code that pulls are answered with instead, if set.
    pub refuse_pulls: Option<i32>,
    /// Who holds which queue locks: by group and queue, the client.
    pub locks: BTreeMap<(String, MessageQueue), String>,
    /// Answers locks are asked for with instead of the truth, if set.
    pub refuse_locks: Option<bool>,
    /// Messages that were sent back: place, group, delay level, limit of retries.
    pub sent_back: Vec<(i64, String, i32, Option<i32>)>,
    /// Broker of the set that pulls are told to ask next.
    pub suggest: i64,
    /// Kinds of requests that are answered SYSTEM_BUSY, and how often each was.
    pub busy: BTreeMap<i32, usize>,
    /// Requests that came, of whatever kind.
    pub requests: usize,
    /// Code that sending back is answered with instead, if set.
    pub refuse_back: Option<i32>,
    /// The last heartbeat's data of each group.
    pub described: BTreeMap<String, ConsumerData>,
    /// Sends that came, whatever became of them.
    pub sends: usize,
    pub pulls: usize,
    /// How long the last pull may be held, ms.
    pub hold: i64,
    parked: Vec<(Ticket, String, i32, i64, i32)>,
    silent: Vec<(Ticket, Response)>,
    /// Kind of requests that wait for [`FakeBroker::let_go`] before they are looked at: locks or offsets.
    holds: Option<RequestCode>,
    held: Vec<(Ticket, Held)>,
    /// Whether nothing is answered until [`FakeBroker::thaw`].
    pub frozen: bool,
    pub seen: Vec<Seen>,
    pub ended: Vec<Ended>,
    /// Groups of producers, and the connections of their clients.
    pub producers: BTreeMap<String, BTreeMap<String, Arc<Connection>>>,
}

/// A request that waits.
enum Held {
    Lock(LockBatchRequestBody),
    Offset { group: String, topic: String, queue: i32 },
    Update((String, String, i32), i64),
}

/// A broker in memory.
pub struct FakeBroker {
    pub state: Mutex<BrokerState>,
    queues: i32,
}

impl FakeBroker {
    fn store(&self, state: &mut BrokerState, send: &SendMessage<'_>) -> (OffsetId, i64) {
        let queue_count = self.queues as usize;
        let queues =
            state.topics.entry(send.topic.to_string()).or_insert_with(|| vec![Vec::new(); queue_count]);
        let queue = &mut queues[send.queue_id as usize];
        let first = queue.len() as i64;
        let single = || (send.body, send.properties.as_deref().unwrap_or_default().as_bytes());
        let parts: Vec<(&[u8], &[u8])> = match send.is_batch() {
            true => batch::items(send.body)
                .map(|item| item.unwrap())
                .map(|item| (item.body, item.properties))
                .collect(),
            false => vec![single()],
        };
        let host = "127.0.0.1:10911".parse().unwrap();
        for (body, properties) in parts {
            let record = NewRecord {
                topic: &send.topic,
                queue_id: send.queue_id,
                flag: send.flag,
                sys_flag: send.sys_flag,
                born_timestamp: send.born_timestamp,
                born_host: host,
                store_host: host,
                reconsume_times: 0,
                prepared_transaction_offset: 0,
                body,
                properties,
            };
            let offset = queue.len() as i64;
            queue.push(record.encode(offset, offset * 1000, 1_700_000_000_000 + offset).into());
        }
        (OffsetId { host, physical_offset: first * 1000 }, first)
    }

    fn send(&self, call: Call<'_>, send: &SendMessage<'_>) {
        let mut state = self.state.lock();
        state.sends += 1;
        state.seen.push(Seen {
            code: call.code().0,
            is_oneway: call.is_oneway(),
            connection: call.connection.id(),
            group: send.producer_group.to_string(),
            topic: send.topic.to_string(),
            sys_flag: send.sys_flag,
            properties: Properties::parse(send.properties.as_deref().unwrap_or_default().as_bytes()),
        });
        let mood = state.moods.pop_front();
        if let Some(Mood::Refuse(code)) = mood {
            return call.reply(Response::error(ResponseCode(code), "the test says so"));
        }
        let (msg_id, queue_offset) = self.store(&mut state, send);
        let header = SendMessageResponse {
            msg_id: MessageIds::One(msg_id),
            queue_id: send.queue_id,
            queue_offset,
            transaction_id: state
                .seen
                .last()
                .and_then(|seen| seen.properties.get("UNIQ_KEY"))
                .map(String::from),
            ..SendMessageResponse::default()
        };
        let mut response = Response::ok().with_header(header);
        match mood {
            Some(Mood::Cut) => call.connection.close(),
            Some(Mood::Silence) => state.silent.push((call.park(), response)),
            _ if state.frozen => state.silent.push((call.park(), response)),
            Some(Mood::StoreWith(code)) => {
                response.code = ResponseCode(code);
                call.reply(response);
            }
            _ => call.reply(response),
        }
        self.wake(&mut state);
    }

    fn wake(&self, state: &mut BrokerState) {
        for (ticket, topic, queue, offset, max) in std::mem::take(&mut state.parked) {
            match self.found(state, &topic, queue, offset, max) {
                Some(response) => ticket.reply(response),
                None => state.parked.push((ticket, topic, queue, offset, max)),
            }
        }
    }

    /// Looks again whether there is something for pulls that wait.
    pub fn wake_all(&self) {
        self.wake(&mut self.state.lock());
    }

    /// The answer to a pull, `None` if there is nothing.
    fn found(&self, state: &BrokerState, topic: &str, queue: i32, offset: i64, max: i32) -> Option<Response> {
        let empty = Vec::new();
        let records = state.topics.get(topic).map_or(&empty, |queues| &queues[queue as usize]);
        let end = records.len() as i64;
        let mut header = PullMessageResponse {
            next_begin_offset: offset,
            suggest_which_broker_id: state.suggest,
            min_offset: state.min,
            max_offset: end,
            ..PullMessageResponse::default()
        };
        if let Some(code) = state.refuse_pulls {
            return Some(Response::error(ResponseCode(code), "the test says so").with_header(header));
        }
        if offset < state.min || offset > end {
            header.next_begin_offset = offset.clamp(state.min, end);
            return Some(
                Response { code: ResponseCode::PULL_OFFSET_MOVED, ..Response::ok() }.with_header(header),
            );
        }
        let found: Vec<Bytes> = records.iter().skip(offset as usize).take(max as usize).cloned().collect();
        header.next_begin_offset = offset + found.len() as i64;
        (!found.is_empty()).then(|| Response::ok().with_header(header).with_body(Body::Chunks(found)))
    }

    fn pull(&self, call: Call<'_>, pull: &PullMessage<'_>) {
        let mut state = self.state.lock();
        state.pulls += 1;
        state.hold = pull.suspend_timeout_millis;
        if pull.sys_flag & 1 != 0 {
            let key = (pull.consumer_group.to_string(), pull.topic.to_string(), pull.queue_id);
            state.offsets.insert(key, pull.commit_offset);
        }
        match self.found(&state, &pull.topic, pull.queue_id, pull.queue_offset, pull.max_msg_nums) {
            Some(response) => call.reply(response),
            None => {
                let (topic, max) = (pull.topic.to_string(), pull.max_msg_nums);
                state.parked.push((call.park(), topic, pull.queue_id, pull.queue_offset, max));
            }
        }
    }

    fn enrol(&self, client: &str, groups: Vec<String>, connection: &Arc<Connection>) {
        let mut state = self.state.lock();
        for group in groups {
            let members = state.groups.entry(group.clone()).or_default();
            if members.insert(client.into(), connection.clone()).is_none() {
                notify(&group, members);
            }
        }
    }

    fn leave(&self, gone: impl Fn(&str, &str, &Arc<Connection>) -> bool) {
        let mut state = self.state.lock();
        for (group, members) in &mut state.groups {
            let before = members.len();
            members.retain(|client, connection| !gone(group, client, connection));
            if members.len() < before {
                notify(group, members);
            }
        }
    }

    /// The queues of `asked` that the client holds now.
    fn lock(&self, group: &str, client: &str, asked: Vec<MessageQueue>) -> Vec<MessageQueue> {
        let mut state = self.state.lock();
        if let Some(answer) = state.refuse_locks {
            return if answer { asked } else { Vec::new() };
        }
        let free = |queue: &MessageQueue| {
            let key = (group.to_owned(), queue.clone());
            state.locks.entry(key).or_insert_with(|| client.to_owned()) == client
        };
        asked.into_iter().filter(free).collect()
    }

    /// Asks the members of a group something, as brokers do for tools; their answers.
    pub fn ask_members(&self, group: &str, request: &Request<'_>) -> Vec<Reply> {
        let members: Vec<_> = self
            .state
            .lock()
            .groups
            .get(group)
            .into_iter()
            .flatten()
            .map(|(_, connection)| connection.clone())
            .collect();
        let (told, answers) = std::sync::mpsc::channel();
        for member in members {
            let told = told.clone();
            let done = move |reply: ferromq::Result<Reply>| drop(told.send(reply.expect("an answer")));
            member.call(request, std::time::Duration::from_secs(30), Box::new(done));
        }
        drop(told);
        answers.into_iter().collect()
    }

    /// Has requests of this kind, locks or offsets, wait.
    pub fn hold(&self, code: RequestCode) {
        self.state.lock().holds = Some(code);
    }

    /// Requests that wait.
    pub fn held(&self) -> usize {
        self.state.lock().held.len()
    }

    /// Looks at what waits, in its order, and from now on at once.
    pub fn let_go(&self) {
        let held = {
            let mut state = self.state.lock();
            state.holds = None;
            std::mem::take(&mut state.held)
        };
        for (ticket, request) in held {
            ticket.reply(match request {
                Held::Lock(body) => self.lock_answer(body),
                Held::Offset { group, topic, queue } => self.offset_answer(&group, &topic, queue),
                Held::Update(key, offset) => self.update(key, offset),
            });
        }
    }

    fn update(&self, key: (String, String, i32), offset: i64) -> Response {
        self.state.lock().offsets.insert(key, offset);
        Response::ok()
    }

    fn holds(&self, code: RequestCode) -> bool {
        self.state.lock().holds == Some(code)
    }

    fn lock_answer(&self, body: LockBatchRequestBody) -> Response {
        let lock_ok_mq_set = self.lock(&body.consumer_group, &body.client_id, body.mq_set);
        Response::ok().with_body(json::to_vec(&LockBatchResponseBody { lock_ok_mq_set }))
    }

    /// Answers what was kept waiting, and from now on at once.
    pub fn thaw(&self) {
        let mut state = self.state.lock();
        state.frozen = false;
        for (ticket, response) in std::mem::take(&mut state.silent) {
            ticket.reply(response);
        }
    }

    /// A connection of a client that has producers of the group.
    pub fn producer(&self, group: &str) -> Option<Arc<Connection>> {
        let state = self.state.lock();
        state.producers.get(group)?.values().find(|connection| connection.is_open()).cloned()
    }

    fn end(&self, end: &EndTransaction<'_>) {
        let text = |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().unwrap_or_default().to_string();
        self.state.lock().ended.push(Ended {
            group: end.producer_group.to_string(),
            queue_offset: end.tran_state_table_offset,
            log_offset: end.commit_log_offset,
            decision: end.commit_or_rollback,
            is_answer: end.from_transaction_check,
            message_id: text(&end.msg_id),
            transaction_id: text(&end.transaction_id),
            remark: text(&end.remark),
        });
    }

    /// Passes a reply on to who asked, as brokers do.
    fn pass_on(&self, send: &SendMessage<'_>) -> Response {
        let properties = send.properties.as_deref().unwrap_or_default();
        let client = message::property(properties.as_bytes(), "REPLY_TO_CLIENT").unwrap_or_default();
        let state = self.state.lock();
        let Some(connection) = state.producers.values().find_map(|clients| clients.get(client)) else {
            return Response::error(ResponseCode::SYSTEM_ERROR, "who asked is not here");
        };
        connection.push(&Request::PushReplyMessageToClient(PushReplyMessageToClient {
            producer_group: send.producer_group.clone(),
            topic: send.topic.clone(),
            sys_flag: send.sys_flag,
            born_timestamp: send.born_timestamp,
            properties: send.properties.clone(),
            born_host: "10.0.0.1:5".into(),
            store_host: "10.0.0.2:10911".into(),
            store_timestamp: 99,
            body: send.body,
            ..PushReplyMessageToClient::default()
        }));
        let msg_id = MessageIds::Text("0".into());
        Response::ok().with_header(SendMessageResponse { msg_id, ..SendMessageResponse::default() })
    }

    pub fn members(&self, group: &str) -> usize {
        self.state.lock().groups.get(group).map_or(0, BTreeMap::len)
    }

    pub fn offset(&self, group: &str, topic: &str, queue: i32) -> Option<i64> {
        self.state.lock().offsets.get(&(group.into(), topic.into(), queue)).copied()
    }

    /// Cuts all connections, as a restart does.
    pub fn cut(&self) {
        let connections: Vec<_> = {
            let mut state = self.state.lock();
            let parked = std::mem::take(&mut state.parked);
            let members = std::mem::take(&mut state.groups).into_values().flat_map(BTreeMap::into_values);
            members.chain(parked.iter().map(|(ticket, ..)| ticket.connection().clone())).collect()
        };
        connections.iter().for_each(|connection| connection.close());
    }

    fn max(&self, topic: &str, queue: i32) -> i64 {
        let state = self.state.lock();
        state.topics.get(topic).map_or(0, |queues| queues[queue as usize].len() as i64)
    }

    fn offset_answer(&self, group: &str, topic: &str, queue: i32) -> Response {
        match self.offset(group, topic, queue) {
            Some(offset) => Response::ok().with_header(QueryConsumerOffsetResponse { offset }),
            None => Response::error(ResponseCode::QUERY_NOT_FOUND, "none"),
        }
    }
}

fn notify(group: &str, members: &BTreeMap<String, Arc<Connection>>) {
    for connection in members.values() {
        let changed = NotifyConsumerIdsChanged { consumer_group: group.into() };
        connection.push(&Request::NotifyConsumerIdsChanged(changed));
    }
}

impl Service for FakeBroker {
    fn handle(&self, call: Call<'_>) {
        {
            let mut state = self.state.lock();
            state.requests += 1;
            if let Some(count) = state.busy.get_mut(&call.code().0) {
                *count += 1;
                return call.reply(Response::error(ResponseCode::SYSTEM_BUSY, "the test says so"));
            }
        }
        match call.request().unwrap() {
            Request::CheckClientConfig(request) => {
                let kind = request.body.subscription_data.expression_type;
                let remark = format!("this broker does not filter by {kind}");
                call.reply(match kind.as_str() {
                    "TAG" => Response::ok(),
                    _ => Response::error(ResponseCode::SYSTEM_ERROR, remark),
                });
            }
            Request::SendMessage(send) => self.send(call, &send),
            Request::PullMessage(pull) => self.pull(call, &pull),
            Request::SendReplyMessage(send) => {
                let response = self.pass_on(&send);
                call.reply(response);
            }
            Request::EndTransaction(end) => self.end(&end),
            Request::HeartBeat(HeartBeat { body }) => {
                for data in &body.consumer_data_set {
                    self.state.lock().described.insert(data.group_name.clone(), data.clone());
                }
                for data in &body.producer_data_set {
                    let mut state = self.state.lock();
                    let clients = state.producers.entry(data.group_name.clone()).or_default();
                    clients.insert(body.client_id.clone(), call.connection.clone());
                }
                let groups = body.consumer_data_set.into_iter().map(|data| data.group_name).collect();
                self.enrol(&body.client_id, groups, call.connection);
                call.reply(Response::ok());
            }
            Request::UnregisterClient(request) => {
                self.leave(|group, client, _| {
                    client == request.client_id && request.consumer_group.as_deref() == Some(group)
                });
                if let Some(group) = request.producer_group.as_deref() {
                    let mut state = self.state.lock();
                    if let Some(clients) = state.producers.get_mut(group) {
                        clients.remove(request.client_id.as_ref());
                    }
                }
                call.reply(Response::ok());
            }
            Request::GetConsumerListByGroup(request) => {
                let state = self.state.lock();
                let members = state.groups.get(request.consumer_group.as_ref());
                let consumer_id_list =
                    members.map_or(Vec::new(), |members| members.keys().cloned().collect());
                let body = GetConsumerListByGroupResponseBody { consumer_id_list };
                call.reply(Response::ok().with_body(json::to_vec(&body)));
            }
            Request::QueryConsumerOffset(request) if self.holds(call.code()) => {
                let (group, topic) = (request.consumer_group.to_string(), request.topic.to_string());
                let held = Held::Offset { group, topic, queue: request.queue_id };
                self.state.lock().held.push((call.park(), held));
            }
            Request::QueryConsumerOffset(request) => {
                call.reply(self.offset_answer(&request.consumer_group, &request.topic, request.queue_id));
            }
            Request::UpdateConsumerOffset(request) => {
                let key = (request.consumer_group.to_string(), request.topic.to_string(), request.queue_id);
                match self.holds(call.code()) {
                    true => {
                        let held = Held::Update(key, request.commit_offset);
                        self.state.lock().held.push((call.park(), held));
                    }
                    false => call.reply(self.update(key, request.commit_offset)),
                }
            }
            Request::GetMaxOffset(request) => {
                let offset = self.max(&request.topic, request.queue_id);
                call.reply(Response::ok().with_header(GetMaxOffsetResponse { offset }));
            }
            Request::GetMinOffset(_) => {
                let offset = self.state.lock().min;
                call.reply(Response::ok().with_header(GetMinOffsetResponse { offset }));
            }
            Request::SearchOffsetByTimestamp(request) => {
                let offset = (request.timestamp - 1_700_000_000_000).max(0);
                call.reply(Response::ok().with_header(SearchOffsetByTimestampResponse { offset }));
            }
            Request::LockBatchMq(LockBatchMq { body }) if self.holds(call.code()) => {
                self.state.lock().held.push((call.park(), Held::Lock(body)));
            }
            Request::LockBatchMq(LockBatchMq { body }) => {
                let answer = self.lock_answer(body);
                call.reply(answer);
            }
            Request::UnlockBatchMq(UnlockBatchMq { body }) => {
                let mut state = self.state.lock();
                state.locks.retain(|(group, queue), owner| {
                    *group != body.consumer_group || *owner != body.client_id || !body.mq_set.contains(queue)
                });
                drop(state);
                call.reply(Response::ok());
            }
            Request::ConsumerSendMsgBack(back) => {
                let mut state = self.state.lock();
                if let Some(code) = state.refuse_back {
                    return call.reply(Response::error(ResponseCode(code), "the test says so"));
                }
                let back = (back.offset, back.group.to_string(), back.delay_level, back.max_reconsume_times);
                state.sent_back.push(back);
                call.reply(Response::ok());
            }
            Request::GetConsumerConnectionList(request) => {
                let described = self.state.lock().described.get(request.consumer_group.as_ref()).cloned();
                let subscriptions = described.unwrap_or_default().subscription_data_set;
                let answer = ConsumerConnection {
                    subscription_table: subscriptions
                        .into_iter()
                        .map(|subscription| (subscription.topic.clone(), subscription))
                        .collect(),
                    ..ConsumerConnection::default()
                };
                call.reply(Response::ok().with_body(json::to_vec(&answer)));
            }
            other => panic!("the client should not ask this: {other:?}"),
        }
    }

    fn closed(&self, connection: &Arc<Connection>) {
        self.leave(|_, _, other| other.id() == connection.id());
    }
}

/// A name server that knows the brokers of a [`FakeCluster`] and the topics it is told.
pub struct FakeNames {
    topics: Mutex<BTreeSet<String>>,
    brokers: Mutex<Vec<(String, String, i32)>>,
    /// Slaves by their broker's name.
    slaves: Mutex<BTreeMap<String, String>>,
    /// Questions that wait for [`FakeNames::let_go`], if they do.
    held: Mutex<Option<Vec<(Ticket, String)>>>,
    /// Whether masters are left out, as when they are gone for longer.
    pub without_masters: std::sync::atomic::AtomicBool,
}

impl Service for FakeNames {
    fn handle(&self, call: Call<'_>) {
        let Request::GetRouteinfoByTopic(request) = call.request().unwrap() else {
            panic!("the client should not ask this");
        };
        if let Some(held) = &mut *self.held.lock() {
            let topic = request.topic.to_string();
            return held.push((call.park(), topic));
        }
        let answer = self.route(&request.topic);
        call.reply(answer);
    }
}

impl FakeNames {
    /// Has questions wait.
    pub fn hold(&self) {
        *self.held.lock() = Some(Vec::new());
    }

    /// Questions that wait.
    pub fn held(&self) -> usize {
        self.held.lock().as_ref().map_or(0, Vec::len)
    }

    /// Answers what waits, and from now on at once.
    pub fn let_go(&self) {
        for (ticket, topic) in self.held.lock().take().into_iter().flatten() {
            ticket.reply(self.route(&topic));
        }
    }

    fn route(&self, topic: &str) -> Response {
        if !self.topics.lock().contains(topic) {
            return Response::error(ResponseCode::TOPIC_NOT_EXIST, "no such topic");
        }
        let mut route = TopicRouteData::default();
        for (name, address, queues) in self.brokers.lock().iter() {
            route.queue_datas.push(QueueData {
                broker_name: name.clone(),
                read_queue_nums: *queues,
                write_queue_nums: *queues,
                perm: 6,
                ..QueueData::default()
            });
            route.broker_datas.push(BrokerData {
                broker_name: name.clone(),
                broker_addrs: self.addresses(name, address),
                ..BrokerData::default()
            });
        }
        Response::ok().with_body(json::to_vec(&route))
    }

    fn addresses(&self, name: &str, master: &str) -> BTreeMap<i64, String> {
        let mut all = BTreeMap::new();
        if !self.without_masters.load(std::sync::atomic::Ordering::SeqCst) {
            all.insert(0, master.to_owned());
        }
        if let Some(slave) = self.slaves.lock().get(name) {
            all.insert(1, slave.clone());
        }
        all
    }
}

/// A name server and brokers that run.
pub struct FakeCluster {
    pub brokers: Vec<Arc<FakeBroker>>,
    pub names: Arc<FakeNames>,
    name_server: Server,
    servers: Vec<Server>,
}

impl FakeCluster {
    /// With as many brokers, each with as many queues of topic `T`.
    pub fn start(brokers: usize, queues: i32) -> FakeCluster {
        let loops = Loops::new(1);
        let options = || ServerOptions { host: "127.0.0.1".into(), ..ServerOptions::default() };
        let names = Arc::new(FakeNames {
            topics: Mutex::new(["T".into()].into()),
            brokers: Mutex::default(),
            slaves: Mutex::default(),
            held: Mutex::default(),
            without_masters: false.into(),
        });
        let name_server = Server::bind(&loops, options(), names.clone()).unwrap();
        let (mut fakes, mut servers) = (Vec::new(), Vec::new());
        for number in 0..brokers {
            let name = format!("broker-{number}");
            let fake = Arc::new(FakeBroker { state: Mutex::default(), queues });
            let server = Server::bind(&loops, options(), fake.clone()).unwrap();
            names.brokers.lock().push((name, format!("127.0.0.1:{}", server.port()), queues));
            fakes.push(fake);
            servers.push(server);
        }
        FakeCluster { brokers: fakes, names, name_server, servers }
    }

    /// Starts a slave of a broker: another server of the same broker.
    pub fn start_slave(&mut self, number: usize) -> Arc<FakeBroker> {
        let queues = self.brokers[number].queues;
        let fake = Arc::new(FakeBroker { state: Mutex::default(), queues });
        let options = ServerOptions { host: "127.0.0.1".into(), ..ServerOptions::default() };
        let server = Server::bind(&Loops::new(1), options, fake.clone()).unwrap();
        let address = format!("127.0.0.1:{}", server.port());
        self.names.slaves.lock().insert(format!("broker-{number}"), address);
        self.servers.push(server);
        fake
    }

    pub fn add_topic(&self, topic: &str) {
        self.names.topics.lock().insert(topic.into());
    }

    /// A further broker that is none of these.
    pub fn add_broker(&self, name: &str, address: &str, queues: i32) {
        self.names.brokers.lock().push((name.into(), address.into(), queues));
    }

    pub fn broker_address(&self, number: usize) -> String {
        format!("127.0.0.1:{}", self.servers[number].port())
    }

    pub fn name_server(&self) -> String {
        format!("127.0.0.1:{}", self.name_server.port())
    }

    /// A client of its own.
    pub fn connect(&self) -> Arc<Cluster> {
        self.connect_with(|_| {})
    }

    pub fn connect_with(&self, change: impl FnOnce(&mut ClientOptions)) -> Arc<Cluster> {
        let mut options = ClientOptions::new(self.name_server());
        options.reconnect_least = std::time::Duration::from_millis(1);
        change(&mut options);
        Cluster::with_options(options).unwrap()
    }

    pub fn sends(&self) -> Vec<usize> {
        self.brokers.iter().map(|broker| broker.state.lock().sends).collect()
    }

    /// Messages stored in each queue of `T`, broker by broker.
    pub fn stored(&self) -> Vec<usize> {
        let count = |broker: &Arc<FakeBroker>| -> Vec<usize> {
            broker
                .state
                .lock()
                .topics
                .get("T")
                .map_or(Vec::new(), |queues| queues.iter().map(Vec::len).collect())
        };
        self.brokers.iter().flat_map(count).collect()
    }

    /// Ends a broker's server for good.
    pub fn stop_broker(&mut self, number: usize) {
        self.servers[number].shutdown(std::time::Duration::ZERO);
    }
}
