//! Names with a meaning of their own, and which names are allowed. Reference: protocol.md 2.4 and 13.

/// Prefix of a group's retry topic.
pub const RETRY_PREFIX: &str = "%RETRY%";
/// Prefix of a group's dead-letter topic.
pub const DEAD_LETTER_PREFIX: &str = "%DLQ%";
/// Delayed messages wait here, level n in queue n - 1.
pub const SCHEDULE_TOPIC: &str = "SCHEDULE_TOPIC_XXXX";
/// Template of topics that a send creates.
pub const AUTO_CREATE_TOPIC: &str = "TBW102";
/// Half messages of transactions.
pub const HALF_TOPIC: &str = "RMQ_SYS_TRANS_HALF_TOPIC";
/// Marks of decided half messages.
pub const OP_HALF_TOPIC: &str = "RMQ_SYS_TRANS_OP_HALF_TOPIC";
/// Half messages whose producers never decided.
pub const GIVEN_UP_TOPIC: &str = "TRANS_CHECK_MAX_TIME_TOPIC";
/// Its offsets say how far half messages and marks are done with.
pub const TRANSACTION_GROUP: &str = "CID_RMQ_SYS_TRANS";

/// Whether a group's offsets are the broker's own progress, which nobody else moves: pending transactions behind it would
/// be forgotten.
pub(crate) fn is_own_progress(group: &str) -> bool {
    group == TRANSACTION_GROUP
}

/// Why its offsets are not moved from outside.
pub(crate) fn own_progress(group: &str) -> String {
    format!(
        "the offsets of group {group} are the broker's own progress in its transactions: they cannot be set"
    )
}

/// Topics that every broker has or may have, and that clients neither create nor delete.
pub const SYSTEM_TOPICS: &[&str] = &[
    AUTO_CREATE_TOPIC,
    SCHEDULE_TOPIC,
    "BenchmarkTest",
    HALF_TOPIC,
    "RMQ_SYS_TRACE_TOPIC",
    OP_HALF_TOPIC,
    GIVEN_UP_TOPIC,
    "SELF_TEST_TOPIC",
    "OFFSET_MOVED_EVENT",
];

/// System topics that clients may not send to.
const FORBIDDEN_TO_SEND: &[&str] =
    &[SCHEDULE_TOPIC, HALF_TOPIC, OP_HALF_TOPIC, GIVEN_UP_TOPIC, "SELF_TEST_TOPIC", "OFFSET_MOVED_EVENT"];

/// Prefix of light queues, whose topics stand in no table.
pub const LIGHT_PREFIX: &str = "%LMQ%";
/// Prefix of system topics of 5.x.
const SYSTEM_PREFIX: &str = "rmq_sys_";

/// Longest topic name; retry and dead-letter topics may have [`MAX_LONG_TOPIC`].
const MAX_TOPIC: usize = 127;
/// Longest name that a record of version 2 holds.
const MAX_LONG_TOPIC: usize = 255;
/// Longest group name.
const MAX_GROUP: usize = 255;

/// Whether a topic is one of the system's own.
pub fn is_system_topic(topic: &str) -> bool {
    SYSTEM_TOPICS.contains(&topic) || topic.starts_with(SYSTEM_PREFIX)
}

/// Whether clients may not send to a topic.
pub fn is_forbidden_to_send(topic: &str) -> bool {
    FORBIDDEN_TO_SEND.contains(&topic)
}

/// Whether a topic is a group's retry topic.
pub fn is_retry(topic: &str) -> bool {
    topic.starts_with(RETRY_PREFIX)
}

/// Whether a topic is a group's dead-letter topic.
pub fn is_dead_letter(topic: &str) -> bool {
    topic.starts_with(DEAD_LETTER_PREFIX)
}

/// Says what is wrong with a topic name, if anything is.
pub fn check_topic(topic: &str) -> Result<(), String> {
    let limit = if is_retry(topic) || is_dead_letter(topic) { MAX_LONG_TOPIC } else { MAX_TOPIC };
    check("topic", topic, limit)
}

/// Says what is wrong with a group name, if anything is.
pub fn check_group(group: &str) -> Result<(), String> {
    check("group", group, MAX_GROUP)
}

fn check(what: &str, name: &str, limit: usize) -> Result<(), String> {
    if name.is_empty() {
        return Err(format!("the specified {what} is blank"));
    }
    if name.len() > limit {
        let length = name.len();
        return Err(format!("the specified {what} is longer than {limit} characters: it has {length}"));
    }
    if let Some(bad) = name.chars().find(|c| !(c.is_ascii_alphanumeric() || "%|_-".contains(*c))) {
        return Err(format!(
            "The specified {what} contains illegal characters ({bad:?} in {name:?}), allowing only ^[%|a-zA-Z0-9_-]+$"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_with_the_reason() {
        assert!(check_topic("Topic-A_1|x%").is_ok());
        assert!(check_topic("").unwrap_err().contains("blank"));
        assert!(check_topic("a/../b").unwrap_err().contains("'/'"));
        assert!(check_topic(&"t".repeat(127)).is_ok());
        assert!(check_topic(&"t".repeat(300)).unwrap_err().contains("127"));
        assert!(check_topic(&format!("%RETRY%{}", "g".repeat(200))).is_ok());
        assert!(check_topic("%RETRY%a/b").is_err());
        assert!(check_group(&"g".repeat(256)).is_err());
    }
}
