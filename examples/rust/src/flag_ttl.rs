//! A flag for each business key, in a store that forgets after some time (Redis in many systems, a map here). Cheap, and
//! weaker than a table in the database of the work: work and flag do not appear together, so a crash between them
//! lets the work be done twice. The flag is set only after the work, never before, or a failure would lose the message.

use std::collections::HashMap;
use std::sync::{mpsc, Arc, Mutex};
use std::time::{Duration, Instant};

use ferromq::{Action, Instance, Message};

use crate::{subscribe, Failure, PATIENCE};

/// Keys that are known for some time.
pub struct Flags {
    keep: Duration,
    until: Mutex<HashMap<String, Instant>>,
}

impl Flags {
    /// Flags that last as long as `keep`: longer than the same message can come again, such as 72 h.
    pub fn new(keep: Duration) -> Flags {
        Flags { keep, until: Mutex::default() }
    }

    /// Whether the flag is set and not forgotten.
    pub fn is_set(&self, key: &str) -> bool {
        let until = self.until.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        until.get(key).is_some_and(|until| *until > Instant::now())
    }

    /// Sets the flag, and forgets those whose time has come.
    pub fn set(&self, key: &str) {
        let now = Instant::now();
        let mut until = self.until.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        until.retain(|_, until| *until > now);
        until.insert(key.into(), now + self.keep);
    }
}

/// Sends three messages twice, and returns how often work was done.
pub fn run(mq: &Instance, keep: Duration) -> Result<usize, Failure> {
    mq.create_topic("Flagged", 1)?;
    let producer = mq.producer("flag-producers")?;
    for number in 0..3 {
        let message = Message::new("Flagged", "work").with_key(&format!("KEY_{number}"))?;
        producer.send(&message)?;
        producer.send(&message)?;
    }

    let flags = Arc::new(Flags::new(keep));
    let (seen, arrived) = mpsc::channel();
    // Two deliveries of one key at the same time would both find no flag.
    let one_at_a_time = Mutex::new(());
    let consumer = subscribe(mq, "CID_FLAG", "Flagged", "*", move |message| {
        let _one = one_at_a_time.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let Some(key) = message.keys().next() else { return Action::Commit };
        if flags.is_set(key) {
            println!("{key} is done already");
            // Nobody listens any more when the program is about to end.
            let _ = seen.send(false);
            return Action::Commit;
        }
        match work(key) {
            Ok(()) => {
                flags.set(key);
                let _ = seen.send(true);
                Action::Commit
            }
            Err(error) => {
                eprintln!("{key} comes again: {error}");
                Action::Later
            }
        }
    })?;
    let mut worked = 0;
    for _ in 0..6 {
        worked += usize::from(arrived.recv_timeout(PATIENCE)?);
    }
    consumer.close()?;
    Ok(worked)
}

fn work(key: &str) -> Result<(), Failure> {
    println!("working on {key}");
    Ok(())
}
