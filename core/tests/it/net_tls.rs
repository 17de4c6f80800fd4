//! Encrypted connections: who gets through, who is refused and is told why.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::Duration;

use ferromq::config::{ClientAuth, TlsClientSettings, TlsMode, TlsServerSettings};
use ferromq::instance::{Server, ServerOptions};
use ferromq::net::{Client, ClientOptions, Loops, TlsServer};
use ferromq::wire::{Request, RequestCode, ResponseCode, UpdateBrokerConfig};
use ferromq::{Error, ErrorKind};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::logs;
use crate::net_support::*;
use crate::tls_support::*;

fn echo(body: &[u8]) -> Request<'_> {
    Request::UpdateBrokerConfig(UpdateBrokerConfig { body })
}

fn serve(settings: TlsServerSettings) -> TestServer {
    start_with(|options| options.tls = server_tls(settings))
}

pub fn client(settings: TlsClientSettings) -> Arc<Client> {
    let options = ClientOptions { tls: client_tls(settings), ..ClientOptions::default() };
    Client::new(&Loops::new(2), options, Arc::new(Echo::default()))
}

pub fn plain_client() -> Arc<Client> {
    Client::new(&Loops::new(1), ClientOptions::default(), Arc::new(Echo::default()))
}

/// A CA, and a server with a certificate of it.
pub fn usual() -> (Ca, TestServer) {
    let ca = Ca::new("usual");
    let server = serve(server_settings(Some(&ca.signs("server", Like::default()))));
    (ca, server)
}

pub fn ask(client: &Client, server: &TestServer, body: &[u8]) -> Result<Vec<u8>, Error> {
    client.call(&server.address(), &echo(body), HANG).map(|reply| reply.body().to_vec())
}

/// What a client of these settings is told about why it does not get through.
fn refusal(server: &TestServer, settings: TlsClientSettings) -> String {
    let error = ask(&client(settings), server, b"secret").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
    assert_eq!(server.service.handled.load(Ordering::SeqCst), 0);
    error.to_string()
}

fn assert_says(text: &str, parts: &[&str]) {
    assert!(parts.iter().all(|part| text.contains(part)), "{parts:?} in {text:?}");
}

/// A TLS client that is not ours, on a connection of its own.
pub fn foreign(ca: &Ca, port: u16) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca.cert()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(HANG)).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), socket)
}

#[test]
fn calls_get_their_own_answers() {
    let (ca, server) = usual();
    let client = client(client_settings(Some(&ca.cert())));
    for body in [b"".to_vec(), b"x".to_vec(), pattern(16_300), pattern(70_000), pattern(5_000_000)] {
        assert!(ask(&client, &server, &body).unwrap() == body, "{} bytes", body.len());
    }
    assert_eq!((client.connections(), server.server.connections()), (1, 1));
    client.shutdown();
    eventually("no connection is left", || server.server.connections() == 0);
}

#[test]
fn many_threads_and_large_answers_share_one_connection() {
    let (ca, server) = usual();
    let client = client(client_settings(Some(&ca.cert())));
    std::thread::scope(|scope| {
        for thread in 0..6usize {
            let (server, client) = (&server, &client);
            scope.spawn(move || {
                for call in 0..60usize {
                    let size = (thread * 7919 + call * 104_729) % 300_000;
                    let body = pattern(size);
                    assert!(ask(client, server, &body).unwrap() == body);
                }
            });
        }
    });
    assert_eq!(server.service.connected.load(Ordering::SeqCst), 1);
}

#[test]
fn answers_larger_than_all_buffers_arrive_whole() {
    let (ca, server) = usual();
    for chunk in [0, 1000, 50_000, 3_000_000] {
        let mut peer = foreign(&ca, server.server.port());
        let size = 30_000_000;
        // The server sends while nobody reads, and stops when all buffers are full.
        peer.write_all(&frame(BIG, 1, 0, format!("{size},{chunk}").as_bytes())).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        let mut bytes = vec![0; 4];
        peer.read_exact(&mut bytes).unwrap();
        bytes.resize(u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize, 0);
        peer.read_exact(&mut bytes).unwrap();
        assert!(bytes.ends_with(&pattern(size)), "in chunks of {chunk}");
    }
}

