//! Calls to services of this process: the typed request is handed over on the caller's thread and the typed response
//! comes back. No socket, nothing encoded.
//!
//! Each end of such a connection is a [`Connection`] too: `near` is the client's, `far` the one that the service sees.
//! What would otherwise happen on the stack of someone else's call (completions of calls that do not wait, requests
//! that a service sends to its client, the end of a connection) happens one after the other on the client's [`Lane`].

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::calls::{Done, Waiting};
use super::connection::Phase;
use super::lane::{Job, Lane};
use super::{Call, Connection, Limits, Reply, Service};
use crate::sync::{Condvar, Mutex, RwLock};
use crate::wire::{Encoding, Request, RequestCode, Response};
use crate::{Error, ErrorKind, Result};

/// What makes a connection one within this process.
pub(super) enum Link {
    /// The client's end.
    Near(Near),
    /// The end that the service sees.
    Far { near: Weak<Connection>, lane: Arc<Lane> },
}

impl Link {
    /// What passes between the two ends and is not waited for.
    pub fn lane(&self) -> &Lane {
        match self {
            Link::Near(near) => &near.lane,
            Link::Far { lane, .. } => lane,
        }
    }
}

pub(super) struct Near {
    lane: Arc<Lane>,
    far: Arc<Connection>,
    service: Arc<dyn Service>,
    /// Twice the number of requests being handled, and one once the connection is closed.
    gate: AtomicUsize,
    end_told: AtomicBool,
}

const CLOSED: usize = 1;
const ENTERED: usize = 2;

/// The services that a client reaches within the process, by address.
pub(super) struct Locals {
    lane: Arc<Lane>,
    limits: Arc<Limits>,
    places: RwLock<Places>,
}

#[derive(Default)]
struct Places {
    closed: bool,
    /// There is nothing else to call.
    alone: bool,
    /// A name server and a broker: so few that looking through them is the fastest way.
    list: Vec<Place>,
}

struct Place {
    address: String,
    service: Arc<dyn Service>,
    near: Option<Arc<Connection>>,
}

impl Places {
    /// What a call to an address that is none of these comes to.
    fn elsewhere(&self, address: &str) -> Result<Option<Arc<Connection>>> {
        if !self.alone {
            return Ok(None);
        }
        let context = format!(
            "{address} is no address of the server in this process, and without a listener no other is called"
        );
        Err(Error::new(ErrorKind::Connection, "call", context))
    }
}

impl Locals {
    pub fn new(limits: Arc<Limits>, pushes: Arc<dyn Service>) -> Locals {
        Locals { lane: Lane::new(pushes), limits, places: RwLock::default() }
    }

    pub fn attach(&self, address: &str, service: Arc<dyn Service>) {
        let mut places = self.places.write();
        places.list.retain(|place| place.address != address);
        places.list.push(Place { address: address.into(), service, near: None });
    }

    /// Has calls to other addresses fail.
    pub fn stay_alone(&self) {
        self.places.write().alone = true;
    }

    /// The connection to the service that was attached to `address`; `None` if none was, and it may be elsewhere.
    pub fn connection(&self, address: &str) -> Result<Option<Arc<Connection>>> {
        {
            let places = self.places.read();
            if places.closed {
                return Err(closed(address));
            }
            let Some(place) = places.list.iter().find(|place| place.address == address) else {
                return places.elsewhere(address);
            };
            if let Some(near) = place.near.as_ref().filter(|near| near.is_entered_freely()) {
                return Ok(Some(near.clone()));
            }
        }
        let mut places = self.places.write();
        if places.closed {
            return Err(closed(address));
        }
        let Some(place) = places.list.iter_mut().find(|place| place.address == address) else {
            return Ok(None);
        };
        if let Some(near) = place.near.as_ref().filter(|near| near.is_entered_freely()) {
            return Ok(Some(near.clone()));
        }
        let near = connect(&self.lane, &self.limits, place);
        place.near = Some(near.clone());
        // Under the lock, so that the service knows the connection before its first request.
        place.service.connected(near.far_end());
        self.lane.pushes().connected(&near);
        Ok(Some(near))
    }

    /// The connections that are open.
    pub fn connections(&self) -> Vec<Arc<Connection>> {
        let places = self.places.read();
        places.list.iter().filter_map(|place| place.near.clone()).filter(|near| near.is_open()).collect()
    }

    pub fn close_addr(&self, address: &str) -> bool {
        let near = {
            let places = self.places.read();
            places.list.iter().find(|place| place.address == address).map(|place| place.near.clone())
        };
        if let Some(Some(near)) = &near {
            near.close();
        }
        near.is_some()
    }

