//! What operators have removed: topics and files whose time is over (215, 306, 316, 329). All of it works on files and
//! runs apart from the event loops.

use crate::wire::{self, Response, ResponseCode};

use super::handler::{refused, Answer, Caller};
use super::{names, offsets, state, waiters, Broker};

/// DELETE_TOPIC_IN_BROKER (215): the topic, its queues and the offsets of groups in it. Its messages stay in the
/// commit log until that is cleaned.
pub(crate) fn delete_topic(
    broker: &Broker,
    caller: &Caller<'_>,
    request: &wire::DeleteTopicInBroker<'_>,
) -> Answer {
    let topic = request.topic.to_string();
    if topic.trim().is_empty() {
        return refused(ResponseCode::INVALID_PARAMETER, "The specified topic is blank.").into();
    }
    if is_the_systems(broker, &topic) {
        let remark = format!("The topic[{topic}] is conflict with system topic.");
        return refused(ResponseCode::INVALID_PARAMETER, remark).into();
    }
    let from = caller.remote();
    Answer::apart(broker, move |broker| {
        tracing::info!(%from, topic, "topic deleted");
        match remove(broker, &topic) {
            Ok(()) => Answer::from(offsets::once_kept(broker, Response::ok())).once_saved(broker),
            Err(error) => refused(ResponseCode::SYSTEM_ERROR, error.to_string()).into(),
        }
    })
}

/// Whether a topic is one of those that every broker has, or that this one makes for itself at its start.
fn is_the_systems(broker: &Broker, topic: &str) -> bool {
    names::is_system_topic(topic)
        || state::system_topics(&broker.config()).iter().any(|own| own.topic_name == topic)
}

fn remove(broker: &Broker, topic: &str) -> crate::Result<()> {
    broker.topics.while_doomed(topic, || {
        // Configuration first: from here on sends and pulls are refused, so that nothing is stored behind our back.
        let queues = broker.topics.find(topic).map_or(0, |there| there.read_queue_nums);
        broker.topics.remove(broker, topic);
        broker.offsets.begin_anew(topic, &consuming(broker, topic), queues);
        broker.groups.forget_topic(topic);
        // Offsets before queues: after a crash in between, what is left of the queues is no reason to believe them.
        broker.topics.save()?;
        broker.offsets.save(broker.clock.now_ms())?;
        broker.store.delete_topic(topic)
    })?;
    waiters::topic_deleted(broker, topic);
    Ok(())
}

/// Groups with members that may be somewhere in a topic.
fn consuming(broker: &Broker, topic: &str) -> Vec<String> {
    let mut groups = broker.clients.subscribers(topic);
    let seen = broker.offsets.groups_of(topic);
    groups.extend(seen.into_iter().filter(|group| !broker.clients.members(group).is_empty()));
    groups.sort_unstable();
    groups.dedup();
    groups
}

/// CLEAN_UNUSED_TOPIC (316): the queues of topics that are in no table.
pub(crate) fn unused_topics(broker: &Broker, caller: &Caller<'_>) -> Answer {
    let from = caller.remote();
    tracing::info!(%from, "unused topics are removed");
    Answer::apart(broker, |broker| {
        let is_light = |topic: &str| topic.starts_with(names::LIGHT_PREFIX);
        let topics = broker.store.topics().into_iter();
        for topic in topics.filter(|topic| !is_light(topic) && !is_the_systems(broker, topic)) {
            // Looked up when no send makes it any more.
            let removed = broker.topics.while_doomed(&topic, || match broker.topics.find(&topic) {
                Some(_) => Ok(false),
                None => broker.store.delete_topic(&topic).map(|()| true),
            });
            match removed {
                Ok(false) => {}
                Ok(true) => {
                    broker.offsets.remove_topic(&topic);
                    tracing::info!(topic, "queues of an unused topic removed");
                }
                Err(error) => return refused(ResponseCode::SYSTEM_ERROR, error.to_string()),
            }
        }
        Response::ok()
    })
}

/// CLEAN_EXPIRED_CONSUMEQUEUE (306): files of queues whose messages are gone. A queue goes on counting where it was:
/// beginning anew at 0 would put new messages before the offsets of groups.
pub(crate) fn expired_queues(broker: &Broker, caller: &Caller<'_>) -> Answer {
    let from = caller.remote();
    tracing::info!(%from, "expired queue files are removed");
    Answer::apart(broker, |broker| {
        broker.store.remove_expired_queue_files();
        Response::ok()
    })
}

/// DELETE_EXPIRED_COMMITLOG (329): expired files of the commit log, whatever the hour.
pub(crate) fn expired_log(broker: &Broker, caller: &Caller<'_>) -> Answer {
    let from = caller.remote();
    tracing::info!(%from, "expired commit-log files are removed");
    Answer::apart(broker, |broker| {
        broker.store.delete_expired_files();
        Response::ok()
    })
}