#[test]
fn frames_arrive_however_the_bytes_are_cut() {
    let (ca, server) = usual();
    let proxy = Proxy::to(server.server.port());
    proxy.delay(Duration::from_millis(3));
    let client = client(client_settings(Some(&ca.cert())));
    for size in [1, 5_000, 200_000] {
        let body = pattern(size);
        let reply = client.call(&format!("127.0.0.1:{}", proxy.port), &echo(&body), HANG).unwrap();
        assert!(reply.body() == body);
    }
}

#[test]
fn a_server_asks_its_clients_over_the_same_connection() {
    let (ca, server) = usual();
    let client = client(client_settings(Some(&ca.cert())));
    ask(&client, &server, b"hello").unwrap();
    let connection = server.service.last.lock().clone().unwrap();
    let (told, answer) = std::sync::mpsc::channel();
    connection.call(&echo(b"are you there"), HANG, move |reply| told.send(reply).unwrap());
    assert_eq!(answer.recv_timeout(HANG).unwrap().unwrap().body(), b"are you there"[..]);
}

#[test]
fn permissive_takes_both_on_one_port() {
    let (ca, server) = usual();
    let encrypted = client(client_settings(Some(&ca.cert())));
    let plain = plain_client();
    let mut raw = server.raw();
    for round in 0..20 {
        let body = [round];
        assert_eq!(ask(&encrypted, &server, &body).unwrap(), body);
        assert_eq!(ask(&plain, &server, &body).unwrap(), body);
        assert_eq!(raw.ask(ECHO, i32::from(round), &body), body);
    }
    assert_eq!(server.server.connections(), 3);
}

#[test]
fn enforcing_tells_plain_clients_what_to_do_and_serves_the_others() {
    logs::listen();
    let ca = Ca::new("enforcing");
    let pair = ca.signs("server", Like::default());
    let server = serve(TlsServerSettings { mode: TlsMode::Enforcing, ..server_settings(Some(&pair)) });
    let mut raw = server.raw();
    let peer = raw.stream.local_addr().unwrap().to_string();
    let answer = raw.send(&frame(ECHO, 7, 0, b"secret")).next().unwrap();
    assert_eq!((answer.code, answer.opaque), (ResponseCode::NO_PERMISSION.0, 7));
    assert!(raw.is_closed());
    eventually("the log names the peer", || logs::said(&[&peer, "TLS only", "enforcing"]) == 1);

    let reply = plain_client().call(&server.address(), &echo(b"secret"), HANG).unwrap();
    assert_eq!(reply.code(), ResponseCode::NO_PERMISSION);
    assert_says(&reply.remark(), &["TLS only", "tls.enable=true"]);
    assert_eq!(server.service.handled.load(Ordering::SeqCst), 0);

    let encrypted = client(client_settings(Some(&ca.cert())));
    assert_eq!(ask(&encrypted, &server, b"fine").unwrap(), b"fine");
}

#[test]
fn a_client_on_a_port_without_tls_is_told_so() {
    let ca = Ca::new("nobody");
    let server = start();
    assert_says(
        &refusal(&server, client_settings(Some(&ca.cert()))),
        &["plain text only", "tls.enable=false"],
    );

    // Something that answers, but not in TLS.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let talker = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        // Until the client has gone.
        let _ = socket.read_to_end(&mut Vec::new());
    });
    let client = client(client_settings(Some(&ca.cert())));
    let error = client.call(&address, &echo(b"x"), HANG).unwrap_err().to_string();
    assert_says(&error, &[&address, "does not speak TLS"]);
    client.shutdown();
    talker.join().unwrap();
}

#[test]
fn clients_refuse_a_server_of_another_ca() {
    logs::listen();
    let (_ca, server) = usual();
    let other = Ca::new("other");
    let text = refusal(&server, client_settings(Some(&other.cert())));
    assert_says(&text, &[&server.address(), "unknown CA", "tls.client.trustCertPath"]);
    let namesake = Ca::new("usual");
    let text = refusal(&server, client_settings(Some(&namesake.cert())));
    assert_says(&text, &["unknown CA", "made anew"]);
    eventually("the server's log says so", || logs::said(&["the client refuses", "does not trust"]) > 0);
}

