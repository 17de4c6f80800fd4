//! Calls to a service of the same process: the same promises as over sockets, and nothing on someone else's stack.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{mpsc, Arc};
use std::time::Duration;

use bytes::Bytes;
use ferromq::net::{Call, Client, ClientOptions, Connection, Loops, Service};
use ferromq::wire::{
    GetMaxOffsetResponse, NotifyConsumerIdsChanged, Request, RequestCode, Response, ResponseHeader,
    UpdateBrokerConfig,
};
use ferromq::{Error, ErrorKind};
use parking_lot::Mutex;

use crate::net_support::*;

const ADDRESS: &str = "127.0.0.1:10911";

fn echo(body: &[u8]) -> Request<'_> {
    Request::UpdateBrokerConfig(UpdateBrokerConfig { body })
}

fn of_code(code: i32) -> Request<'static> {
    Request::Other { code: RequestCode(code) }
}

struct Pair {
    client: Arc<Client>,
    service: Arc<Echo>,
    pushes: Arc<Echo>,
}

fn pair() -> Pair {
    pair_with(|_| {})
}

fn pair_with(change: impl FnOnce(&mut ClientOptions)) -> Pair {
    let mut options = ClientOptions::default();
    change(&mut options);
    let (service, pushes) = (Arc::new(Echo::default()), Arc::new(Echo::default()));
    let client = Client::new(&Loops::new(1), options, pushes.clone());
    client.attach(ADDRESS, service.clone());
    Pair { client, service, pushes }
}

fn thread_name() -> String {
    std::thread::current().name().unwrap_or_default().to_string()
}

#[test]
fn a_call_is_answered_on_the_callers_thread_and_the_service_is_drained_after_it() {
    let Pair { client, service, pushes } = pair();
    for body in [b"".to_vec(), b"x".to_vec(), pattern(1_000_000)] {
        let reply = client.call(ADDRESS, &echo(&body), HANG).unwrap();
        assert_eq!((reply.code().0, reply.remark().as_str()), (0, ""));
        assert!(reply.body() == body);
    }
    assert_eq!(service.drained.load(Ordering::SeqCst), 3);
    assert_eq!((service.connected.load(Ordering::SeqCst), pushes.connected.load(Ordering::SeqCst)), (1, 1));
    assert_eq!((client.connections(), client.calls_in_flight()), (1, 0));
    let connection = service.last.lock().clone().unwrap();
    assert_eq!(connection.remote().to_string(), "127.0.0.1:0");
    assert!(connection.is_open() && !connection.is_vip() && !connection.is_congested());
}

/// Answers with fields: typed, by name, of a wrong type, none.
struct Fields;

impl Service for Fields {
    fn handle(&self, call: Call<'_>) {
        let header = match call.code().0 {
            9101 => GetMaxOffsetResponse { offset: 7 }.into(),
            9102 => ResponseHeader::Fields(vec![("offset".into(), "7".into())]),
            9103 => ResponseHeader::Fields(vec![("offset".into(), "seven".into())]),
            _ => ResponseHeader::None,
        };
        call.reply(Response::ok().with_header(header));
    }
}

#[test]
fn fields_are_read_whatever_form_the_answer_has_them_in() {
    let Pair { client, .. } = pair();
    client.attach("fields:1", Arc::new(Fields));
    let ask = |code| client.call("fields:1", &of_code(code), HANG).unwrap().header::<GetMaxOffsetResponse>();
    assert_eq!(ask(9101).unwrap().offset, 7);
    assert_eq!(ask(9102).unwrap().offset, 7);
    for code in [9103, 9104] {
        let error = ask(code).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.context().contains("offset"), "{error}");
    }
}

#[test]
fn bodies_in_pieces_arrive_in_one_copy() {
    let Pair { client, .. } = pair();
    let reply = client.call(ADDRESS, &Request::UpdateBrokerConfig(UpdateBrokerConfig { body: b"" }), HANG);
    assert!(reply.unwrap().body().is_empty());
    struct Pieces(Bytes);
    impl Service for Pieces {
        fn handle(&self, call: Call<'_>) {
            call.reply(Response::ok().with_body(vec![self.0.slice(..10), self.0.slice(10..)]));
        }
    }
    let whole = Bytes::from(pattern(100_000));
    client.attach("pieces:1", Arc::new(Pieces(whole.clone())));
    let body = client.call("pieces:1", &of_code(1), HANG).unwrap().body();
    assert!(body == whole);
    assert!(!whole.as_ptr_range().contains(&body.as_ptr()));
}

