//! Many messages in batches of a good size.

use super::prepare::size_in_batch;
use super::{Producer, SendOptions, Sent, Shared};
use crate::message::Message;
use crate::{Error, Result};

/// Bodies of batches are made no larger than this, or `maxMessageSize` if that is less: larger ones gain nothing.
const SPLIT_AT: usize = 1 << 20;

impl Producer {
    /// Cuts a list into parts that can be sent as batches: each of at most 1 MiB or `maxMessageSize`, with all that a
    /// message takes in it. A message that is larger by itself is a part of its own.
    #[doc(alias = "ListSplitter")]
    pub fn split<'a>(&'a self, messages: &'a [Message]) -> impl Iterator<Item = &'a [Message]> + 'a {
        let mut rest = messages;
        std::iter::from_fn(move || {
            let (part, others) = rest.split_at(part(&self.shared, rest));
            rest = others;
            (!part.is_empty()).then_some(part)
        })
    }

    /// Sends a list of any length as batches, into one queue, so that all are stored in their order; returns the result
    /// of each batch.
    ///
    /// The first batch that fails ends it, and the error says how many messages were stored before.
    pub fn send_split(&self, messages: &[Message]) -> Result<Vec<Sent>> {
        let mut options = SendOptions::default();
        let (mut results, mut done) = (Vec::new(), 0);
        for part in self.split(messages) {
            let sent = self.send_batch_with(part, &options).map_err(|error| {
                let context = format!("{done} of {} messages were stored before: {error}", messages.len());
                Error::new(error.kind(), "send split", context).with_source(error)
            })?;
            // The queue is only given once something is in it: until then any will do.
            options = options.with_queue(sent.queue.clone());
            results.push(sent);
            done += part.len();
        }
        Ok(results)
    }
}

/// How many of the messages make the first part.
fn part(producer: &Shared, messages: &[Message]) -> usize {
    let limit = SPLIT_AT.min(producer.options.max_message_size);
    let mut size = 0;
    let fitting = messages.iter().take_while(|message| {
        size += size_in_batch(producer, message);
        size <= limit
    });
    fitting.count().max(1).min(messages.len())
}
