//! What a client owes its callers: every call ends, once, with its own response or with the reason why not.

use std::collections::HashSet;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{mpsc, Arc};
use std::time::Duration;

use ferromq::net::{Client, ClientOptions, Loops, Reply, Server, ServerOptions, Service};
use ferromq::wire::{Encoding, NotifyConsumerIdsChanged, Request, RequestCode, UpdateBrokerConfig};
use ferromq::{Error, ErrorKind};

use crate::net_support::*;

/// A request with a body, which the test service echoes.
fn echo(body: &[u8]) -> Request<'_> {
    Request::UpdateBrokerConfig(UpdateBrokerConfig { body })
}

fn park() -> Request<'static> {
    Request::Other { code: RequestCode(PARK) }
}

fn client_with(change: impl FnOnce(&mut ClientOptions)) -> (Arc<Client>, Arc<Echo>) {
    let mut options = ClientOptions::default();
    change(&mut options);
    let pushes = Arc::new(Echo::default());
    (Client::new(&Loops::new(2), options, pushes.clone()), pushes)
}

fn client() -> Arc<Client> {
    client_with(|_| {}).0
}

/// A peer that accepts and then does what the test says.
fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

#[test]
fn calls_get_their_own_answers() {
    for encoding in [Encoding::Json, Encoding::Binary] {
        let (server, (client, _)) = (start(), client_with(|options| options.encoding = encoding));
        for body in [b"".to_vec(), b"x".to_vec(), pattern(70_000), pattern(1_000_000)] {
            let reply = client.call(&server.address(), &echo(&body), HANG).unwrap();
            assert_eq!(reply.code().0, 0);
            assert!(reply.body() == body);
        }
        assert_eq!((client.connections(), server.server.connections()), (1, 1));
        assert_eq!(client.calls_in_flight(), 0);
    }
}

#[test]
fn threads_share_one_connection() {
    let (server, client) = (start(), client());
    std::thread::scope(|scope| {
        for thread in 0..8u32 {
            let (server, client) = (&server, &client);
            scope.spawn(move || {
                for call in 0..300u32 {
                    let body = [thread.to_be_bytes(), call.to_be_bytes()].concat();
                    let reply = client.call(&server.address(), &echo(&body), HANG).unwrap();
                    assert_eq!(reply.body(), body);
                }
            });
        }
    });
    assert_eq!(server.service.connected.load(Ordering::SeqCst), 1);
}

#[test]
fn answers_out_of_order_find_their_calls() {
    let (server, client) = (start(), client());
    let (told, answers) = mpsc::channel();
    for call in 0..1000u32 {
        let told = told.clone();
        let later = Request::Other { code: RequestCode(if call % 2 == 0 { PARK } else { LATER }) };
        let done = move |result: Result<Reply, Error>| told.send((call, result.is_ok())).unwrap();
        client.call_async(&server.address(), &later, HANG, Box::new(done));
    }
    eventually("all are there", || server.service.handled.load(Ordering::SeqCst) == 1000);
    server.service.release();
    let answered: HashSet<u32> = (0..1000)
        .map(|_| {
            let (call, fine) = answers.recv_timeout(HANG).unwrap();
            assert!(fine);
            call
        })
        .collect();
    assert_eq!(answered.len(), 1000);
}