#[test]
fn parked_calls_are_answered_from_any_thread_in_any_order() {
    let Pair { client, service, .. } = pair();
    let (told, results) = mpsc::channel();
    std::thread::scope(|scope| {
        let waiting: Vec<_> =
            (0..4).map(|_| scope.spawn(|| client.call(ADDRESS, &of_code(PARK), HANG))).collect();
        for _ in 0..4 {
            let told = told.clone();
            let done = move |result: Result<_, Error>| told.send((result.is_ok(), thread_name())).unwrap();
            client.call_async(ADDRESS, &of_code(PARK), HANG, Box::new(done));
        }
        eventually("all are parked", || service.parked() == 8);
        assert_eq!(client.calls_in_flight(), 8);
        service.release();
        assert!(waiting.into_iter().all(|thread| thread.join().unwrap().is_ok()));
    });
    for _ in 0..4 {
        assert_eq!(results.recv_timeout(HANG).unwrap(), (true, "fmq-local".to_string()));
    }
    assert_eq!(client.calls_in_flight(), 0);
}

#[test]
fn a_call_whose_request_is_dropped_fails() {
    let Pair { client, service, .. } = pair();
    let (told, results) = mpsc::channel();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| client.call(ADDRESS, &of_code(PARK), HANG));
        client.call_async(ADDRESS, &of_code(PARK), HANG, Box::new(move |result| told.send(result).unwrap()));
        eventually("both are parked", || service.parked() == 2);
        service.forget();
        for result in [waiting.join().unwrap(), results.recv_timeout(HANG).unwrap()] {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Connection);
            assert!(error.context().contains("dropped without an answer"), "{error}");
        }
    });
    struct Forgets;
    impl Service for Forgets {
        fn handle(&self, _: Call<'_>) {}
    }
    client.attach("forgets:1", Arc::new(Forgets));
    assert_eq!(client.call("forgets:1", &of_code(1), HANG).unwrap_err().kind(), ErrorKind::Connection);
    client.oneway("forgets:1", &of_code(1)).unwrap();
}

