//! Requests that this side sent on a connection and whose responses it waits for.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::Reply;
use crate::clock::deadline_after;
use crate::wire::RequestCode;
use crate::{Error, ErrorKind, Result};

/// Told once what became of a call. Runs on an event loop, or on the caller's thread if the call could not be sent.
pub(super) type Done = Box<dyn FnOnce(Result<Reply>) + Send>;

/// Looking for overdue calls goes through all of them, so it happens at most this often; a call may wait that much
/// longer than its timeout.
const SCAN_EVERY: Duration = Duration::from_millis(10);

/// A map this large that has become empty gives its memory back.
const SHRINK_ABOVE: usize = 1024;

/// Calls in flight of one connection, by opaque.
#[derive(Default)]
pub(super) struct Calls {
    waiting: HashMap<i32, Waiting>,
    next_opaque: i32,
    earliest: Option<Instant>,
}

/// One call in flight.
pub(super) struct Waiting {
    code: RequestCode,
    timeout: Duration,
    deadline: Instant,
    done: Done,
}

impl Waiting {
    pub fn new(code: RequestCode, timeout: Duration, done: Done) -> Waiting {
        let now = Instant::now();
        let deadline = deadline_after(now, timeout);
        Waiting { code, timeout, deadline, done }
    }

    pub fn succeed(self, reply: Reply) {
        (self.done)(Ok(reply));
    }

    /// Fails the call with `kind`; `why` completes the sentence "call X at `peer`: ...".
    pub fn fail(self, kind: ErrorKind, peer: &str, why: &str) {
        let error = self.failure(kind, peer, why);
        (self.done)(Err(error));
    }

    /// The error that [`Waiting::fail`] would tell.
    pub fn failure(&self, kind: ErrorKind, peer: &str, why: &str) -> Error {
        Error::new(kind, "call", format!("{} at {peer}: {why}", self.code))
    }

    /// What is to be told, for another to do.
    pub fn into_done(self) -> Done {
        self.done
    }

    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    pub fn time_out(self, peer: &str) {
        let why = format!("no response within {} ms", self.timeout.as_millis());
        self.fail(ErrorKind::Timeout, peer, &why);
    }
}

impl Calls {
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// An opaque for a request whose response nobody waits for.
    pub fn opaque(&mut self) -> i32 {
        loop {
            let opaque = self.next_opaque;
            self.next_opaque = self.next_opaque.wrapping_add(1);
            if !self.waiting.contains_key(&opaque) {
                return opaque;
            }
        }
    }

    /// Notes a call under the opaque that [`Calls::opaque`] gave.
    pub fn insert(&mut self, opaque: i32, call: Waiting) {
        self.earliest = Some(self.earliest.map_or(call.deadline, |earliest| earliest.min(call.deadline)));
        self.waiting.insert(opaque, call);
    }

    /// Takes the call that a response answers; `None` if it is not, or no longer, waiting.
    pub fn remove(&mut self, opaque: i32) -> Option<Waiting> {
        let call = self.waiting.remove(&opaque);
        self.rest_if_empty();
        call
    }

    /// When to look for overdue calls next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.earliest
    }

    /// Takes the calls whose deadline is not after `now`.
    pub fn overdue(&mut self, now: Instant) -> Vec<Waiting> {
        if self.earliest.is_none_or(|earliest| earliest > now) {
            return Vec::new();
        }
        let opaques: Vec<i32> =
            self.waiting.iter().filter(|(_, call)| call.deadline <= now).map(|(opaque, _)| *opaque).collect();
        let overdue = opaques.iter().filter_map(|opaque| self.waiting.remove(opaque)).collect();
        let earliest = self.waiting.values().map(|call| call.deadline).min();
        self.earliest = earliest.map(|earliest| earliest.max(now + SCAN_EVERY));
        self.rest_if_empty();
        overdue
    }

    /// Takes all calls.
    pub fn take_all(&mut self) -> Vec<Waiting> {
        self.earliest = None;
        std::mem::take(&mut self.waiting).into_values().collect()
    }

    fn rest_if_empty(&mut self) {
        if self.waiting.is_empty() {
            self.earliest = None;
            if self.waiting.capacity() > SHRINK_ABOVE {
                self.waiting = HashMap::new();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn call(timeout: Duration, told: &mpsc::Sender<Result<Reply>>) -> Waiting {
        let told = told.clone();
        Waiting::new(
            RequestCode::SEND_MESSAGE_V2,
            timeout,
            Box::new(move |result| told.send(result).unwrap()),
        )
    }

    #[test]
    fn a_million_timeouts_leave_nothing_behind() {
        let (told, results) = mpsc::channel();
        let mut calls = Calls::default();
        for round in 0..1000 {
            for _ in 0..1000 {
                let opaque = calls.opaque();
                calls.insert(opaque, call(Duration::ZERO, &told));
            }
            for call in calls.overdue(Instant::now()) {
                call.time_out("nowhere:1");
            }
            assert_eq!(calls.len(), 0, "round {round}");
            assert_eq!(results.try_iter().count(), 1000);
        }
        assert!(calls.waiting.capacity() <= 4096);
        assert_eq!(calls.next_deadline(), None);
    }

    #[test]
    fn only_overdue_calls_are_taken() {
        let (told, _results) = mpsc::channel();
        let mut calls = Calls::default();
        let start = Instant::now();
        for seconds in [30, 10, 20] {
            let opaque = calls.opaque();
            calls.insert(opaque, call(Duration::from_secs(seconds), &told));
        }
        assert!(calls.overdue(start + Duration::from_secs(9)).is_empty());
        assert_eq!(calls.overdue(start + Duration::from_secs(25)).len(), 2);
        assert!(calls.next_deadline().unwrap() >= start + Duration::from_secs(30));
        assert!(calls.remove(0).is_some());
        assert!(calls.remove(0).is_none());
        assert_eq!(calls.next_deadline(), None);
    }

    #[test]
    fn opaques_in_flight_are_not_given_twice() {
        let (told, _results) = mpsc::channel();
        let mut calls = Calls { next_opaque: i32::MAX, ..Calls::default() };
        for expected in [i32::MAX, i32::MIN] {
            let opaque = calls.opaque();
            assert_eq!(opaque, expected);
            calls.insert(opaque, call(Duration::from_secs(1), &told));
        }
        calls.next_opaque = i32::MAX;
        assert_eq!(calls.opaque(), i32::MIN + 1);
    }

    #[test]
    fn an_endless_timeout_is_allowed() {
        let (told, results) = mpsc::channel();
        call(Duration::MAX, &told).fail(ErrorKind::Closed, "a:1", "the client was closed");
        let error = results.recv().unwrap().err().unwrap();
        assert_eq!(error.to_string(), "call: SEND_MESSAGE_V2(310) at a:1: the client was closed");
    }
}
