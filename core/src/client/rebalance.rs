//! Which member of a group consumes which queues (protocol reference, section 5.3).

use crate::wire::body::MessageQueue;

/// The share of the member `me` of all `queues`: members in the order of their ids get contiguous blocks, and the
/// first ones get one queue more each until all are given. Every member computes the same. Empty if `me` is no member.
#[doc(alias = "AllocateMessageQueueAveragely")]
pub(super) fn share(queues: &[MessageQueue], members: &[String], me: &str) -> Vec<MessageQueue> {
    let mut queues: Vec<&MessageQueue> = queues.iter().collect();
    queues.sort();
    let mut members: Vec<&str> = members.iter().map(String::as_str).collect();
    members.sort_unstable();
    members.dedup();
    let Some(index) = members.iter().position(|member| *member == me) else { return Vec::new() };
    let (least, more) = (queues.len() / members.len(), queues.len() % members.len());
    let start = index * least + index.min(more);
    let count = least + usize::from(index < more);
    queues[start..start + count].iter().map(|queue| (*queue).clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn queues(count: i32) -> Vec<MessageQueue> {
        let queue = |queue_id| MessageQueue { topic: "T".into(), broker_name: "b".into(), queue_id };
        (0..count).rev().map(queue).collect()
    }

    fn ids(queues: Vec<MessageQueue>) -> Vec<i32> {
        queues.iter().map(|queue| queue.queue_id).collect()
    }

    #[test]
    fn eight_queues_for_three() {
        let members = ["c", "a", "b"].map(String::from);
        assert_eq!(ids(share(&queues(8), &members, "a")), [0, 1, 2]);
        assert_eq!(ids(share(&queues(8), &members, "b")), [3, 4, 5]);
        assert_eq!(ids(share(&queues(8), &members, "c")), [6, 7]);
        assert!(share(&queues(8), &members, "stranger").is_empty());
    }

    proptest! {
        #[test]
        fn every_queue_has_one_owner(count in 0..40, members in 1usize..20) {
            let members: Vec<String> = (0..members).map(|member| format!("10.0.0.{member}@1")).collect();
            let mut given: Vec<i32> =
                members.iter().flat_map(|me| ids(share(&queues(count), &members, me))).collect();
            let shares: Vec<usize> = members.iter().map(|me| share(&queues(count), &members, me).len()).collect();
            given.sort_unstable();
            prop_assert_eq!(given, (0..count).collect::<Vec<_>>());
            prop_assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1);
        }
    }
}
