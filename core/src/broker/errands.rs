//! What may wait for the disk or take long, and therefore has no place on an event loop: a thread does it, in the order in
//! which it came. A broker has two: one for what operators ask, and one that saves the tables of topics and groups, once for
//! all changes that came meanwhile, so that a first send does not wait for the former.
//!
//! Apache's names: the admin processor's executor; ConfigManager.persist, which it calls on the handler's thread.

use std::collections::VecDeque;
use std::panic::{catch_unwind, AssertUnwindSafe};

use super::Broker;
use crate::sync::{Condvar, Mutex};

/// Why a table is not saved; nothing if it is.
pub(crate) type Saved = Result<(), String>;

type Errand = Box<dyn FnOnce(&Broker, &Saved) + Send>;

/// The work that waits. Each piece answers a parked request, and connections bound how many of those there are.
#[derive(Default)]
pub(crate) struct Errands {
    waiting: Mutex<Waiting>,
    more: Condvar,
}

#[derive(Default)]
struct Waiting {
    errands: VecDeque<Errand>,
    /// A table changed since the thread last looked.
    save: bool,
    /// The thread runs; otherwise who brings work does it.
    running: bool,
}

impl Errands {
    /// Runs `errand` apart from the caller.
    pub fn run_apart(&self, broker: &Broker, errand: impl FnOnce(&Broker) + Send + 'static) {
        self.add(broker, false, Some(Box::new(move |broker, _| errand(broker))));
    }

    /// A table changed and is to be saved soon.
    pub fn save(&self, broker: &Broker) {
        self.add(broker, true, None);
    }

    /// Calls `then` once everything that changed before this call is saved, or could not be.
    pub fn when_saved(&self, broker: &Broker, then: impl FnOnce(&Saved) + Send + 'static) {
        self.add(broker, true, Some(Box::new(move |_, saved| then(saved))));
    }

    fn add(&self, broker: &Broker, save: bool, errand: Option<Errand>) {
        let mut waiting = self.waiting.lock();
        if waiting.running {
            waiting.save |= save;
            waiting.errands.extend(errand);
            drop(waiting);
            self.more.notify_one();
            return;
        }
        drop(waiting);
        let saved = if save { broker.save_tables() } else { Ok(()) };
        if let Some(errand) = errand {
            errand(broker, &saved);
        }
    }

    /// From here on there is a thread: [`run`].
    pub fn begin(&self) {
        self.waiting.lock().running = true;
    }

    /// The broker is stopping: the thread does what waits and ends.
    pub fn wake(&self) {
        let _waiting = self.waiting.lock();
        self.more.notify_one();
    }
}

/// Body of the thread: works until the broker stops and nothing waits.
pub(crate) fn run(broker: &Broker, this: &Errands) {
    loop {
        let (errands, save) = {
            let mut waiting = this.waiting.lock();
            while waiting.errands.is_empty() && !waiting.save {
                if broker.is_stopping() {
                    waiting.running = false;
                    return;
                }
                this.more.wait(&mut waiting);
            }
            (std::mem::take(&mut waiting.errands), std::mem::take(&mut waiting.save))
        };
        let saved = if save { broker.save_tables() } else { Ok(()) };
        for errand in errands {
            // What panicked was reported by the panic hook, and its ticket; the others go on.
            let _panicked = catch_unwind(AssertUnwindSafe(|| errand(broker, &saved)));
        }
    }
}
