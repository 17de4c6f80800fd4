//! The producer's calls.

use std::net::SocketAddr;
use std::sync::Arc;

use ferromq::{Message, Properties, Result, SendOptions, Sent, StoredMessage};
use napi::bindgen_prelude::{BufferSlice, Uint32ArraySlice};
use napi_derive::napi;

use crate::error::{guard, invalid};
use crate::message::{pack, pack_sent, queues_json};
use crate::options::{batch, limit, message, pairs, send_options};
use crate::reports::{Payload, Shared};

/// Sends messages; `lib/producer.cjs` has what programs see of it.
#[napi]
pub struct Producer {
    producer: Arc<ferromq::Producer>,
    /// Whether a send is over when its call returns, and nothing is gained by telling of it later.
    is_swift: bool,
    reports: Arc<Shared>,
}

fn sent(sent: Sent) -> Result<Payload> {
    Ok(Payload::text(pack_sent(&sent)))
}

fn prepare(
    topic: String,
    body: &[u8],
    extras: Option<String>,
    to: Option<String>,
) -> Result<(Message, SendOptions)> {
    Ok((message(topic, body.to_vec(), extras.as_deref())?, send_options(to.as_deref())?))
}

/// A request as far as its reply needs it.
fn request(topic: String, properties: &str) -> Result<StoredMessage> {
    let mut request = StoredMessage {
        topic: topic.into(),
        body: Default::default(),
        flag: 0,
        properties: Properties::new(),
        broker_name: Default::default(),
        queue_id: 0,
        queue_offset: 0,
        physical_offset: 0,
        offset_id: String::new(),
        sys_flag: 0,
        born_timestamp: 0,
        born_host: SocketAddr::from(([0, 0, 0, 0], 0)),
        store_timestamp: 0,
        reconsume_times: 0,
    };
    for (name, value) in pairs(properties)? {
        request.properties.insert(name, value);
    }
    Ok(request)
}

#[napi]
impl Producer {
    pub(crate) fn of(producer: ferromq::Producer, is_swift: bool, reports: Arc<Shared>) -> Producer {
        Producer { producer: Arc::new(producer), is_swift, reports }
    }

    /// The group.
    #[napi(getter)]
    pub fn group(&self) -> String {
        self.producer.group().to_owned()
    }

    /// Sends a message. The packed result if that is there at once, else it is reported under `id`.
    #[napi]
    pub fn send(
        &self,
        id: u32,
        topic: String,
        body: BufferSlice<'_>,
        extras: Option<String>,
        to: Option<String>,
    ) -> napi::Result<Option<String>> {
        guard("send", || {
            let (message, options) = prepare(topic, &body, extras, to)?;
            if self.is_swift {
                return Ok(Some(pack_sent(&self.producer.send_with(&message, &options)?)));
            }
            let future = self.producer.send_async_with(&message, &options);
            let (_, end) = self.reports.wait_for(id, future, sent);
            end.transpose().map(|payload| payload.and_then(|payload| payload.text))
        })
    }

    /// Sends a message and waits for the result, which is packed.
    #[napi]
    pub fn send_sync(
        &self,
        topic: String,
        body: BufferSlice<'_>,
        extras: Option<String>,
        to: Option<String>,
    ) -> napi::Result<String> {
        guard("send", || {
            let (message, options) = prepare(topic, &body, extras, to)?;
            Ok(pack_sent(&self.producer.send_with(&message, &options)?))
        })
    }

    /// Sends a message without asking for an answer.
    #[napi]
    pub fn send_oneway(
        &self,
        topic: String,
        body: BufferSlice<'_>,
        extras: Option<String>,
        to: Option<String>,
    ) -> napi::Result<()> {
        guard("send", || {
            let (message, options) = prepare(topic, &body, extras, to)?;
            self.producer.send_oneway_with(&message, &options)
        })
    }

    /// Sends messages together, whose bodies stand side by side with the length of each. The packed result if that is there
    /// at once, else it is reported under `id`.
    #[napi]
    pub fn send_batch(
        &self,
        id: u32,
        topic: String,
        bodies: BufferSlice<'_>,
        lengths: Uint32ArraySlice<'_>,
        extras: Option<String>,
        to: Option<String>,
    ) -> napi::Result<Option<String>> {
        guard("send batch", || {
            let messages = batch(&topic, bodies.to_vec(), &lengths, extras.as_deref())?;
            let options = send_options(to.as_deref())?;
            if self.is_swift {
                return Ok(Some(pack_sent(&self.producer.send_batch_with(&messages, &options)?)));
            }
            let promised = self.reports.promise(id, "send batch");
            self.producer.send_batch_callback(&messages, &options, move |result| {
                promised.end(result.and_then(sent));
            });
            Ok(None)
        })
    }

    /// As `sendBatch`, waiting for the result.
    #[napi]
    pub fn send_batch_sync(
        &self,
        topic: String,
        bodies: BufferSlice<'_>,
        lengths: Uint32ArraySlice<'_>,
        extras: Option<String>,
        to: Option<String>,
    ) -> napi::Result<String> {
        guard("send batch", || {
            let messages = batch(&topic, bodies.to_vec(), &lengths, extras.as_deref())?;
            Ok(pack_sent(&self.producer.send_batch_with(&messages, &send_options(to.as_deref())?)?))
        })
    }

    /// Sends a question and reports the packed reply.
    #[napi]
    pub fn request(
        &self,
        id: u32,
        topic: String,
        body: BufferSlice<'_>,
        extras: Option<String>,
        timeout: f64,
    ) -> napi::Result<()> {
        guard("request", || {
            let message = message(topic, body.to_vec(), extras.as_deref())?;
            let promised = self.reports.promise(id, "request");
            self.producer.request_callback(&message, limit(timeout), move |result| {
                promised.end(result.map(|reply| pack(std::slice::from_ref(&reply))));
            });
            Ok(())
        })
    }

    /// Sends the reply to a request, whose properties are a JSON list of pairs. The packed result if that is there at
    /// once, else it is reported under `id`.
    #[napi]
    pub fn reply(
        &self,
        id: u32,
        topic: String,
        properties: String,
        body: BufferSlice<'_>,
    ) -> napi::Result<Option<String>> {
        guard("reply", || {
            let reply = Message::reply_to(&request(topic, &properties)?, body.to_vec())?;
            let (_, end) = self.reports.wait_for(id, self.producer.send_async(&reply), sent);
            end.transpose().map(|payload| payload.and_then(|payload| payload.text))
        })
    }

    /// Reports the queues of a topic.
    #[napi]
    pub fn queues(&self, id: u32, topic: String) -> napi::Result<()> {
        let producer = self.producer.clone();
        guard("queues", || {
            self.reports.run(id, "queues", move || producer.queues(&topic).map(|queues| queues_json(&queues)))
        })
    }

    /// The queues of a topic whose route is known: without waiting.
    #[napi]
    pub fn queues_sync(&self, topic: String) -> napi::Result<String> {
        guard("queues", || {
            let queues = queues_json(&self.producer.queues(&topic)?);
            queues.text.ok_or_else(|| invalid("queues", "there are none"))
        })
    }

    /// Ends it, within a number of ms if one is given; reported.
    #[napi]
    pub fn close(&self, id: u32, within: Option<f64>, ask: Option<u32>) -> napi::Result<()> {
        let producer = self.producer.clone();
        let close = move || {
            match within {
                Some(ms) => producer.close_within(limit(ms))?,
                None => producer.close()?,
            }
            Ok(Payload::default())
        };
        guard("close", || self.reports.run_within(ask, id, "close", close))
    }
}