    /// Closes all connections; later calls fail. Waits for what runs on the lane with `join`, unless that is where
    /// this is called.
    pub fn close(&self, join: bool) {
        let list = {
            let mut places = self.places.write();
            places.closed = true;
            // A client that its user still holds must not hold the services, and what they have open.
            places.list.drain(..).filter_map(|place| place.near).collect::<Vec<_>>()
        };
        for near in list {
            near.end(ErrorKind::Closed, "the client was closed".into());
        }
        self.lane.close(join);
    }
}

fn closed(address: &str) -> Error {
    Error::new(ErrorKind::Closed, "call", format!("{address}: the client was closed"))
}

fn connect(lane: &Arc<Lane>, limits: &Arc<Limits>, place: &Place) -> Arc<Connection> {
    let near = Arc::new_cyclic(|near| {
        let far = Link::Far { near: near.clone(), lane: lane.clone() };
        let near = Near {
            lane: lane.clone(),
            far: Arc::new(Connection::local_end(None, far, limits.clone())),
            service: place.service.clone(),
            gate: AtomicUsize::new(0),
            end_told: AtomicBool::new(false),
        };
        Connection::local_end(Some(&place.address), Link::Near(near), limits.clone())
    });
    lane.serve(&near);
    near
}

/// A request of this process on its way through a service, and what became of it.
pub(super) struct Exchange<'a> {
    near: &'a Arc<Connection>,
    code: RequestCode,
    timeout: Duration,
    oneway: bool,
    outcome: Cell<Outcome>,
    /// Whom a parked request tells; nobody if its caller waits.
    done: Cell<Option<Done>>,
}

#[derive(Default)]
#[allow(
    clippy::large_enum_variant,
    reason = "it lies on the caller's stack, once; a box would cost each call"
)]
enum Outcome {
    /// It was dropped unanswered, or needs no answer.
    #[default]
    Nothing,
    Answered(Response),
    /// The caller waits here.
    Waits(Arc<Slot>, i32),
    /// `done` is told later.
    Parked,
}

/// Where a caller waits for a parked request.
#[derive(Default)]
struct Slot {
    result: Mutex<Option<Result<Reply>>>,
    filled: Condvar,
}

/// How a ticket finds the call that it answers.
pub(super) struct Parking {
    opaque: i32,
    /// The caller waits, so it is told on the spot.
    waits: bool,
}

impl Exchange<'_> {
    pub fn is_oneway(&self) -> bool {
        self.oneway
    }

    pub fn answer(&self, response: Response) {
        if !self.oneway {
            self.outcome.set(Outcome::Answered(response));
        }
    }

    /// Enters the call among those in flight; `None` for one that needs no answer, or if the connection is closed.
    pub fn park(&self) -> Option<Parking> {
        if self.oneway {
            return None;
        }
        let (done, slot) = match self.done.take() {
            Some(done) => (done, None),
            None => {
                let slot = Arc::new(Slot::default());
                let filled = slot.clone();
                let done: Done = Box::new(move |result| {
                    *filled.result.lock() = Some(result);
                    filled.filled.notify_one();
                });
                (done, Some(slot))
            }
        };
        let waits = slot.is_some();
        let opaque = self.near.enter_call(Waiting::new(self.code, self.timeout, done), !waits);
        self.outcome.set(match slot {
            Some(slot) => Outcome::Waits(slot, opaque.unwrap_or_default()),
            None => Outcome::Parked,
        });
        opaque.map(|opaque| Parking { opaque, waits })
    }
}

/// A request that is inside the service; the connection's end is told after the last has left.
struct Entered<'a> {
    connection: &'a Arc<Connection>,
    near: &'a Near,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        if self.near.gate.fetch_sub(ENTERED, Ordering::SeqCst) == ENTERED | CLOSED {
            self.near.tell_end(self.connection);
        }
    }
}

impl Near {
    fn tell_end(&self, connection: &Arc<Connection>) {
        if !self.end_told.swap(true, Ordering::SeqCst) {
            let (near, far, service) = (connection.clone(), self.far.clone(), self.service.clone());
            self.lane.post(Job::End { near, far, service });
        }
    }
}

/// The near end of a connection within the process, for its client.
impl Connection {
    fn near(&self) -> Option<&Near> {
        match self.link() {
            Some(Link::Near(near)) => Some(near),
            _ => None,
        }
    }

    fn far_end(&self) -> &Arc<Connection> {
        match self.link() {
            Some(Link::Near(near)) => &near.far,
            _ => unreachable!("asked of near ends only"),
        }
    }