#[test]
fn waiting_calls_time_out_and_late_answers_do_no_harm() {
    let Pair { client, service, .. } = pair();
    let error = client.call(ADDRESS, &of_code(PARK), Duration::from_millis(5)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.to_string(), "call: UNKNOWN(9002) at 127.0.0.1:10911: no response within 5 ms");
    let (told, results) = mpsc::channel();
    // The first has long to go, so that the lane sleeps when the second comes.
    for timeout in [HANG, Duration::from_millis(5)] {
        let told = told.clone();
        let done = move |result: Result<_, Error>| told.send(result.map_err(|error| error.kind())).unwrap();
        client.call_async(ADDRESS, &of_code(PARK), timeout, Box::new(done));
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(results.recv_timeout(HANG).unwrap().unwrap_err(), ErrorKind::Timeout);
    assert_eq!(client.calls_in_flight(), 1);
    assert_eq!(service.release(), 3);
    assert!(results.recv_timeout(HANG).unwrap().is_ok());
    assert!(client.call(ADDRESS, &echo(b"on"), HANG).is_ok());
}

#[test]
fn endings_are_told_on_one_thread_never_inside_each_other() {
    let Pair { client, .. } = pair();
    thread_local!(static INSIDE: Cell<bool> = const { Cell::new(false) });
    fn next(client: &Arc<Client>, left: usize, told: mpsc::Sender<String>) {
        assert!(!INSIDE.replace(true), "inside another one");
        let again = client.clone();
        let done = move |_| match left {
            0 => told.send(thread_name()).unwrap(),
            left => next(&again, left - 1, told),
        };
        client.call_async(ADDRESS, &echo(b"x"), HANG, Box::new(done));
        INSIDE.set(false);
    }
    let (told, results) = mpsc::channel();
    // Deep enough that the stack of a thread would not take it.
    next(&client, 100_000, told);
    assert_eq!(results.recv_timeout(HANG).unwrap(), "fmq-local");
}

#[test]
fn a_callback_that_panics_takes_nobody_along() {
    let Pair { client, .. } = pair();
    let (told, results) = mpsc::channel();
    client.call_async(ADDRESS, &echo(b"1"), HANG, Box::new(|_| panic!("for a test")));
    client.call_async(ADDRESS, &echo(b"2"), HANG, Box::new(move |result| told.send(result.is_ok()).unwrap()));
    assert!(results.recv_timeout(HANG).unwrap());
}

#[test]
fn a_service_asks_its_client_and_is_answered() {
    let Pair { client, service, pushes } = pair();
    client.call(ADDRESS, &echo(b""), HANG).unwrap();
    let far = service.last.lock().clone().unwrap();
    far.push(&Request::NotifyConsumerIdsChanged(NotifyConsumerIdsChanged { consumer_group: "G".into() }));
    eventually("the client has it", || pushes.handled.load(Ordering::SeqCst) == 1);
    let (told, results) = mpsc::channel();
    let ask = |request: &Request<'_>, timeout| {
        let told = told.clone();
        far.call(request, timeout, move |result| told.send(result.map(|reply| reply.body())).unwrap());
        results.recv_timeout(HANG).unwrap()
    };
    assert_eq!(ask(&echo(b"you there?"), HANG).unwrap(), "you there?");
    assert_eq!(ask(&of_code(PARK), Duration::from_millis(5)).unwrap_err().kind(), ErrorKind::Timeout);
    pushes.forget();
    assert_eq!(ask(&of_code(LATER), HANG).unwrap(), "");
    // And the other way: what answers requests of the service has the connection to ask it something itself.
    let near = pushes.last.lock().clone().unwrap();
    near.call(&echo(b"and you?"), HANG, move |result| told.send(result.map(|reply| reply.body())).unwrap());
    assert_eq!(results.recv_timeout(HANG).unwrap().unwrap(), "and you?");
    near.push(&echo(b"oneway"));
    eventually("the service has it", || service.handled.load(Ordering::SeqCst) == 3);
}

/// Handles nothing while it is held.
#[derive(Default)]
struct Held {
    hold: Mutex<()>,
    handled: AtomicUsize,
}

impl Service for Held {
    fn handle(&self, _: Call<'_>) {
        let _hold = self.hold.lock();
        self.handled.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_client_that_does_not_take_its_requests_is_congested() {
    let mut options = ClientOptions::default();
    (options.limits.output, options.limits.output_ceiling) = (10_000, 30_000);
    let (service, pushes) = (Arc::new(Echo::default()), Arc::new(Held::default()));
    let client = Client::new(&Loops::new(1), options, pushes.clone());
    client.attach(ADDRESS, service.clone());
    client.call(ADDRESS, &echo(b""), HANG).unwrap();
    let far = service.last.lock().clone().unwrap();
    let hold = pushes.hold.lock();
    assert!(!far.is_congested());
    for _ in 0..100 {
        far.push(&echo(&[0; 1000]));
    }
    assert!(far.is_congested());
    assert!((30_000..32_000).contains(&far.queued_bytes()), "{}", far.queued_bytes());
    drop(hold);
    eventually("all is taken", || far.queued_bytes() == 0);
    assert!((29..32).contains(&pushes.handled.load(Ordering::SeqCst)));
}

#[test]
fn a_connection_that_the_service_closes_is_replaced() {
    let Pair { client, service, pushes } = pair();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| client.call(ADDRESS, &of_code(PARK), HANG));
        eventually("it is parked", || service.parked() == 1);
        let first = service.last.lock().clone().unwrap();
        first.close();
        assert_eq!(waiting.join().unwrap().unwrap_err().kind(), ErrorKind::Closed);
        assert!(!first.is_open());
        first.push(&echo(b"nobody is there"));
        eventually("both sides know", || {
            (service.closed.load(Ordering::SeqCst), pushes.closed.load(Ordering::SeqCst)) == (1, 1)
        });
        client.call(ADDRESS, &echo(b""), HANG).unwrap();
        assert_ne!(service.last.lock().clone().unwrap().id(), first.id());
    });
    client.close_addr(ADDRESS);
    eventually("again", || service.closed.load(Ordering::SeqCst) == 2);
    assert_eq!(client.connections(), 0);
}

