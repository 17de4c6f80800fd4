//! What may wait for the disk or take long, and therefore has no place on an event loop: a thread does it, in the order in
//! which it came. A broker has four: one for what operators ask, one for look-ups that clients make too, one for backups, which
//! may take minutes, and one that saves the tables of topics and groups, once for all changes that came meanwhile, so that a
//! first send does not wait for the others.
//!
//! Apache's names: the admin processor's executor; ConfigManager.persist, which it calls on the handler's thread.

use std::collections::VecDeque;
use std::panic::{catch_unwind, AssertUnwindSafe};

use super::Broker;
use crate::sync::{Condvar, Mutex};

/// Why a table is not saved; nothing if it is.
pub(crate) type Saved = Result<(), String>;

type Errand = Box<dyn FnOnce(&Broker, &Saved) + Send>;

/// The work that waits. Each piece answers a parked request; how many may wait is up to who brings them.
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
    thread: Thread,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Thread {
    /// Not yet: who brings work does it.
    #[default]
    ToCome,
    Runs,
    /// The broker stopped: it saves its tables once more by itself, and nobody else does.
    Ended,
}

impl Errands {
    /// Runs `errand` apart from the caller.
    pub fn run_apart(&self, broker: &Broker, errand: impl FnOnce(&Broker) + Send + 'static) {
        self.add(broker, false, Some(Box::new(move |broker, _| errand(broker))));
    }

    /// Pieces of work that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.lock().errands.len()
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
        let thread = waiting.thread;
        if thread == Thread::Runs {
            waiting.save |= save;
            waiting.errands.extend(errand);
            drop(waiting);
            self.more.notify_one();
            return;
        }
        drop(waiting);
        let saved = match thread {
            Thread::Ended => Err("the broker is stopping".to_owned()),
            _ if save => saved_tables(broker),
            _ => Ok(()),
        };
        if let Some(errand) = errand {
            errand(broker, &saved);
        }
    }

    /// From here on there is a thread: [`run`].
    pub fn begin(&self) {
        self.waiting.lock().thread = Thread::Runs;
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
                    waiting.thread = Thread::Ended;
                    return;
                }
                this.more.wait(&mut waiting);
            }
            (std::mem::take(&mut waiting.errands), std::mem::take(&mut waiting.save))
        };
        let saved = if save { saved_tables(broker) } else { Ok(()) };
        for errand in errands {
            // What panicked was reported by the panic hook; the others go on.
            let _panicked = catch_unwind(AssertUnwindSafe(|| errand(broker, &saved)));
        }
    }
}

fn saved_tables(broker: &Broker) -> Saved {
    catch_unwind(AssertUnwindSafe(|| broker.save_tables()))
        .unwrap_or_else(|_panic| Err("the broker failed to save its tables; its log says where".to_owned()))
}

#[cfg(test)]
mod tests {
    use std::sync::{mpsc, Arc};
    use std::time::Duration;

    use super::super::handler::Answer;
    use super::*;
    use crate::clock::Clock;
    use crate::config::BrokerConfig;
    use crate::net::{Call, Client, ClientOptions, Connection, Loops, Service};
    use crate::wire::{Request, Response, ResponseCode};

    const TIMEOUT: Duration = Duration::from_secs(30);

    /// Answers every request by an errand that panics.
    struct Clumsy(Arc<Broker>);

    impl Service for Clumsy {
        fn handle(&self, call: Call<'_>) {
            let answer = Answer::apart(&self.0, |_| -> Response { panic!("on purpose") });
            let Answer::Later(park) = answer else { panic!("not apart") };
            park(call.park());
        }

        fn drained(&self, _: &Arc<Connection>) {}

        fn closed(&self, _: &Arc<Connection>) {}
    }

    #[test]
    fn an_errand_that_panics_is_answered_and_so_are_those_after_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let config = BrokerConfig { store_path_root_dir: dir.path().into(), ..BrokerConfig::default() };
        let broker = Broker::open(config, Clock::new()).unwrap();
        let client = Client::new(&Loops::new(1), ClientOptions::default(), broker.clone());
        broker.start(10911, client.clone()).unwrap();
        client.attach("127.0.0.1:1", Arc::new(Clumsy(broker.clone())));
        client.attach("127.0.0.1:2", broker.clone());
        let failed = client.call("127.0.0.1:1", &Request::CleanUnusedTopic, TIMEOUT).unwrap();
        assert_eq!(failed.code(), ResponseCode::SYSTEM_ERROR);
        assert!(failed.remark().contains("failed at this request"), "{}", failed.remark());
        // The thread goes on.
        let clean = || client.call("127.0.0.1:2", &Request::CleanUnusedTopic, TIMEOUT).unwrap();
        assert_eq!(clean().code(), ResponseCode::SUCCESS);
        // One that takes long, and many behind it.
        let (begun, begins) = mpsc::channel();
        let (go_on, goes_on) = mpsc::channel::<()>();
        broker.errands.run_apart(&broker, move |_| {
            begun.send(()).unwrap();
            let _waited = goes_on.recv_timeout(TIMEOUT);
        });
        begins.recv_timeout(TIMEOUT).unwrap();
        (0..10_000).for_each(|_| broker.errands.run_apart(&broker, |_| {}));
        assert_eq!(clean().code(), ResponseCode::SYSTEM_BUSY);
        let look_up = client.call("127.0.0.1:2", &Request::GetBrokerRuntimeInfo, TIMEOUT).unwrap();
        assert_eq!(look_up.code(), ResponseCode::SUCCESS, "look-ups do not wait for it");
        go_on.send(()).unwrap();
        broker.stop();
        assert_eq!(clean().code(), ResponseCode::SERVICE_NOT_AVAILABLE);
        broker.saving.when_saved(&broker, |saved| assert!(saved.is_err()));
        broker.close().unwrap();
    }
}