    fn is_entered_freely(&self) -> bool {
        self.near().is_some_and(|near| near.gate.load(Ordering::SeqCst) & CLOSED == 0)
    }

    fn enter<'a>(self: &'a Arc<Self>, code: RequestCode) -> Result<Entered<'a>> {
        let near = self.near().expect("entered at near ends only");
        let entered = Entered { connection: self, near };
        if near.gate.fetch_add(ENTERED, Ordering::SeqCst) & CLOSED == 0 {
            return Ok(entered);
        }
        drop(entered);
        let (kind, why) = self.why_closed();
        Err(Error::new(kind, "call", format!("{code} at {}: {why}", self.peer())))
    }

    /// Hands a request to the service and waits for its response.
    pub(super) fn ask(self: &Arc<Self>, request: &Request<'_>, timeout: Duration) -> Result<Reply> {
        let code = request.code();
        let exchange = self.exchange(request, timeout, false, None);
        let entered = self.enter(code)?;
        entered.hand_over(request, &exchange);
        let outcome = exchange.outcome.take();
        entered.near.service.drained(&entered.near.far);
        drop(entered);
        match outcome {
            Outcome::Answered(response) => Ok(Reply::local(response)),
            Outcome::Waits(slot, opaque) => self.wait(&slot, opaque, timeout),
            Outcome::Nothing | Outcome::Parked => Err(unanswered(code, &self.peer())),
        }
    }

    /// Hands a request to the service and tells `done` its response, on the lane.
    pub(super) fn ask_async(
        self: &Arc<Self>,
        request: &Request<'_>,
        timeout: Duration,
        done: Done,
    ) -> Result<(), (Error, Done)> {
        let near = self.near().expect("asked at near ends only");
        let entered = match self.room_for_call(request).and_then(|()| near.lane.start()) {
            Ok(()) => self.enter(request.code()),
            Err(error) => Err(error),
        };
        let entered = match entered {
            Ok(entered) => entered,
            Err(error) => return Err((error, done)),
        };
        let exchange = self.exchange(request, timeout, false, Some(done));
        entered.hand_over(request, &exchange);
        // A parked one has taken `done` along.
        if let Some(done) = exchange.done.take() {
            let result = match exchange.outcome.take() {
                Outcome::Answered(response) => Ok(response),
                _ => Err(unanswered(request.code(), &self.peer())),
            };
            near.lane.post(Job::Tell(done, result));
        }
        near.service.drained(&near.far);
        Ok(())
    }

    /// Hands over a request that is not answered.
    pub(super) fn tell(self: &Arc<Self>, request: &Request<'_>) -> Result<()> {
        let exchange = self.exchange(request, Duration::ZERO, true, None);
        let entered = self.enter(request.code())?;
        entered.hand_over(request, &exchange);
        entered.near.service.drained(&entered.near.far);
        Ok(())
    }

    fn exchange<'a>(
        self: &'a Arc<Self>,
        request: &Request<'_>,
        timeout: Duration,
        oneway: bool,
        done: Option<Done>,
    ) -> Exchange<'a> {
        let (outcome, done) = (Cell::default(), Cell::new(done));
        Exchange { near: self, code: request.code(), timeout, oneway, outcome, done }
    }

    fn room_for_call(&self, request: &Request<'_>) -> Result<()> {
        let near = self.near().expect("asked at near ends only");
        let limit = self.limits().calls;
        if self.calls_in_flight() + near.lane.backlog() < limit {
            return Ok(());
        }
        let context = format!("{} at {}: {limit} calls are in flight already", request.code(), self.peer());
        Err(Error::new(ErrorKind::LimitExceeded, "call", context))
    }

    fn wait(&self, slot: &Slot, opaque: i32, timeout: Duration) -> Result<Reply> {
        let mut until = Instant::now().checked_add(timeout);
        let mut result = slot.result.lock();
        loop {
            if let Some(result) = result.take() {
                return result;
            }
            let timed_out = match until {
                Some(until) => slot.filled.wait_until(&mut result, until).timed_out(),
                None => {
                    slot.filled.wait(&mut result);
                    false
                }
            };
            if timed_out && result.is_none() {
                drop(result);
                // Whoever takes the call out of the list tells its end, be it a little later.
                if let Some(call) = self.take_call(opaque) {
                    call.time_out(&self.peer());
                }
                until = None;
                result = slot.result.lock();
            }
        }
    }

    /// Enters a call of this end's that the other end answers later. Fails it at once if the connection is closed.
    fn enter_call(&self, call: Waiting, on_lane: bool) -> Option<i32> {
        let deadline = call.deadline();
        match self.enter_waiting(call) {
            Ok(opaque) => {
                if let Some(near) = self.near().filter(|_| on_lane) {
                    near.lane.look_at(deadline);
                }
                Some(opaque)
            }
            Err((kind, why, call)) => {
                let error = call.failure(kind, &self.peer(), &why);
                match self.near().filter(|_| on_lane) {
                    Some(near) => near.lane.post(Job::Tell(call.into_done(), Err(error))),
                    None => call.into_done()(Err(error)),
                }
                None
            }
        }
    }

    /// Closes both ends of a connection within the process.
    pub(super) fn end_locally(&self, kind: ErrorKind, why: &str) {
        let Some(near) = self.near_end() else { return };
        let Some(Link::Near(own)) = near.link() else { return };
        let closed = own.gate.fetch_or(CLOSED, Ordering::SeqCst);
        for end in [&near, &own.far] {
            let calls = end.close_at_once(Phase::Closed(kind, why.into()));
            for call in calls {
                let error = call.failure(kind, &end.peer(), why);
                own.lane.post(Job::Tell(call.into_done(), Err(error)));
            }
        }
        if closed == 0 {
            own.tell_end(&near);
        }
    }

    /// The client's end of the connection that this is an end of.
    fn near_end(&self) -> Option<Arc<Connection>> {
        match self.link()? {
            Link::Near(near) => match near.far.link()? {
                Link::Far { near, .. } => near.upgrade(),
                Link::Near(_) => None,
            },
            Link::Far { near, .. } => near.upgrade(),
        }
    }

    /// Queues a request for whoever is at the other end of a connection within the process.
    pub(super) fn post_request(&self, request: &Request<'_>, opaque: i32, oneway: bool) -> Result<()> {
        let mut frame = Vec::new();
        request.encode(Encoding::Binary, opaque, oneway, &mut frame)?;
        match self.link() {
            Some(Link::Near(near)) => near.lane.post(Job::Ask { to: near.far.clone(), frame }),
            Some(Link::Far { near, lane }) => {
                if let Some(to) = near.upgrade() {
                    lane.post(Job::Ask { to, frame });
                }
            }
            None => {}
        }
        Ok(())
    }

    /// Handles a request that came over the lane.
    pub(super) fn take_request(self: &Arc<Self>, call: Call<'_>, pushes: &Arc<dyn Service>) {
        match self.link() {
            Some(Link::Near(_)) => {
                pushes.handle(call);
                pushes.drained(self);
            }
            Some(Link::Far { near, .. }) => {
                let Some(near) = near.upgrade() else { return };
                let Ok(entered) = near.enter(call.code()) else { return };
                entered.near.service.handle(call);
                entered.near.service.drained(self);
            }
            None => {}
        }
    }

    /// Answers a call of the other end's, on the lane.
    pub(super) fn respond_locally(&self, opaque: i32, response: Result<Response>) {
        let (other, lane) = match self.link() {
            Some(Link::Near(near)) => (Some(near.far.clone()), &near.lane),
            Some(Link::Far { near, lane }) => (near.upgrade(), lane),
            None => return,
        };
        if let Some(call) = other.and_then(|other| other.take_call(opaque)) {
            lane.post(Job::Tell(call.into_done(), response));
        }
    }

    /// Answers a parked request of a caller in this process.
    pub(super) fn respond_parked(&self, parking: &Parking, response: Result<Response>) {
        if !parking.waits {
            return self.respond_locally(parking.opaque, response);
        }
        let call = self.near_end().and_then(|near| near.take_call(parking.opaque));
        if let Some(call) = call {
            call.into_done()(response.map(Reply::local));
        }
    }

    /// Has the lane look for overdue calls when `deadline` has come.
    pub(super) fn watch(&self, deadline: Instant) {
        match self.link() {
            Some(Link::Near(near)) => near.lane.look_at(deadline),
            Some(Link::Far { lane, .. }) => lane.look_at(deadline),
            None => {}
        }
    }

    /// Fails what is overdue at either end; says when to look again.
    pub(super) fn expire_locally(&self) -> Option<Instant> {
        let far = self.far_end();
        [self, far]
            .iter()
            .filter_map(|end| {
                end.expire();
                end.next_deadline()
            })
            .min()
    }
}

impl Entered<'_> {
    fn hand_over(&self, request: &Request<'_>, exchange: &Exchange<'_>) {
        self.near.service.handle(Call::local(request, exchange, &self.near.far));
    }
}

/// The error of a call whose request its service dropped.
pub(super) fn unanswered(code: RequestCode, peer: &str) -> Error {
    let context = format!("{code} at {peer}: the request was dropped without an answer");
    Error::new(ErrorKind::Connection, "call", context)
}