#[test]
fn shutdown_fails_what_waits_and_tells_everybody() {
    let Pair { client, service, pushes } = pair();
    let (told, results) = mpsc::channel();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| client.call(ADDRESS, &of_code(PARK), HANG));
        client.call_async(ADDRESS, &of_code(PARK), HANG, Box::new(move |result| told.send(result).unwrap()));
        eventually("both are parked", || service.parked() == 2);
        client.shutdown();
        assert_eq!(waiting.join().unwrap().unwrap_err().kind(), ErrorKind::Closed);
        assert_eq!(results.try_recv().unwrap().unwrap_err().kind(), ErrorKind::Closed);
    });
    assert_eq!((service.closed.load(Ordering::SeqCst), pushes.closed.load(Ordering::SeqCst)), (1, 1));
    // Too late.
    service.release();
    assert_eq!(client.call(ADDRESS, &echo(b""), HANG).unwrap_err().kind(), ErrorKind::Closed);
    client.shutdown();
}

#[test]
fn a_client_shut_down_or_dropped_in_its_own_callback_ends() {
    for drop_it in [false, true] {
        let Pair { client, service, pushes } = pair();
        let (told, results) = mpsc::channel();
        let held = client.clone();
        let done = move |_| {
            if !drop_it {
                held.shutdown();
            }
            drop(held);
            told.send(()).unwrap();
        };
        client.call_async(ADDRESS, &of_code(LATER), HANG, Box::new(done));
        drop(client);
        results.recv_timeout(HANG).unwrap();
        eventually("the service knows", || service.closed.load(Ordering::SeqCst) == 1);
        // The test's own services keep their last connection.
        (*service.last.lock(), *pushes.last.lock()) = (None, None);
        eventually("nobody holds the service", || Arc::strong_count(&service) == 1);
    }
}

/// Notes whether a request was handled after the end of its connection was told.
#[derive(Default)]
struct Ordered {
    ended: parking_lot::Mutex<Vec<u64>>,
    wrong: AtomicUsize,
}

impl Service for Ordered {
    fn handle(&self, call: Call<'_>) {
        std::thread::yield_now();
        if self.ended.lock().contains(&call.connection.id()) {
            self.wrong.fetch_add(1, Ordering::SeqCst);
        }
        call.reply(Response::ok());
    }

    fn closed(&self, connection: &Arc<Connection>) {
        self.ended.lock().push(connection.id());
    }
}

#[test]
fn the_end_of_a_connection_is_told_once_and_after_its_last_request() {
    let Pair { client, .. } = pair();
    let service = Arc::new(Ordered::default());
    client.attach("ordered:1", service.clone());
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    (0..2000).filter(|_| client.call("ordered:1", &of_code(1), HANG).is_ok()).count()
                })
            })
            .collect();
        for _ in 0..300 {
            client.close_addr("ordered:1");
            std::thread::yield_now();
        }
        assert!(callers.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>() > 0);
    });
    client.shutdown();
    assert_eq!(service.wrong.load(Ordering::SeqCst), 0);
    let mut ended = service.ended.lock().clone();
    let count = ended.len();
    ended.sort_unstable();
    ended.dedup();
    assert_eq!(ended.len(), count);
}

#[test]
fn too_many_calls_in_flight_are_refused() {
    let Pair { client, service, .. } = pair_with(|options| options.limits.calls = 2);
    let (told, results) = mpsc::channel();
    for _ in 0..3 {
        let told = told.clone();
        client.call_async(ADDRESS, &of_code(PARK), HANG, Box::new(move |result| told.send(result).unwrap()));
    }
    let error = results.recv_timeout(HANG).unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert_eq!(service.release(), 2);
    assert!(results.recv_timeout(HANG).unwrap().is_ok());
}
