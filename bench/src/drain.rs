//! What more queues do for consumers that work on each message for a while.

use crate::client::{self, Client};
use crate::frame::{Header, SendTemplate};
use crate::record;
use std::thread;
use std::time::{Duration, Instant};

/// A consumer's work on a message: it waits for something else, as for a database.
const WORK: Duration = Duration::from_millis(2);

/// A broker with a backlog.
pub struct Drain {
    pub port: u16,
    pub form: Header,
}

impl Drain {
    /// A consumer a queue, each with work on every message; until all `count` were consumed.
    pub fn consume(&self, topic: &str, queues: u32, count: u64) -> Result<Duration, String> {
        let start = Instant::now();
        let consumed: u64 = self.each(topic, queues, |_, _| {
            thread::sleep(WORK);
            Ok(())
        })?;
        if consumed != count {
            return Err(format!("{topic}: {consumed} of {count} messages consumed"));
        }
        Ok(start.elapsed())
    }

    /// Consumers without work who send what they get on to a topic with more queues.
    pub fn scatter(
        &self,
        from: &str,
        queues: u32,
        to: &str,
        many: u32,
        count: u64,
    ) -> Result<Duration, String> {
        let start = Instant::now();
        let moved = self.each(from, queues, |queue, (client, n)| {
            // The consumers' queues in turn, each mover its own.
            let target = (n * u64::from(queues) + u64::from(queue)) % u64::from(many);
            let template = SendTemplate::new(self.form, to, target as u32, &[0x55; 128], n, client::now_ms());
            let response = client.call(|out, opaque| template.append(out, opaque, n))?;
            client::success(&response)
        })?;
        if moved != count {
            return Err(format!("{from}: {moved} of {count} messages moved"));
        }
        let mut client = Client::connect(self.port, self.form)?;
        (0..many).try_for_each(|queue| client.wait_for(to, queue, count / u64::from(many) - 1))?;
        Ok(start.elapsed())
    }

    /// Pulls each queue on a thread of its own, from its first message to its last; `work` gets each message's number.
    fn each(
        &self,
        topic: &str,
        queues: u32,
        work: impl Fn(u32, (&mut Client, u64)) -> Result<(), String> + Sync,
    ) -> Result<u64, String> {
        let work = &work;
        thread::scope(|scope| {
            let consumers: Vec<_> = (0..queues)
                .map(|queue| {
                    scope.spawn(move || {
                        let mut client = Client::connect(self.port, self.form)?;
                        let mut sender = Client::connect(self.port, self.form)?;
                        let mut offset = 0;
                        loop {
                            let response = client.pull(topic, queue, offset, false)?;
                            if response.code == 19 {
                                return Ok(offset);
                            }
                            client::success(&response)?;
                            let count = record::walk(response.body, |_, _| ())?;
                            for n in offset..offset + count {
                                work(queue, (&mut sender, n))?;
                            }
                            offset += count;
                        }
                    })
                })
                .collect();
            let ends =
                consumers.into_iter().map(|one| one.join().map_err(|_| "a consumer panicked".to_owned())?);
            ends.sum::<Result<u64, String>>()
        })
    }
}
