//! Sends traces beside the messages they are about: bounded, in the background, never in anyone's way.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::trace::TraceEvent;
use crate::message::{property, Message};
use crate::sync::{Condvar, Mutex};
use crate::Result;

/// Records that wait at most; further ones are dropped.
const WAITING: usize = 1024;

/// Records of one look at the queue.
const TOGETHER: usize = 100;

/// How long records wait for others to go with.
const GATHER: Duration = Duration::from_millis(5);

/// Bytes of a trace message's body from which on the next one begins.
const MESSAGE_BYTES: usize = 118_000;

/// Bytes of its keys from which on the next one begins: half of what properties may have.
const KEYS_BYTES: usize = 16_000;

/// Records traces of one producer or consumer.
#[doc(alias = "AsyncTraceDispatcher")]
pub(super) struct Tracer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Sends one trace message.
type Send = dyn Fn(&Message) -> Result<()> + std::marker::Send + Sync;

struct Shared {
    topic: String,
    send: Box<Send>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    events: VecDeque<TraceEvent>,
    dropped: u64,
    is_closed: bool,
    is_done: bool,
}

impl Tracer {
    /// Traces go to `topic` by `send`, which may wait, on a thread that starts with the first record.
    pub fn new(
        topic: impl Into<String>,
        send: impl Fn(&Message) -> Result<()> + std::marker::Send + Sync + 'static,
    ) -> Tracer {
        let shared = Shared {
            topic: topic.into(),
            send: Box::new(send),
            state: Mutex::default(),
            changed: Condvar::new(),
        };
        Tracer { shared: Arc::new(shared), thread: Mutex::default() }
    }

    /// Records an event. Never waits: when too many wait already, it is dropped, and the log says so once.
    pub fn record(&self, event: TraceEvent) {
        {
            let mut state = self.shared.state.lock();
            if state.is_closed {
                return;
            }
            if state.events.len() >= WAITING {
                state.dropped += 1;
                if state.dropped == 1 {
                    let topic = &self.shared.topic;
                    tracing::warn!("traces are dropped: {WAITING} wait to be sent to {topic} already");
                }
                return;
            }
            state.events.push_back(event);
        }
        self.shared.changed.notify_all();
        self.start();
    }

    /// How many records were dropped so far.
    #[cfg(test)]
    pub fn dropped(&self) -> u64 {
        self.shared.state.lock().dropped
    }

    /// Sends what waits, for at most this long, and ends the thread. Records come too late from now on.
    pub fn close_within(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let thread = self.thread.lock().take();
        let mut state = self.shared.state.lock();
        state.is_closed = true;
        if state.dropped > 0 {
            tracing::warn!("{} traces for {} were dropped", state.dropped, self.shared.topic);
        }
        self.shared.changed.notify_all();
        let Some(thread) = thread else { return };
        while !state.is_done {
            if self.shared.changed.wait_until(&mut state, deadline).timed_out() {
                tracing::warn!("traces are left unsent: {} wait", state.events.len());
                state.events.clear();
                return;
            }
        }
        drop(state);
        if thread.join().is_err() {
            tracing::error!("the thread that sends traces ended with a panic");
        }
    }