#[test]
fn clients_refuse_certificates_out_of_their_time() {
    let ca = Ca::new("times");
    for (years, says) in [((2001, 2002), "expired"), ((2150, 2151), "not valid before")] {
        let pair = ca.signs("server", Like { years, ..Like::default() });
        let server = serve(server_settings(Some(&pair)));
        let text = refusal(&server, client_settings(Some(&ca.cert())));
        assert_says(&text, &[says, "clock"]);
    }
}

#[test]
fn clients_refuse_certificates_for_other_names_unless_told_the_name() {
    let ca = Ca::new("names");
    let like = Like { names: vec!["broker-a.example".into(), "10.1.2.3".into()], ..Like::default() };
    let server = serve(server_settings(Some(&ca.signs("server", like))));
    let text = refusal(&server, client_settings(Some(&ca.cert())));
    assert_says(&text, &["broker-a.example", "10.1.2.3", "not for 127.0.0.1", "tls.client.serverName"]);
    for name in ["broker-a.example", "10.1.2.3"] {
        let settings =
            TlsClientSettings { server_name: Some(name.into()), ..client_settings(Some(&ca.cert())) };
        assert_eq!(ask(&client(settings), &server, b"fine").unwrap(), b"fine");
    }
    assert_eq!(ask_by("localhost", &ca, &server).unwrap_err().kind(), ErrorKind::Connection);
}

/// Connects by a host name.
fn ask_by(host: &str, ca: &Ca, server: &TestServer) -> Result<(), Error> {
    let address = format!("{host}:{}", server.server.port());
    client(client_settings(Some(&ca.cert()))).call(&address, &echo(b"x"), HANG).map(drop)
}

#[test]
fn a_host_name_is_verified_as_it_was_written() {
    let ca = Ca::new("hosts");
    let named = serve(server_settings(Some(
        &ca.signs("named", Like { names: vec!["localhost".into()], ..Like::default() }),
    )));
    ask_by("localhost", &ca, &named).unwrap();
    assert!(ask_by("127.0.0.1", &ca, &named).is_err());
}

#[test]
fn a_server_must_not_show_a_clients_certificate() {
    let ca = Ca::new("purposes");
    let like = Like { names: Like::default().names, ..Like::client() };
    let server = serve(server_settings(Some(&ca.signs("server", like))));
    assert_says(&refusal(&server, client_settings(Some(&ca.cert()))), &["not meant for servers"]);
}

#[test]
fn who_does_not_verify_gets_through() {
    let ca = Ca::new("unverified");
    let pair =
        ca.signs("server", Like { names: vec!["x.example".into()], years: (2001, 2002), ..Like::default() });
    let server = serve(server_settings(Some(&pair)));
    let careless = TlsClientSettings { auth_server: false, ..client_settings(None) };
    assert_eq!(ask(&client(careless), &server, b"a").unwrap(), b"a");
    let testing = TlsClientSettings { test_mode: true, ..client_settings(None) };
    assert_eq!(ask(&client(testing), &server, b"b").unwrap(), b"b");
}

#[test]
fn a_certificate_that_signed_itself_can_be_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let pair = self_signed(dir.path(), Like::default());
    let server = serve(server_settings(Some(&pair)));
    assert_eq!(ask(&client(client_settings(Some(&pair.cert))), &server, b"fine").unwrap(), b"fine");

    // Another one, the same one for another name, the same one when its time is over.
    let elsewhere = tempfile::tempdir().unwrap();
    let other = self_signed(elsewhere.path(), Like::default());
    let server = serve(server_settings(Some(&other)));
    refusal(&server, client_settings(Some(&pair.cert)));
    let named = self_signed(dir.path(), Like { names: vec!["x.example".into()], ..Like::default() });
    let server = serve(server_settings(Some(&named)));
    assert_says(&refusal(&server, client_settings(Some(&named.cert))), &["x.example"]);
    let old = self_signed(dir.path(), Like { years: (2001, 2002), ..Like::default() });
    let server = serve(server_settings(Some(&old)));
    assert_says(&refusal(&server, client_settings(Some(&old.cert))), &["expired"]);
}

