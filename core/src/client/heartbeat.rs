//! Telling brokers who is here, and who leaves (protocol reference, section 2.1).

use std::sync::{mpsc, Arc};

use super::cluster::{succeeded, Cluster};
use crate::net::Loops;
use crate::sync::MutexGuard;
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
    pub(super) fn leave_group(self: &Arc<Self>, producer: Option<&str>, consumer: Option<&str>) {
        // A heartbeat that still has the group, and came after this, would make the client a member again.
        match self.introducing.try_lock() {
            Some(in_order) => self.tell_leaving(&in_order, producer, consumer),
            None if Loops::is_current() => {
                // Who holds it may wait for answers that this thread is to bring.
                let (cluster, [producer, consumer]) =
                    (self.clone(), [producer, consumer].map(|group| group.map(String::from)));
                self.errands.run(move || {
                    let in_order = cluster.introducing.lock();
                    cluster.tell_leaving(&in_order, producer.as_deref(), consumer.as_deref());
                });
            }
            None => self.tell_leaving(&self.introducing.lock(), producer, consumer),
        }
    }

    fn tell_leaving(&self, _in_order: &MutexGuard<'_, ()>, producer: Option<&str>, consumer: Option<&str>) {
        // Others of the group may have come meanwhile, and been told of.
        let producer = producer.filter(|group| !self.producers.groups().iter().any(|other| other == group));
        let consumer =
            consumer.filter(|group| !self.consumers().iter().any(|one| one.group() == Some(group)));
        if producer.is_none() && consumer.is_none() {
            return;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaving_a_group_on_an_event_loop_does_not_wait_for_answers_that_it_brings() {
        let cluster = Cluster::connect("127.0.0.1:9").unwrap();
        // As while a heartbeat waits for its answers.
        let introducing = cluster.introducing.lock();
        let own = cluster.clone();
        let on_loop = std::thread::spawn(move || {
            Loops::count_in();
            own.leave_group(Some("G"), None);
        });
        on_loop.join().unwrap();
        drop(introducing);
        cluster.close();
    }
}