    fn start(&self) {
        let mut thread = self.thread.lock();
        if thread.is_some() || self.shared.state.lock().is_closed {
            return;
        }
        let shared = self.shared.clone();
        match std::thread::Builder::new().name("fmq-trace".into()).spawn(move || shared.run()) {
            Ok(started) => *thread = Some(started),
            Err(error) => tracing::warn!("no thread for traces: {error}"),
        }
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        self.shared.state.lock().is_closed = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn run(&self) {
        let mut failed = false;
        while let Some(events) = self.next() {
            for message in messages(&self.topic, &events) {
                if let Err(error) = (self.send)(&message) {
                    if !std::mem::replace(&mut failed, true) {
                        tracing::warn!("traces are lost, this and later ones: {error}");
                    }
                }
            }
        }
        self.state.lock().is_done = true;
        self.changed.notify_all();
    }

    /// What waits, once something does; `None` when closed and empty.
    fn next(&self) -> Option<Vec<TraceEvent>> {
        let mut state = self.state.lock();
        while state.events.is_empty() {
            if state.is_closed {
                return None;
            }
            self.changed.wait(&mut state);
        }
        let until = Instant::now() + GATHER;
        while state.events.len() < TOGETHER && !state.is_closed {
            if self.changed.wait_until(&mut state, until).timed_out() {
                break;
            }
        }
        let count = state.events.len().min(TOGETHER);
        Some(state.events.drain(..count).collect())
    }
}

/// The messages that carry the records, with the ids and keys that they are found by.
fn messages(topic: &str, events: &[TraceEvent]) -> Vec<Message> {
    let mut messages = Vec::new();
    let (mut body, mut keys, mut keys_bytes) = (String::new(), BTreeSet::new(), 0);
    for (number, event) in events.iter().enumerate() {
        event.encode_into(&mut body);
        for key in event.index_keys() {
            // A message with more keys than that would not be taken; its records are found by the first ones.
            if keys_bytes + key.len() < KEYS_BYTES && keys.insert(key) {
                keys_bytes += key.len() + 1;
            }
        }
        let is_last = number + 1 == events.len();
        if is_last || body.len() >= MESSAGE_BYTES || keys_bytes >= KEYS_BYTES / 2 {
            let mut message = Message::new(topic, std::mem::take(&mut body));
            let keys: Vec<&str> = std::mem::take(&mut keys).into_iter().collect();
            message.properties.insert(property::KEYS, keys.join(" "));
            messages.push(message);
            keys_bytes = 0;
        }
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::super::trace::decode;
    use super::*;
    use crate::{Error, ErrorKind};
    use std::sync::mpsc;

    const LONG: Duration = Duration::from_secs(30);

    fn event(id: usize, keys: &str) -> TraceEvent {
        TraceEvent::Consuming {
            time: 1,
            region: "r".into(),
            group: "g".into(),
            request_id: "R".into(),
            message_id: format!("M{id}"),
            retries: 0,
            keys: Some(keys.into()),
        }
    }

    #[test]
    fn what_is_recorded_is_sent_before_the_end() {
        let sent = Arc::new(Mutex::new(Vec::new()));
        let tracer = Tracer::new("TRACES", {
            let sent = sent.clone();
            move |message: &Message| {
                sent.lock().push(message.clone());
                Ok(())
            }
        });
        let events: Vec<TraceEvent> = (0..250).map(|id| event(id, "k")).collect();
        events.iter().cloned().for_each(|event| tracer.record(event));
        tracer.close_within(LONG);
        tracer.record(event(999, ""));
        let sent = sent.lock();
        assert!(sent.len() >= 3, "at most 100 records together");
        let read: Vec<TraceEvent> = sent.iter().flat_map(|message| decode(&message.body).unwrap()).collect();
        assert_eq!(read, events);
        assert!(sent.iter().all(|message| message.topic == "TRACES"));
        let keys: BTreeSet<&str> =
            sent.iter().flat_map(|message| message.properties.get("KEYS").unwrap().split(' ')).collect();
        assert_eq!(keys.len(), 251);
    }

    #[test]
    fn when_nothing_can_be_sent_records_are_dropped_and_nobody_waits() {
        let (go_on, wait) = mpsc::channel::<()>();
        let wait = Mutex::new(wait);
        let tracer = Tracer::new("TRACES", move |_: &Message| {
            // An error: the test has ended.
            let _ = wait.lock().recv();
            Err(Error::new(ErrorKind::Timeout, "send", "never"))
        });
        for id in 0..5_000 {
            tracer.record(event(id, ""));
        }
        assert!(tracer.dropped() >= 5_000 - (WAITING + 2 * TOGETHER) as u64, "{}", tracer.dropped());
        tracer.close_within(Duration::from_millis(1));
        drop(go_on);
    }

    #[test]
    fn large_records_and_many_keys_make_more_messages() {
        let large: Vec<TraceEvent> = (0..5).map(|id| event(id, &"k".repeat(60_000))).collect();
        let made = messages("T", &large);
        assert_eq!(made.len(), 3);
        assert!(made.iter().all(|message| message.properties.get("KEYS").unwrap().len() < KEYS_BYTES));
        let many: Vec<TraceEvent> = (0..100).map(|id| event(id, &format!("{id:0300}"))).collect();
        let made = messages("T", &many);
        assert!(made.len() > 1);
        assert!(made.iter().all(|message| message.properties.get("KEYS").unwrap().len() < KEYS_BYTES));
        let read: Vec<TraceEvent> = made.iter().flat_map(|message| decode(&message.body).unwrap()).collect();
        assert_eq!(read, many);
        assert!(messages("T", &[]).is_empty());
    }
}