fn with_certificate(ca: &Ca, pair: &Pair) -> TlsClientSettings {
    TlsClientSettings {
        cert_path: Some(pair.cert.clone()),
        key_path: Some(pair.key.clone()),
        ..client_settings(Some(&ca.cert()))
    }
}

#[test]
fn clients_without_a_certificate_are_refused_where_one_is_required() {
    logs::listen();
    let (ca, others) = (Ca::new("servers"), Ca::new("clients"));
    let pair = ca.signs("server", Like::default());
    // A server each, as one says seldom what happens often.
    let serve = || {
        serve(TlsServerSettings {
            need_client_auth: ClientAuth::Require,
            trust_cert_path: Some(others.cert()),
            ..server_settings(Some(&pair))
        })
    };
    let text = refusal(&serve(), client_settings(Some(&ca.cert())));
    assert_says(&text, &["asks", "certificate", "tls.client.certPath"]);
    eventually("the server's log says so", || logs::said(&["the client has no certificate"]) > 0);

    // Of a CA that is not trusted, out of its time, for servers.
    let wrong = [
        (ca.signs("wrong", Like::client()), "unknown CA"),
        (others.signs("old", Like { years: (2001, 2002), ..Like::client() }), "expired"),
        (others.signs("purpose", Like::default()), "not meant for clients"),
    ];
    for (pair, says) in wrong {
        let text = refusal(&serve(), with_certificate(&ca, &pair));
        assert_says(&text, &["refuses"]);
        eventually(says, || logs::said(&["the client's certificate is refused", says]) > 0);
    }
    // Plain clients need none: the port is permissive.
    let server = serve();
    assert_eq!(ask(&plain_client(), &server, b"plain").unwrap(), b"plain");
    let good = others.signs("good", Like::client());
    assert_eq!(ask(&client(with_certificate(&ca, &good)), &server, b"fine").unwrap(), b"fine");
}

#[test]
fn clients_may_have_a_certificate_where_it_is_optional_and_then_it_must_be_good() {
    let (ca, others) = (Ca::new("servers"), Ca::new("clients"));
    let pair = ca.signs("server", Like::default());
    let server = serve(TlsServerSettings {
        need_client_auth: ClientAuth::Optional,
        trust_cert_path: Some(others.cert()),
        ..server_settings(Some(&pair))
    });
    refusal(&server, with_certificate(&ca, &ca.signs("wrong", Like::client())));
    assert_eq!(ask(&client(client_settings(Some(&ca.cert()))), &server, b"none").unwrap(), b"none");
    let good = with_certificate(&ca, &others.signs("good", Like::client()));
    assert_eq!(ask(&client(good), &server, b"good").unwrap(), b"good");
}

#[test]
fn any_certificate_of_a_client_does_where_they_are_not_verified() {
    let (ca, others) = (Ca::new("servers"), Ca::new("clients"));
    let pair = ca.signs("server", Like::default());
    let server = serve(TlsServerSettings {
        need_client_auth: ClientAuth::Require,
        auth_client: false,
        ..server_settings(Some(&pair))
    });
    refusal(&server, client_settings(Some(&ca.cert())));
    let any = with_certificate(&ca, &others.signs("any", Like { years: (2001, 2002), ..Like::client() }));
    assert_eq!(ask(&client(any), &server, b"any").unwrap(), b"any");
}

