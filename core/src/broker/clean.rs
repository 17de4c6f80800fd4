//! What operators have removed: topics and files whose time is over (215, 306, 316, 329). All of it works on files and
//! runs apart from the event loops.

use crate::wire::{self, Response, ResponseCode};

use super::handler::{refused, Answer, Caller};
use super::{names, Broker};

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
    if names::is_system_topic(&topic) {
        let remark = format!("The topic[{topic}] is conflict with system topic.");
        return refused(ResponseCode::INVALID_PARAMETER, remark).into();
    }
    let from = caller.remote();
    tracing::info!(%from, topic, "topic deleted");
    // Configuration first: from here on sends and pulls are refused, so that nothing is stored behind our back.
    broker.topics.remove(broker, &topic);
    broker.offsets.remove_topic(&topic);
    broker.groups.forget_topic(&topic);
    let deleted = Answer::apart(broker, move |broker| match broker.store.delete_topic(&topic) {
        Ok(()) => Response::ok(),
        Err(error) => refused(ResponseCode::SYSTEM_ERROR, error.to_string()),
    });
    deleted.once_saved(broker)
}

/// CLEAN_UNUSED_TOPIC (316): the queues of topics that are in no table.
pub(crate) fn unused_topics(broker: &Broker, caller: &Caller<'_>) -> Answer {
    let from = caller.remote();
    tracing::info!(%from, "unused topics are removed");
    Answer::apart(broker, |broker| {
        let is_unused =
            |topic: &String| broker.topics.find(topic).is_none() && !names::is_system_topic(topic);
        for topic in broker.store.topics().into_iter().filter(is_unused) {
            if let Err(error) = broker.store.delete_topic(&topic) {
                return refused(ResponseCode::SYSTEM_ERROR, error.to_string());
            }
            broker.offsets.remove_topic(&topic);
            tracing::info!(topic, "queues of an unused topic removed");
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