#[test]
fn a_call_ends_at_its_deadline_and_its_late_response_is_dropped() {
    let (server, client) = (start(), client());
    // Connected.
    client.call(&server.address(), &echo(b"first"), HANG).unwrap();
    let error = client.call(&server.address(), &park(), Duration::from_millis(50)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let expected = format!("call: UNKNOWN(9002) at {}: no response within 50 ms", server.address());
    assert_eq!(error.to_string(), expected);
    assert_eq!(client.calls_in_flight(), 0);
    eventually("it has come", || server.service.parked() == 1);
    assert_eq!(server.service.release(), 1);
    assert_eq!(client.call(&server.address(), &echo(b"next"), HANG).unwrap().body(), "next");
    assert_eq!(server.service.connected.load(Ordering::SeqCst), 1, "a timeout costs no connection");
}

#[test]
fn a_hundred_thousand_timeouts_leave_nothing_behind() {
    let client = client();
    let (silent, address) = listener();
    std::thread::spawn(move || {
        let mut stream = silent.accept().unwrap().0;
        std::io::copy(&mut stream, &mut std::io::sink())
    });
    let (told, ends) = mpsc::channel();
    for _ in 0..20 {
        for _ in 0..5000 {
            let told = told.clone();
            let done = move |result: Result<Reply, Error>| told.send(result.unwrap_err().kind()).unwrap();
            client.call_async(&address, &park(), Duration::from_millis(1), Box::new(done));
        }
        for _ in 0..5000 {
            assert_eq!(ends.recv_timeout(HANG).unwrap(), ErrorKind::Timeout);
        }
        assert_eq!(client.calls_in_flight(), 0);
    }
}

#[test]
fn calls_fail_at_once_when_the_connection_breaks() {
    let client = client();
    let (listener, address) = listener();
    let breaking = std::thread::spawn(move || {
        let mut peer = Raw::over(listener.accept().unwrap().0);
        for _ in 0..10 {
            peer.next().unwrap();
        }
    });
    let (told, ends) = mpsc::channel();
    for _ in 0..10 {
        let told = told.clone();
        let done = move |result: Result<Reply, Error>| told.send(result.unwrap_err()).unwrap();
        client.call_async(&address, &park(), Duration::from_secs(3600), Box::new(done));
    }
    for _ in 0..10 {
        let error = ends.recv_timeout(HANG).unwrap();
        assert_eq!(error.kind(), ErrorKind::Connection);
        assert!(error.is_retriable() && error.context().contains(&address), "{error}");
    }
    breaking.join().unwrap();
}

#[test]
fn an_address_where_nobody_listens_fails_at_once_and_is_not_tried_too_often() {
    let (client, _) = client_with(|options| options.backoff_least = Duration::from_secs(3600));
    let (listener, address) = listener();
    drop(listener);
    let error = client.call(&address, &echo(b""), HANG).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection);
    assert!(error.to_string().contains(&format!("cannot connect to {address}")), "{error}");
    let error = client.call(&address, &echo(b""), HANG).unwrap_err();
    assert!(error.to_string().contains("the next try is in"), "{error}");
    assert_eq!(client.connections(), 0);
}

#[test]
fn unusable_addresses_are_refused() {
    let client = client();
    for address in ["", "nonsense", "127.0.0.1:0", "127.0.0.1:99999"] {
        let error = client.call(address, &echo(b""), HANG).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
    let error = client.call("no.such.host.invalid:1", &echo(b""), HANG).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection);
    assert!(error.to_string().contains("no.such.host.invalid:1"), "{error}");
}

