//! The list of scenarios, in process, over TCP to our server, and over TCP encrypted.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use ferromq::config::{BrokerConfig, TlsMode};
use ferromq::instance::{Server, ServerOptions};
use ferromq::{ClientOptions, Instance, Listen, OpenOptions};

use self::list::{all_scenarios, Supports, World};

#[path = "../scenarios/mod.rs"]
mod list;

/// What our broker can do so far.
const OURS: Supports = Supports { sql: true, no_offset: true, exact_times: true, all_compressions: true };

fn settings() -> BrokerConfig {
    let text = "messageDelayLevel=1s 2s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s\n\
                transactionTimeOut=1000\ntransactionCheckInterval=300\n\
                mappedFileSizeCommitLog=16777216\nmaxHashSlotNum=1000\nmaxIndexNum=4000\nenablePropertyFilter=true";
    BrokerConfig::from_text(text, "test").unwrap()
}

/// Makes clients of the name server at this port, which connect with TLS if there is a certificate to trust.
fn at(
    name_server_port: u16,
    trusted: Option<PathBuf>,
) -> impl Fn(ClientOptions) -> ferromq::Result<Instance> + Clone + Send + Sync {
    move |mut options| {
        options.set("namesrvAddr", &format!("127.0.0.1:{name_server_port}")).unwrap();
        options.tls_enable = trusted.is_some();
        options.tls_client_trust_cert_path.clone_from(&trusted);
        ferromq::connect_with(options)
    }
}

fn over_tcp(name: &str, scenario: fn(&list::Stage)) {
    with_a_server(name, scenario, TlsMode::Disabled);
}

/// All take nothing but TLS, with the certificate that the server makes.
fn over_tls(name: &str, scenario: fn(&list::Stage)) {
    with_a_server(name, scenario, TlsMode::Enforcing);
}

/// A server of its own, and a client of it.
fn with_a_server(name: &str, scenario: fn(&list::Stage), tls: TlsMode) {
    let dir = tempfile::tempdir().unwrap();
    let mut options = ServerOptions::new(dir.path().join("data"));
    (options.namesrv_port, options.broker_port, options.broker) = (0, 0, settings());
    options.broker.tls_server_mode = tls;
    let certificate = options.data.join("config/tls-self-signed.crt");
    let server = Server::start(options.clone()).unwrap();
    (options.namesrv_port, options.broker_port) = (server.namesrv_port(), server.broker_port());
    let port = options.namesrv_port;
    let server = Arc::new(Mutex::new(Some(server)));
    let restarted = server.clone();
    let restart = move || {
        let mut server = restarted.lock().unwrap();
        server.take().unwrap().stop().unwrap();
        *server = Some(Server::start(options.clone()).unwrap());
    };
    assert_eq!(certificate.exists(), tls == TlsMode::Enforcing);
    let open = at(port, Some(certificate).filter(|_| tls == TlsMode::Enforcing));
    let client = open(list::quick()).unwrap();
    let world = World {
        client: Box::new(move || client.clone()),
        open: Box::new(open),
        supports: OURS,
        restart: Some(Box::new(restart)),
        dir: dir.path().join("offsets"),
    };
    scenario(&list::Stage::new(&world, name));
    (world.client)().close().unwrap();
    drop(world);
    server.lock().unwrap().take().unwrap().stop().unwrap();
}

/// Name server, broker and the main client in this process, which listens for the further ones.
fn in_process(name: &str, scenario: fn(&list::Stage)) {
    let dir = tempfile::tempdir().unwrap();
    // In memory nothing survives a restart.
    let in_memory = !name.starts_with("flow-restart");
    let open = move |dir: &Path, ports: (u16, u16)| {
        let mut options = match in_memory {
            true => OpenOptions::memory(),
            false => OpenOptions::directory(dir.join("data")),
        };
        options.broker = settings();
        options.client = list::quick();
        let (namesrv_port, broker_port) = ports;
        options.listen = Some(Listen { host: "127.0.0.1".into(), namesrv_port, broker_port });
        ferromq::open_with(options).unwrap()
    };
    let instance = open(dir.path(), (0, 0));
    let ports = instance.listening().unwrap();
    let instance = Arc::new(Mutex::new(instance));
    let (restarted, current, path) = (instance.clone(), instance.clone(), dir.path().to_owned());
    let restart = move || {
        let mut instance = restarted.lock().unwrap();
        instance.close().unwrap();
        *instance = open(&path, ports);
    };
    let world = World {
        client: Box::new(move || current.lock().unwrap().clone()),
        open: Box::new(at(ports.0, None)),
        supports: OURS,
        restart: Some(Box::new(restart)),
        dir: dir.path().join("offsets"),
    };
    scenario(&list::Stage::new(&world, name));
    instance.lock().unwrap().close().unwrap();
}

macro_rules! each_as_a_test {
    ($($module:ident :: $name:ident,)*) => {
        mod in_process {
            $(#[test]
            fn $name() {
                super::in_process(concat!(stringify!($module), "-", stringify!($name)), super::list::$module::$name);
            })*
        }

        mod over_tcp {
            $(#[test]
            fn $name() {
                super::over_tcp(concat!(stringify!($module), "-", stringify!($name)), super::list::$module::$name);
            })*
        }
    };
}
all_scenarios!(each_as_a_test);

/// Encryption changes the bytes on the way only, so the scenarios that differ in those.
macro_rules! some_over_tls {
    ($($module:ident :: $name:ident,)*) => {
        mod over_tls {
            $(#[test]
            fn $name() {
                super::over_tls(concat!(stringify!($module), "-", stringify!($name)), super::list::$module::$name);
            })*
        }
    };
}
some_over_tls! {
    send::sync,
    send::future,
    send::oneway,
    send::batch,
    send::compression,
    send::big,
    consume::concurrent,
    consume::orderly,
    retry::later,
    pull::subscribe_and_commit,
    group::members_share,
    flow::close_in_listener,
    flow::restart,
    special::transactions,
    special::request_reply,
}