#[test]
fn a_server_without_a_certificate_makes_one_at_first_use_and_keeps_it() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("config");
    let start = || {
        let tls = TlsServer::new(server_settings(None), home.clone(), vec!["127.0.0.1".into()]).unwrap();
        start_with(|options| options.tls = tls)
    };
    let first = start();
    assert_eq!(ask(&plain_client(), &first, b"plain").unwrap(), b"plain");
    assert!(!home.exists(), "nobody has asked for it yet");
    let untold = Ca::new("nobody");
    assert_says(
        &refusal_after(&first, client_settings(Some(&untold.cert()))),
        &["unknown CA", "self-signed"],
    );
    let certificate = home.join("tls-self-signed.crt");
    for server in [first, start()] {
        assert_eq!(ask(&client(client_settings(Some(&certificate))), &server, b"fine").unwrap(), b"fine");
    }
}

/// As [`refusal`], of a server that has handled requests.
fn refusal_after(server: &TestServer, settings: TlsClientSettings) -> String {
    ask(&client(settings), server, b"secret").unwrap_err().to_string()
}

#[test]
fn changed_certificates_are_taken_up_while_it_runs_and_bad_ones_are_not() {
    logs::listen();
    let (old, new) = (Ca::new("old"), Ca::new("new"));
    let shown = tempfile::tempdir().unwrap();
    let show = |pair: &Pair| {
        let text = |path: &Path| std::fs::read_to_string(path).unwrap();
        write(shown.path(), "shown", &text(&pair.cert), &text(&pair.key))
    };
    let pair = show(&old.signs("server", Like::default()));
    let server = serve(server_settings(Some(&pair)));
    let gets_through = |ca: &Ca| ask(&client(client_settings(Some(&ca.cert()))), &server, b"x").is_ok();
    let before = client(client_settings(Some(&old.cert())));
    ask(&before, &server, b"before").unwrap();
    assert!(!gets_through(&new));

    std::fs::write(&pair.cert, "-----BEGIN CERTIFICATE-----\nnone").unwrap();
    let place = pair.cert.display().to_string();
    eventually("the bad file is reported", || {
        assert!(gets_through(&old), "the old certificate stays in use");
        logs::said(&["no good", "old ones stay", &place]) > 0
    });

    show(&new.signs("server", Like::default()));
    eventually("the new certificate is shown", || gets_through(&new));
    assert!(!gets_through(&old));
    // Connections that are there go on.
    assert_eq!(ask(&before, &server, b"after").unwrap(), b"after");
    assert_eq!(before.connections(), 1);
}

#[test]
fn what_a_client_trusts_is_read_anew_too() {
    let (ca, other) = (Ca::new("one"), Ca::new("two"));
    let server = serve(server_settings(Some(&ca.signs("server", Like::default()))));
    let dir = tempfile::tempdir().unwrap();
    let trusted = dir.path().join("trusted.pem");
    std::fs::copy(other.cert(), &trusted).unwrap();
    let client = client(client_settings(Some(&trusted)));
    ask(&client, &server, b"x").unwrap_err();
    std::fs::copy(ca.cert(), &trusted).unwrap();
    eventually("the CA is trusted", || ask(&client, &server, b"x").is_ok());
}

#[test]
fn what_is_under_way_is_answered_when_the_server_stops() {
    let (ca, server) = usual();
    let client = client(client_settings(Some(&ca.cert())));
    let (told, answer) = std::sync::mpsc::channel();
    let park = Request::Other { code: RequestCode(PARK) };
    client.call_async(&server.address(), &park, HANG, Box::new(move |reply| told.send(reply).unwrap()));
    eventually("the request is there", || server.service.parked() == 1);
    // Half-open ones do not keep it waiting.
    let mut half = server.raw();
    half.send(&[0x16, 3, 1, 2]);
    let silent = server.raw();
    eventually("all are there", || server.server.connections() == 3);
    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| server.server.shutdown(HANG));
        eventually("the others are gone", || server.server.connections() == 1);
        server.service.release();
        assert!(stopping.join().unwrap());
    });
    assert_eq!(answer.recv_timeout(HANG).unwrap().unwrap().code().0, 0);
    drop(silent);
}

