//! What a broker does by the clock: one thread, a table of tasks.

use super::{clients, waiters, Broker};

struct Task {
    every_ms: fn(&Broker) -> i64,
    run: fn(&Broker),
}

const TASKS: &[Task] = &[
    Task { every_ms: |_| 1_000, run: waiters::sweep },
    Task { every_ms: |_| 1_000, run: |broker| broker.registration.release_overdue(broker.clock.now_ms()) },
    Task { every_ms: |_| 10_000, run: clients::expire },
    Task { every_ms: |_| 10_000, run: Broker::save_filters },
    Task {
        every_ms: |_| 10_000,
        run: |broker| broker.locks.expire(broker.clock.now_ms(), broker.config().lock_max_live_time),
    },
    Task { every_ms: |_| 10_000, run: sample },
    Task {
        every_ms: |broker| broker.config().flush_consumer_offset_interval,
        // Why it could not be is in the log; the next round tries again.
        run: |broker| drop(broker.offsets.save(broker.clock.now_ms())),
    },
    Task {
        every_ms: |broker| broker.config().flush_delay_offset_interval,
        run: |broker| broker.delay.save(broker),
    },
];

fn sample(broker: &Broker) {
    let now = broker.clock.now_ms();
    broker.stats.sample(now);
    broker.topics.sample(now);
    broker.groups.sample(now);
}

/// Body of the thread: runs each task in its rhythm until the broker stops.
pub(crate) fn run(broker: &Broker) {
    let now = broker.clock.now_ms();
    let mut due: Vec<i64> = TASKS.iter().map(|task| now + (task.every_ms)(broker).max(1)).collect();
    while !broker.is_stopping() {
        let next = due.iter().copied().min().unwrap_or(i64::MAX);
        if !broker.clock.wait_until(next, || broker.is_stopping()) {
            continue;
        }
        let now = broker.clock.now_ms();
        for (task, due) in TASKS.iter().zip(&mut due) {
            if *due <= now {
                (task.run)(broker);
                *due = broker.clock.now_ms() + (task.every_ms)(broker).max(1);
            }
        }
    }
}
