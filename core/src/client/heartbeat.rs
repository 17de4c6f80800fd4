//! Telling brokers who is here, and who leaves (protocol reference, section 2.1).

use std::sync::mpsc;

use super::cluster::{succeeded, Cluster};
use crate::wire::body::{HeartbeatData, ProducerData};
use crate::wire::{HeartBeat, Request, UnregisterClient};

impl Cluster {
    /// Tells all brokers at once, and waits for their answers or the time limit of calls.
    pub(super) fn send_heartbeats(&self) {
        let _in_order = self.introducing.lock();
        let producers = self.producers.groups();
        let consumers: Vec<_> = self.consumers().iter().filter_map(|consumer| consumer.describe()).collect();
        if producers.is_empty() && consumers.is_empty() {
            return;
        }
        // Consumers may read from slaves, producers only know masters.
        let addresses = self.broker_addresses(!consumers.is_empty());
        let body = HeartbeatData {
            client_id: self.client_id().into(),
            producer_data_set: producers.into_iter().map(|group_name| ProducerData { group_name }).collect(),
            consumer_data_set: consumers,
            ..HeartbeatData::default()
        };
        let request = Request::HeartBeat(HeartBeat { body });
        let (told, answers) = mpsc::channel();
        for address in &addresses {
            let (told, at) = (told.clone(), address.clone());
            let done = move |result| {
                // Nobody listens any more only if this end of the channel panicked.
                let _ = told.send((at, result));
            };
            self.net().call_async(address, &request, self.options().mq_client_api_timeout, Box::new(done));
        }
        drop(told);
        for (address, result) in answers {
            if let Err(error) = result.and_then(|reply| succeeded("heartbeat", reply)) {
                tracing::warn!("the broker at {address} was not told that this client lives: {error}");
            }
        }
    }

    /// Tells all brokers that this client leaves a group, of which it is no member any more; without waiting for their
    /// answers, for they notice it later anyway.
    pub(super) fn leave_group(&self, producer: Option<&str>, consumer: Option<&str>) {
        // A heartbeat that still has the group, and came after this, would make the client a member again.
        let _in_order = self.introducing.lock();
        let request = Request::UnregisterClient(UnregisterClient {
            client_id: self.client_id().into(),
            producer_group: producer.map(Into::into),
            consumer_group: consumer.map(Into::into),
        });
        for address in self.broker_addresses(consumer.is_some()) {
            if let Err(error) = self.net().oneway(&address, &request) {
                tracing::debug!("the broker at {address} was not told that this client leaves: {error}");
            }
        }
    }
}