#[test]
fn both_sides_say_that_they_close() {
    let (ca, server) = usual();
    let mut peer = foreign(&ca, server.server.port());
    peer.write_all(&frame(ECHO, 1, 0, b"x")).unwrap();
    let mut length = [0; 4];
    peer.read_exact(&mut length).unwrap();
    peer.read_exact(&mut vec![0; u32::from_be_bytes(length) as usize]).unwrap();
    assert!(server.server.shutdown(HANG));
    // Anything but an orderly end would be an error: UnexpectedEof.
    assert_eq!(peer.read(&mut [0; 10]).unwrap(), 0);

    let (ca, server) = usual();
    let mut peer = foreign(&ca, server.server.port());
    peer.write_all(&frame(ECHO, 1, 0, b"x")).unwrap();
    eventually("it is there", || server.service.handled.load(Ordering::SeqCst) == 1);
    peer.conn.send_close_notify();
    peer.flush().unwrap();
    eventually("the end is noticed", || server.service.closed.load(Ordering::SeqCst) == 1);
}

#[test]
fn settings_that_cannot_be_obeyed_stop_the_start() {
    let (ca, other) = (Ca::new("one"), Ca::new("two"));
    let (pair, wrong) = (ca.signs("server", Like::default()), other.signs("server", Like::default()));
    let start = |settings: TlsServerSettings| {
        TlsServer::new(settings, "/nonexistent".into(), Vec::new()).unwrap_err().to_string()
    };
    let good = || server_settings(Some(&pair));
    let cases = [
        (TlsServerSettings { key_path: None, ..good() }, ["tls.server.keyPath", "not set"]),
        (TlsServerSettings { cert_path: None, ..good() }, ["tls.server.certPath", "not set"]),
        (TlsServerSettings { cert_path: Some("/none.pem".into()), ..good() }, ["/none.pem", "No such file"]),
        (
            TlsServerSettings { key_path: Some(wrong.key.clone()), ..good() },
            ["server.pem", "does not belong"],
        ),
        (TlsServerSettings { cert_path: Some(pair.key.clone()), ..good() }, ["server.key", "no certificate"]),
        (TlsServerSettings { key_path: Some(pair.cert.clone()), ..good() }, ["server.pem", "no private key"]),
        (
            TlsServerSettings { need_client_auth: ClientAuth::Require, ..good() },
            ["trustCertPath", "authClient"],
        ),
    ];
    for (settings, parts) in cases {
        assert_says(&start(settings), &parts);
    }
    let client =
        |settings: TlsClientSettings| ferromq::net::TlsClient::new(settings).unwrap_err().to_string();
    let good = || client_settings(Some(&ca.cert()));
    assert_says(&client(client_settings(Some(Path::new("/none.pem")))), &["/none.pem"]);
    assert_says(
        &client(TlsClientSettings { cert_path: Some(pair.cert.clone()), ..good() }),
        &["tls.client.keyPath"],
    );
    assert_says(&client(TlsClientSettings { server_name: Some("no name".into()), ..good() }), &["no name"]);
}

#[test]
fn a_server_writes_nothing_into_a_directory_that_is_anothers() {
    let dir = tempfile::tempdir().unwrap();
    let options = |mode| {
        let mut options = ServerOptions::new(dir.path());
        (options.namesrv_port, options.broker_port) = (0, 0);
        options.broker.tls_server_mode = mode;
        options
    };
    let _first = Server::start(options(TlsMode::Disabled)).unwrap();
    let files = || {
        let files = std::fs::read_dir(dir.path().join("config")).unwrap();
        let mut names: Vec<String> =
            files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name.contains("tls"));
        names
    };
    let Err(error) = Server::start(options(TlsMode::Enforcing)) else {
        panic!("two servers in one directory")
    };
    assert_eq!(error.kind(), ErrorKind::InUse, "{error}");
    assert_eq!(files(), Vec::<String>::new());
}

#[test]
fn who_requires_certificates_and_takes_plain_text_is_warned() {
    logs::listen();
    let ca = Ca::new("a CA");
    let mut settings = server_settings(Some(&ca.signs("server", Like::default())));
    settings.need_client_auth = ClientAuth::Require;
    settings.trust_cert_path = Some(ca.cert());
    let said = || logs::said(&["need.client.auth=require", "plain ones are taken too"]);
    let before = said();
    server_tls(settings);
    assert!(said() > before);
}
