//! A send that nobody waits for: it goes on wherever an answer, a timer or a route arrives, and tells its end once.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::room::{Place, Unfinished};
use super::sending::{Landed, Sending, Step};
use super::slot::{Filled, Slot};
use super::{Sent, Shared};
use crate::clock::deadline_in;
use crate::net::Reply;
use crate::{Error, ErrorKind, Result};

/// Who is told the end of a send.
pub(super) enum Told {
    /// A user's callback, on a callback thread.
    Callback(Box<dyn FnOnce(Result<Sent>) + Send>),
    /// Who waits for this.
    Slot(Arc<Slot<Sent>>),
    /// Something of ours that does not block, wherever the end is.
    Here(Box<dyn FnOnce(Result<Sent>) + Send>),
}

/// An asynchronous send under way. Dropped before its end it tells that the producer is closed.
pub(super) struct Flight {
    producer: Arc<Shared>,
    sending: Sending<'static>,
    pub place: Option<Place>,
    told: Option<Told>,
    unfinished: Option<Unfinished>,
}

impl Flight {
    pub fn new(producer: &Arc<Shared>, sending: Sending<'static>, told: Told) -> Box<Flight> {
        let unfinished = Some(producer.room.unfinished(producer));
        let producer = producer.clone();
        Box::new(Flight { producer, sending, place: None, told: Some(told), unfinished })
    }

    /// The bytes that it holds.
    pub fn bytes(&self) -> usize {
        self.sending.message.body.len()
    }

    /// When its time is over.
    pub fn deadline(&self) -> Instant {
        self.sending.deadline
    }

    /// The time that is left.
    pub fn left(&self) -> Duration {
        self.sending.left()
    }

    /// Goes on until something has to be waited for.
    pub fn fly(mut self: Box<Self>) {
        let producer = self.producer.clone();
        match self.sending.next(&producer) {
            Step::FindRoute => self.find_route_elsewhere(),
            Step::Pause(pause) => {
                producer.cluster.errands.run_at(deadline_in(pause), move || self.fly());
            }
            Step::Call(address, left) => {
                let message = self.sending.message.clone();
                let target = self.sending.target().clone();
                let request = message.request(&producer, &target);
                let done = Box::new(move |reply| self.answered(reply));
                producer.cluster.net().call_async(&address, &request, left, done);
            }
            Step::End(end) => self.end(end),
        }
    }

    fn find_route_elsewhere(mut self: Box<Self>) {
        let producer = self.producer.clone();
        producer.cluster.errands.run(move || {
            let left = self.sending.left();
            let found = self.producer.find_route(&self.sending.message.topic, left);
            if let Err(error) = found {
                let producer = self.producer.clone();
                if let Some(end) = self.sending.no_route(&producer, error) {
                    return self.end(end);
                }
            }
            self.fly();
        });
    }

    /// On an event loop, or wherever an answer comes.
    fn answered(mut self: Box<Self>, reply: Result<Reply>) {
        let producer = self.producer.clone();
        match self.sending.answered(&producer, reply) {
            Some(end) => self.end(end),
            None => producer.cluster.errands.run(move || self.fly()),
        }
    }

    /// The end without a further attempt.
    pub fn fail(mut self: Box<Self>, error: Error) {
        let end = self.sending.fail(error);
        self.end(end);
    }

    /// The end of one that got no room in time.
    pub fn no_room(self: Box<Self>) {
        let options = &self.producer.options;
        let context = format!(
            "too many sends are under way: at most {} and {} bytes (backPressureForAsyncSendNum, ...Size)",
            options.back_pressure_for_async_send_num, options.back_pressure_for_async_send_size
        );
        self.fail(Error::new(ErrorKind::Timeout, "send", context));
    }

    fn end(mut self: Box<Self>, end: Result<Landed>) {
        self.producer.ended(&self.sending, &end);
        self.tell(end.map(|landed| landed.sent));
    }

    fn tell(&mut self, result: Result<Sent>) {
        let Some(told) = self.told.take() else { return };
        let (place, unfinished) = (self.place.take(), self.unfinished.take());
        match told {
            Told::Callback(callback) => {
                let producer = self.producer.clone();
                self.producer.cluster.callbacks.run(move || {
                    // Room is given back before the callback, which may want to send.
                    drop(place);
                    if !producer.is_silent() {
                        callback(result);
                    }
                    drop(unfinished);
                });
            }
            Told::Slot(slot) => slot.fill(result),
            Told::Here(told) => told(result),
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if self.told.is_some() {
            let error = self.producer.closed_error();
            let end = self.sending.fail(error).map(|landed| landed.sent);
            self.tell(end);
        }
    }
}

/// The result of an asynchronous send, which has begun already. Any executor can poll it; it is woken from threads of
/// the client.
///
/// Dropping it does not take the message back; only if it was still waiting for room it is not sent.
#[must_use = "the send goes on without it, but nobody learns whether it failed"]
pub struct SendFuture {
    filled: Filled<Sent>,
    waiting: Option<(Arc<Shared>, u64)>,
}

impl SendFuture {
    pub(super) fn new(slot: Arc<Slot<Sent>>, waiting: Option<(Arc<Shared>, u64)>) -> SendFuture {
        SendFuture { filled: Filled(slot), waiting }
    }
}

impl Future for SendFuture {
    type Output = Result<Sent>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Sent>> {
        Pin::new(&mut self.filled).poll(cx)
    }
}

impl Drop for SendFuture {
    fn drop(&mut self) {
        if let Some((producer, number)) = self.waiting.take() {
            // If it has begun meanwhile, or has ended, there is nothing to stop.
            drop(producer.room.stop_waiting(&producer, number));
        }
    }
}
