//! A broker makes itself known to several name servers, which come and go.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use ferromq::broker::Broker;
use ferromq::clock::Clock;
use ferromq::config::{BrokerConfig, NamesrvConfig};
use ferromq::instance::{BrokerProcess, NamesrvProcess};
use ferromq::net::{Call, Client, ClientOptions, Loops, Server, ServerOptions, Service, Ticket};
use ferromq::wire::body::{ClusterInfo, TopicRouteData};
use ferromq::wire::{json, GetRouteinfoByTopic, Request, Response, ResponseCode};

use crate::net_support::{eventually, Echo, HANG};
use crate::support::RawClient;

/// A name server on a port; 0 picks a free one.
fn name_server(dir: &Path, port: u16) -> ferromq::Result<NamesrvProcess> {
    NamesrvProcess::start(NamesrvConfig {
        bind_address: "127.0.0.1".into(),
        listen_port: port,
        kv_config_path: dir.join("kvConfig.json"),
        config_store_path: dir.join("namesrv.properties"),
        ..NamesrvConfig::default()
    })
}

/// A name server on a port that another one had.
fn again_on(dir: &Path, port: u16) -> NamesrvProcess {
    let start = Instant::now();
    loop {
        match name_server(dir, port) {
            Ok(again) => return again,
            // Its port may be somebody else's for a moment.
            Err(error) => assert!(start.elapsed() < HANG, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a name server sends those who ask for the topic to the broker, and knows the broker at all.
fn knows(port: u16, topic: &str, broker: &str) -> bool {
    let mut client = RawClient::connect(port);
    let clusters = client.call(&Request::GetBrokerClusterInfo).ok();
    let clusters: ClusterInfo = json::from_slice(clusters.frame().body).unwrap();
    let addresses = clusters.broker_addr_table.get("one").map(|one| one.broker_addrs.clone());
    let is_listed = addresses.is_some_and(|addresses| addresses.get(&0).is_some_and(|first| first == broker));
    let ask = GetRouteinfoByTopic { topic: topic.into(), accept_standard_json_only: None };
    let route = client.call(&Request::GetRouteinfoByTopic(ask));
    if route.code() != ResponseCode::SUCCESS {
        assert_eq!(route.code(), ResponseCode::TOPIC_NOT_EXIST);
        return false;
    }
    let route: TopicRouteData = json::from_slice(route.frame().body).unwrap();
    is_listed
        && route
            .broker_datas
            .iter()
            .any(|data| data.broker_addrs.get(&0).is_some_and(|first| first == broker))
}

/// A broker that registers with `name_servers`, and its clock.
struct Registered {
    broker: Arc<Broker>,
    server: Server,
    outwards: Arc<Client>,
    clock: Clock,
    address: String,
    _dir: tempfile::TempDir,
}

fn broker(name_servers: &str) -> Registered {
    let dir = tempfile::tempdir().unwrap();
    let config = BrokerConfig {
        broker_name: "one".into(),
        broker_ip1: "127.0.0.1".into(),
        namesrv_addr: Some(name_servers.into()),
        store_path_root_dir: dir.path().join("data"),
        mapped_file_size_commit_log: 1 << 20,
        max_hash_slot_num: 1000,
        max_index_num: 4000,
        ..BrokerConfig::default()
    };
    let clock = Clock::new();
    let broker = Broker::open(config, clock.clone()).unwrap();
    let loops = Loops::new(1);
    let options = ServerOptions { host: "127.0.0.1".into(), ..ServerOptions::default() };
    let server = Server::bind(&loops, options, broker.clone()).unwrap();
    // Who was refused is not called for a while, which is nothing beside a period, but something beside a moved clock.
    let pause = Duration::from_millis(1);
    let options = ClientOptions { backoff_least: pause, backoff_most: pause, ..ClientOptions::default() };
    let outwards = Client::new(&loops, options, Arc::new(Echo::default()));
    broker.start(server.port(), outwards.clone()).unwrap();
    let address = format!("127.0.0.1:{}", server.port());
    Registered { broker, server, outwards, clock, address, _dir: dir }
}

#[test]
fn every_name_server_knows_a_broker_also_one_that_comes_back_empty() {
    let dirs = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let mut all: Vec<_> = dirs.iter().map(|dir| name_server(dir.path(), 0).unwrap()).collect();
    let ports: Vec<u16> = all.iter().map(NamesrvProcess::port).collect();
    // Nobody ever listens at the first.
    let list: Vec<String> =
        std::iter::once(1).chain(ports.iter().copied()).map(|port| format!("127.0.0.1:{port}")).collect();
    let registered = broker(&list.join(";"));
    let address = &registered.address;
    for port in &ports {
        eventually("each knows the broker", || knows(*port, "TBW102", address));
    }
    // A topic is known everywhere when its maker hears of it.
    let mut client = RawClient::connect(registered.server.port());
    client.create_topic("Orders", 4);
    for port in &ports {
        eventually("each knows the topic", || knows(*port, "Orders", address));
    }
    // One goes; the others hear of changes meanwhile; it comes back without anything and knows all after a period.
    all.remove(1).stop();
    client.create_topic("Meanwhile", 1);
    for port in [ports[0], ports[2]] {
        eventually("the others know the new topic", || knows(port, "Meanwhile", address));
    }
    let empty = tempfile::tempdir().unwrap();
    let again = again_on(empty.path(), ports[1]);
    registered.clock.advance(Duration::from_secs(30));
    eventually("it knows the broker again", || {
        ["TBW102", "Orders", "Meanwhile"].iter().all(|topic| knows(ports[1], topic, address))
    });
    // Also where topics are made all the time.
    all.remove(0).stop();
    let empty_too = tempfile::tempdir().unwrap();
    all.push(again_on(empty_too.path(), ports[0]));
    for n in 0..4 {
        registered.clock.advance(Duration::from_secs(10));
        client.create_topic(&format!("More{n}"), 1);
    }
    eventually("it knows the broker again", || knows(ports[0], "Orders", address));
    // The orderly end is told to all of them before it is over.
    registered.broker.stop();
    for port in &ports {
        assert!(!knows(*port, "Orders", address), "the broker said goodbye");
    }
    assert!(registered.server.shutdown(HANG));
    registered.outwards.shutdown();
    registered.broker.close().unwrap();
    again.stop();
}

/// A name server that answers nothing for a while.
#[derive(Default)]
struct Slow {
    asked: Mutex<Vec<Ticket>>,
}

impl Service for Slow {
    fn handle(&self, call: Call<'_>) {
        let ticket = call.park();
        self.asked.lock().push(ticket);
    }
}

#[test]
fn a_broker_process_has_started_once_the_name_servers_know_it() {
    let slow = Arc::new(Slow::default());
    let options = ServerOptions { host: "127.0.0.1".into(), ..ServerOptions::default() };
    let names = Server::bind(&Loops::new(1), options, slow.clone()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let config = BrokerConfig {
        broker_ip1: "127.0.0.1".into(),
        listen_port: 0,
        namesrv_addr: Some(format!("127.0.0.1:{}", names.port())),
        store_path_root_dir: dir.path().into(),
        mapped_file_size_commit_log: 1 << 20,
        max_hash_slot_num: 1000,
        max_index_num: 4000,
        ..BrokerConfig::default()
    };
    let starting = std::thread::spawn(move || BrokerProcess::start(config));
    eventually("the broker registers", || !slow.asked.lock().is_empty());
    std::thread::sleep(Duration::from_millis(100));
    assert!(!starting.is_finished(), "it said it had started before its name server knew it");
    slow.asked.lock().drain(..).for_each(|ticket| ticket.reply(Response::ok()));
    let broker = starting.join().unwrap().unwrap();
    // Nobody is left who would have to answer the goodbye.
    names.shutdown(HANG);
    broker.stop().unwrap();
}
