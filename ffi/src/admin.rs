//! `fmq_admin`: what operators ask of a cluster. Answers are JSON, the same in all languages.

use std::ffi::c_char;

use ferromq::admin::{to_json, StartAt, TopicSettings};
use ferromq::{Admin, Result};

use crate::error::fmq_error;
use crate::guard::{c_string, from_c, guard, output, text, unusable};
use crate::handle::{object, thing_or_null};
use crate::instance::fmq_instance;
use crate::options::fmq_options;

fn with(instance: *const fmq_instance, body: impl FnOnce(Admin) -> Result<()>) -> *mut fmq_error {
    guard(|| body(object(instance, "instance")?.instance().admin()))
}

fn answer(
    instance: *const fmq_instance,
    json: *mut *mut c_char,
    ask: impl FnOnce(Admin) -> Result<String>,
) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output(json, "json"))?;
        *place = c_string(ask(object(instance, "instance")?.instance().admin())?).into_raw();
        Ok(())
    })
}

/// The topics of users, as an array of names. This text and those below are to be freed with `fmq_string_free`.
#[no_mangle]
pub unsafe extern "C" fn fmq_admin_topics(
    instance: *mut fmq_instance,
    json: *mut *mut c_char,
) -> *mut fmq_error {
    answer(instance, json, |admin| Ok(to_json(&admin.topics()?)))
}

/// All topics, those of the system too, as an array of names.
#[no_mangle]
pub unsafe extern "C" fn fmq_admin_all_topics(
    instance: *mut fmq_instance,
    json: *mut *mut c_char,
) -> *mut fmq_error {
    answer(instance, json, |admin| Ok(to_json(&admin.all_topics()?)))
}

/// A topic with its settings and how much is in it: topic, brokers, queues (brokerName, queueId, minOffset, maxOffset,
/// lastTimestamp), messages.
#[no_mangle]
pub unsafe extern "C" fn fmq_admin_topic(
    instance: *mut fmq_instance,
    topic: *const c_char,
    json: *mut *mut c_char,
) -> *mut fmq_error {
    answer(instance, json, |admin| Ok(to_json(&admin.topic(from_c!(text(topic, "topic"))?)?)))
}

/// Makes a topic on every master, or changes one that is there. Options, NULL for the defaults: readQueueNums and
/// writeQueueNums (1 to 65536, 4), perm (4 read, 2 write, 6 both, the default), order (true or false, the default).
#[no_mangle]
pub unsafe extern "C" fn fmq_admin_create_topic(
    instance: *mut fmq_instance,
    topic: *const c_char,
    options: *const fmq_options,
) -> *mut fmq_error {
    with(instance, |admin| {
        let topic = from_c!(text(topic, "topic"))?;
        let mut settings = TopicSettings::new(4);
        for (key, value) in
            from_c!(thing_or_null(options, "options"))?.into_iter().flat_map(|it| it.borrowed())
        {
            let wrong = || unusable("options", &format!("have {key} = {value:?}, which is not allowed"));
            match key {
                "readQueueNums" => settings.read_queues = value.parse().map_err(|_| wrong())?,
                "writeQueueNums" => settings.write_queues = value.parse().map_err(|_| wrong())?,
                "perm" => settings.perm = value.parse().map_err(|_| wrong())?,
                "order" => settings.order = value.parse().map_err(|_| wrong())?,
                _ => {
                    let known = "readQueueNums, writeQueueNums, perm and order";
                    return Err(unusable("options", &format!("have {key:?}; a topic has {known}")));
                }
            }
        }
        admin.create_topic(topic, &settings)
    })
}

/// Deletes a topic with its messages, at all brokers and name servers.
#[no_mangle]
pub unsafe extern "C" fn fmq_admin_delete_topic(
    instance: *mut fmq_instance,
    topic: *const c_char,
) -> *mut fmq_error {
    with(instance, |admin| admin.delete_topic(from_c!(text(topic, "topic"))?))
}

/// The consumer groups, as an array of names.
#[no_mangle]
pub unsafe extern "C" fn fmq_admin_groups(
    instance: *mut fmq_instance,
    json: *mut *mut c_char,
) -> *mut fmq_error {
    answer(instance, json, |admin| Ok(to_json(&admin.groups()?)))
}

/// How far a group has come: queues (topic, brokerName, queueId, brokerOffset, consumerOffset, lag, lastTimestamp), lag,
/// consumeTps.
#[no_mangle]
pub unsafe extern "C" fn fmq_admin_progress(
    instance: *mut fmq_instance,
    group: *const c_char,
    json: *mut *mut c_char,
) -> *mut fmq_error {
    answer(instance, json, |admin| Ok(to_json(&admin.progress(from_c!(text(group, "group"))?)?)))
}

/// Who consumes as a group: members (clientId, address, language, version), subscriptions, messageModel and more.
#[no_mangle]
pub unsafe extern "C" fn fmq_admin_members(
    instance: *mut fmq_instance,
    group: *const c_char,
    json: *mut *mut c_char,
) -> *mut fmq_error {
    answer(instance, json, |admin| Ok(to_json(&admin.members(from_c!(text(group, "group"))?)?)))
}

/// Places that a group can be moved to, besides a time.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(non_camel_case_types, reason = "names of the header")]
pub enum fmq_start_at {
    /// The first message that each queue still has.
    FMQ_BEGIN = -2,
    /// What is sent from now on.
    FMQ_END = -1,
}

/// Moves a group in a topic, whether its members run or not: to a time, ms since 1970, or one of `fmq_start_at`. The answer
/// is an array of queues (topic, brokerName, queueId, offset).
#[no_mangle]
pub unsafe extern "C" fn fmq_admin_reset_offsets(
    instance: *mut fmq_instance,
    group: *const c_char,
    topic: *const c_char,
    time_ms: i64,
    json: *mut *mut c_char,
) -> *mut fmq_error {
    answer(instance, json, |admin| {
        let (group, topic) = from_c!((text(group, "group")?, text(topic, "topic")?));
        let at = match time_ms {
            0.. => StartAt::Time(time_ms),
            at if at == fmq_start_at::FMQ_BEGIN as i64 => StartAt::Begin,
            at if at == fmq_start_at::FMQ_END as i64 => StartAt::End,
            _ => return Err(unusable("time_ms", &format!("is {time_ms}, which is no time"))),
        };
        Ok(to_json(&admin.reset_offsets(group, topic, at)?))
    })
}

/// Deletes a group with its progress, at all brokers.
#[no_mangle]
pub unsafe extern "C" fn fmq_admin_delete_group(
    instance: *mut fmq_instance,
    group: *const c_char,
) -> *mut fmq_error {
    with(instance, |admin| admin.delete_group(from_c!(text(group, "group"))?))
}

/// How the cluster is: nameServers, brokers (cluster, brokerName, brokerId, address, version, runtime, error).
#[no_mangle]
pub unsafe extern "C" fn fmq_admin_cluster(
    instance: *mut fmq_instance,
    json: *mut *mut c_char,
) -> *mut fmq_error {
    answer(instance, json, |admin| Ok(to_json(&admin.cluster()?)))
}