#[test]
fn a_deadline_also_ends_a_call_whose_connection_is_still_being_made() {
    let client = client();
    // A listener whose queue is full answers no SYN: connecting to it hangs.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    full.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    full.listen(0).unwrap();
    let address = full.local_addr().unwrap().as_socket().unwrap();
    let fillers: Vec<_> =
        (0..4).map(|_| std::net::TcpStream::connect_timeout(&address, Duration::from_millis(100))).collect();
    let error = client.call(&address.to_string(), &echo(b""), Duration::from_millis(50)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    drop(fillers);
}

#[test]
fn the_client_comes_back_when_the_server_does() {
    let (client, _) = client_with(|options| options.backoff_least = Duration::from_millis(1));
    let first = start();
    let port = first.server.port();
    client.call(&first.address(), &echo(b""), HANG).unwrap();
    first.server.shutdown(HANG);
    let address = first.address();
    eventually("the client notices", || client.connections() == 0);
    client.call(&address, &echo(b""), HANG).unwrap_err();
    drop(first);
    let _second = start_with(|options| options.port = port);
    eventually("it comes back", || client.call(&address, &echo(b"back"), HANG).is_ok());
}

#[test]
fn oneway_requests_arrive() {
    let (server, client) = (start(), client());
    for _ in 0..10 {
        client.oneway(&server.address(), &echo(b"x")).unwrap();
    }
    eventually("all are handled", || server.service.handled.load(Ordering::SeqCst) == 10);
    assert_eq!(client.calls_in_flight(), 0);
    assert_eq!(client.call(&server.address(), &echo(b"y"), HANG).unwrap().body(), "y");
}

#[test]
fn what_was_queued_is_sent_even_if_the_client_is_dropped_next() {
    let server = start();
    for round in 1..=50 {
        let client = client();
        client.call(&server.address(), &echo(b"x"), HANG).unwrap();
        client.oneway(&server.address(), &echo(b"x")).unwrap();
        drop(client);
        eventually("it is handled", || server.service.handled.load(Ordering::SeqCst) == 2 * round);
    }
}

#[test]
fn a_server_pushes_to_and_asks_its_clients() {
    let (server, (client, pushes)) = (start(), client_with(|_| {}));
    client.call(&server.address(), &echo(b""), HANG).unwrap();
    let connection = server.service.last.lock().clone().unwrap();
    let changed = NotifyConsumerIdsChanged { consumer_group: "g".into() };
    connection.push(&Request::NotifyConsumerIdsChanged(changed));
    eventually("the push is handled", || pushes.handled.load(Ordering::SeqCst) == 1);
    let (told, answer) = mpsc::channel();
    connection.call(&echo(b"are you there"), HANG, move |result| told.send(result).unwrap());
    assert_eq!(answer.recv_timeout(HANG).unwrap().unwrap().body(), "are you there");
    // While both sides ask each other, opaques of the two directions do not mix.
    let (told, answer) = mpsc::channel();
    connection.call(&park(), HANG, move |result| told.send(result).unwrap());
    assert_eq!(client.call(&server.address(), &echo(b"mine"), HANG).unwrap().body(), "mine");
    eventually("it is parked", || pushes.parked() == 1);
    pushes.release();
    assert_eq!(answer.recv_timeout(HANG).unwrap().unwrap().body(), "");
    // A server's call fails when its client goes away.
    let (told, answer) = mpsc::channel();
    connection.call(&park(), Duration::from_secs(3600), move |result| told.send(result).unwrap());
    drop(client);
    assert_eq!(answer.recv_timeout(HANG).unwrap().unwrap_err().kind(), ErrorKind::Connection);
}

#[test]
fn responses_without_a_call_do_not_confuse() {
    let client = client();
    let (listener, address) = listener();
    std::thread::spawn(move || {
        let mut peer = Raw::over(listener.accept().unwrap().0);
        while let Some(request) = peer.next() {
            for wrong in [request.opaque - 1, request.opaque + 77, -5] {
                peer.send(&frame(0, wrong, 1, b"wrong"));
            }
            peer.send(&frame(0, request.opaque, 1, b"right"));
            peer.send(&frame(0, request.opaque, 1, b"twice"));
        }
    });
    for _ in 0..50 {
        assert_eq!(client.call(&address, &park(), HANG).unwrap().body(), "right");
    }
}

#[test]
fn garbage_from_a_server_fails_the_calls_and_the_next_connection_is_a_new_one() {
    let (client, _) = client_with(|options| options.backoff_least = Duration::ZERO);
    let (listener, address) = listener();
    std::thread::spawn(move || {
        for (stream, round) in listener.incoming().zip(0..) {
            let mut peer = Raw::over(stream.unwrap());
            let request = peer.next().unwrap();
            match round {
                0 => peer.send(&[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]),
                1 => peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
                _ => peer.send(&frame(0, request.opaque, 1, b"at last")),
            };
            // Kept open until the client has gone.
            while peer.next().is_some() {}
        }
    });
    for _ in 0..2 {
        let error = client.call(&address, &park(), HANG).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connection);
        assert!(error.context().contains("no frame"), "{error}");
    }
    assert_eq!(client.call(&address, &park(), HANG).unwrap().body(), "at last");
}

#[test]
fn a_request_over_the_frame_limit_is_refused_here() {
    let (server, (client, _)) = (start(), client_with(|options| options.limits.frame = 1000));
    let error = client.call(&server.address(), &echo(&[0; 1000]), HANG).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert!(error.context().contains("1000"), "{error}");
    assert_eq!(client.call(&server.address(), &echo(b"small"), HANG).unwrap().body(), "small");
}

#[test]
fn calls_in_flight_are_bounded() {
    let (server, (client, _)) = (start(), client_with(|options| options.limits.calls = 5));
    let (told, ends) = mpsc::channel();
    for _ in 0..6 {
        let told = told.clone();
        let done = move |result: Result<Reply, Error>| told.send(result.map(drop)).unwrap();
        client.call_async(&server.address(), &park(), HANG, Box::new(done));
    }
    let error = ends.recv_timeout(HANG).unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    eventually("five are parked", || server.service.parked() == 5);
    server.service.release();
    for _ in 0..5 {
        ends.recv_timeout(HANG).unwrap().unwrap();
    }
}

#[test]
fn an_idle_connection_is_closed_and_made_again_when_needed() {
    let (server, (client, _)) =
        (start(), client_with(|options| options.limits.idle = Duration::from_millis(200)));
    client.call(&server.address(), &echo(b""), HANG).unwrap();
    eventually("it is closed", || client.connections() == 0);
    assert_eq!(client.call(&server.address(), &echo(b"again"), HANG).unwrap().body(), "again");
    assert!(server.service.connected.load(Ordering::SeqCst) >= 2);
}

#[test]
fn shutdown_fails_what_is_in_flight() {
    let (server, client) = (start(), client());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| client.call(&server.address(), &park(), Duration::from_secs(3600)));
        eventually("it is parked", || server.service.parked() == 1);
        client.shutdown();
        assert_eq!(waiting.join().unwrap().unwrap_err().kind(), ErrorKind::Closed);
    });
    let error = client.call(&server.address(), &echo(b""), HANG).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    client.shutdown();
}

#[test]
fn ending_the_loops_fails_what_is_in_flight() {
    let (server, loops) = (start(), Loops::new(1));
    let client = Client::new(&loops, ClientOptions::default(), Arc::new(Echo::default()));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| client.call(&server.address(), &park(), Duration::from_secs(3600)));
        eventually("it is parked", || server.service.parked() == 1);
        loops.shutdown();
        assert_eq!(waiting.join().unwrap().unwrap_err().kind(), ErrorKind::Closed);
    });
    assert_eq!(client.call(&server.address(), &echo(b""), HANG).unwrap_err().kind(), ErrorKind::Closed);
}

/// A service that calls back into a client from the loop.
struct CallsBlocking(std::sync::OnceLock<(Arc<Client>, String)>, AtomicBool);

impl Service for CallsBlocking {
    fn handle(&self, call: ferromq::net::Call<'_>) {
        let (client, address) = self.0.get().unwrap();
        let error = client.call(address, &echo(b""), HANG).unwrap_err();
        self.1.store(error.kind() == ErrorKind::Internal, Ordering::SeqCst);
        call.reply(ferromq::wire::Response::ok());
    }
}

#[test]
fn a_blocking_call_on_an_event_loop_fails_instead_of_hanging() {
    let service = Arc::new(CallsBlocking(Default::default(), AtomicBool::new(false)));
    let (loops, client) = (Loops::new(1), client());
    let options = ServerOptions { host: "127.0.0.1".into(), ..ServerOptions::default() };
    let server = Server::bind(&loops, options, service.clone()).unwrap();
    let address = format!("127.0.0.1:{}", server.port());
    assert!(service.0.set((client.clone(), address.clone())).is_ok());
    client.call(&address, &echo(b""), HANG).unwrap();
    assert!(service.1.load(Ordering::SeqCst));
}

#[test]
fn flash_cuts_lose_calls_only_with_an_error_and_never_mix_answers() {
    let (server, (client, _)) = (
        start(),
        client_with(|options| {
            options.backoff_least = Duration::from_millis(1);
            options.backoff_most = Duration::from_millis(20);
        }),
    );
    let proxy = Proxy::to(server.server.port());
    let address = format!("127.0.0.1:{}", proxy.port);
    let (fine, broken) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let quiet = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..4u32 {
            let (client, address, fine, broken, quiet) = (&client, &address, &fine, &broken, &quiet);
            scope.spawn(move || {
                for call in 0u32.. {
                    if quiet.load(Ordering::SeqCst) {
                        break;
                    }
                    let body =
                        [thread.to_be_bytes(), call.to_be_bytes()].concat().repeat(1 + call as usize % 500);
                    match client.call(address, &echo(&body), Duration::from_secs(20)) {
                        Ok(reply) => {
                            assert!(reply.body() == body);
                            fine.fetch_add(1, Ordering::SeqCst);
                        }
                        Err(error) => {
                            assert!(error.is_retriable(), "{error}");
                            broken.fetch_add(1, Ordering::SeqCst);
                            std::thread::sleep(Duration::from_millis(1));
                        }
                    }
                }
            });
        }
        proxy.delay(Duration::from_millis(3));
        for round in 0..30 {
            let before = fine.load(Ordering::SeqCst);
            eventually("calls pass between two cuts", || fine.load(Ordering::SeqCst) > before + 3);
            proxy.refuse(round % 5 == 4);
            proxy.cut(round % 2 == 0);
            if round % 5 == 4 {
                let before = broken.load(Ordering::SeqCst);
                eventually("calls fail meanwhile", || broken.load(Ordering::SeqCst) > before + 3);
                proxy.refuse(false);
            }
        }
        quiet.store(true, Ordering::SeqCst);
    });
    proxy.delay(Duration::ZERO);
    eventually("all is well again", || client.call(&address, &echo(b"well"), HANG).is_ok());
    assert_eq!(client.calls_in_flight(), 0);
    assert!(broken.load(Ordering::SeqCst) > 0);
    drop(client);
    drop(proxy);
    eventually("nothing is left at the server", || server.server.connections() == 0);
}
