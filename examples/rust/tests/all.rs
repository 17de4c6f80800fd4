//! Every example is run: most on a server in memory whose delay levels are short, the one about crashes as a process.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use ferromq::{Instance, OpenOptions};
use ferromq_examples as examples;
use ferromq_examples::snowflake::Snowflakes;

/// A server in memory with levels of a second, which asks for decisions that are missing every second.
fn server() -> Instance {
    let mut options = OpenOptions::memory();
    options.broker.set("transactionCheckInterval", "1000").unwrap();
    options.broker.set("messageDelayLevel", &["1s"; 18].join(" ")).unwrap();
    ferromq::open_with(options).unwrap()
}

#[test]
fn quickstart() {
    let mut bodies = examples::quickstart::run(&server()).unwrap();
    bodies.sort();
    assert_eq!(bodies, (0..10).map(|number| format!("hello {number}")).collect::<Vec<_>>());
}

#[test]
fn quickstart_producer_sends_10001_messages_and_a_consumer_counts_them() {
    let mq = server();
    assert_eq!(examples::quickstart_producer::run(&mq).unwrap(), 10_001);
    let stored: i64 =
        mq.queues("topic_example_java").unwrap().iter().map(|queue| mq.max_offset(queue).unwrap()).sum();
    assert_eq!(stored, 10_001);
    assert_eq!(examples::consumer::run(&mq).unwrap(), 10_001);
    mq.close().unwrap();
}

#[test]
fn producer_sends_three_ways() {
    let counts = examples::producer::run(&server()).unwrap();
    assert_eq!(counts, examples::producer::Counts { sync: 2, asynchronous: 3, oneway: 100 });
}

#[test]
fn retry_delivers_again_after_later_and_after_a_panic() {
    let mut deliveries = examples::retry::run(&server()).unwrap();
    deliveries.sort();
    let expected = [("answer later", 0), ("answer later", 1), ("panic", 0), ("panic", 1)];
    assert_eq!(deliveries, expected.map(|(body, times)| (body.to_owned(), times)));
}

#[test]
fn no_retry_leaves_the_retry_topic_empty() {
    let mq = server();
    assert_eq!(examples::no_retry::run(&mq).unwrap(), 5);
    let retry = format!("%RETRY%{}", examples::no_retry::GROUP);
    for queue in mq.queues(&retry).unwrap_or_default() {
        assert_eq!(mq.max_offset(&queue).unwrap(), 0);
    }
}

#[test]
fn idempotent_work_is_done_once_in_five_deliveries() {
    let outcome = examples::idempotent::run(&server()).unwrap();
    let expected = examples::idempotent::Outcome {
        money: 900,
        orders: 1,
        stock: 49,
        tasks_done: 1,
        t1_money: 150,
        points: 30,
        duplicates: 6 * (examples::idempotent::COPIES - 1),
    };
    assert_eq!(outcome, expected);
}

#[test]
fn snowflakes_are_unique_over_threads_and_nodes_and_4096_a_millisecond() {
    let nodes = [Snowflakes::new(1), Snowflakes::new(2)];
    let mut all: Vec<u64> = std::thread::scope(|scope| {
        let make = |node: usize| {
            let nodes = &nodes;
            scope.spawn(move || (0..50_000).map(|_| nodes[node].next_id()).collect::<Vec<_>>())
        };
        let threads: Vec<_> = [0, 0, 1, 1].into_iter().map(make).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let mut a_millisecond: BTreeMap<(u64, u64), usize> = BTreeMap::new();
    for id in &all {
        *a_millisecond.entry((id >> 22, (id >> 12) & 1023)).or_default() += 1;
    }
    assert!(a_millisecond.values().all(|made| *made <= 4096), "{a_millisecond:?}");
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 200_000);
}

#[test]
fn dedup_counts_every_message_once() {
    let sum = examples::dedup::run(&server(), ":memory:", Duration::ZERO).unwrap();
    assert_eq!(sum, (0..examples::dedup::MESSAGES as i64).sum::<i64>());
}

#[test]
fn dedup_killed_between_its_steps_neither_doubles_nor_drops() {
    let dir = tempfile::tempdir().unwrap();
    let database = dir.path().join("dedup.sqlite");
    // With pauses that leave something to do for the next run, however late this one is killed.
    let start = |pause: &str| {
        Command::new(env!("CARGO_BIN_EXE_ferromq-examples"))
            .arg("dedup")
            .arg(dir.path().join("data"))
            .env("DEDUP_DATABASE", &database)
            .env("DEDUP_PAUSE_MS", pause)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    // Killed after the first line that says so, in every step of the work.
    for step in ["begin", "worked", "marked", "done", "worked"] {
        let mut process = start("100");
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let found = lines.map_while(Result::ok).any(|line| line.starts_with(step));
        assert!(found, "it ended before {step:?}");
        process.kill().unwrap();
        process.wait().unwrap();
    }
    let output = start("0").wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let database = rusqlite::Connection::open(&database).unwrap();
    let number = |sql: &str| database.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let count = examples::dedup::MESSAGES as i64;
    assert_eq!(number("select count(*) from result"), count);
    assert_eq!(number("select count(distinct message_key) from result"), count);
    assert_eq!(number("select sum(amount) from result"), (0..count).sum::<i64>());
}

#[test]
fn a_flag_is_known_until_its_time_is_over() {
    assert_eq!(examples::flag_ttl::run(&server(), Duration::from_secs(72 * 3600)).unwrap(), 3);
    // Forgotten at once, it does not keep the second delivery away.
    assert_eq!(examples::flag_ttl::run(&server(), Duration::ZERO).unwrap(), 6);
}

#[test]
fn filter_tag_gets_three_of_four_tags() {
    assert_eq!(examples::filter_tag::run(&server()).unwrap(), ["TAGA", "TAGB", "TAGC"]);
}

#[test]
fn filter_sql_gets_what_the_expression_says() {
    assert_eq!(examples::filter_sql::run(&server()).unwrap(), ["0", "1", "2", "3"]);
}

#[test]
fn delayed_messages_come_in_time_and_none_early() {
    assert_eq!(examples::delay::run(&server(), Duration::from_secs(1)).unwrap().len(), 100);
}

#[test]
fn orders_are_consumed_step_by_step() {
    assert_eq!(examples::ordered::run(&server()).unwrap(), 400);
}

#[test]
fn orders_that_are_not_paid_in_time_are_cancelled() {
    assert_eq!(examples::order_timeout::run(&server()).unwrap(), 8);
}

#[test]
fn carts_are_cleared_if_and_only_if_the_order_was_committed() {
    let cleared = examples::transaction::run(&server()).unwrap();
    assert_eq!(cleared, ["order 1", "order 3 with a slow answer"].map(String::from).into());
}

#[test]
fn a_failure_of_one_group_is_retried_for_it_alone() {
    let deliveries = examples::points::run(&server()).unwrap();
    assert_eq!(deliveries, [("points", 6), ("activity", 3), ("coupons", 3)].into());
}

#[test]
fn every_member_gets_what_is_broadcast() {
    let deliveries = examples::broadcast::run(None).unwrap();
    let of = |member: usize| (0..5).map(move |number| (member, format!("reload {number}")));
    assert_eq!(deliveries, of(0).chain(of(1)).collect::<Vec<_>>());
}

#[test]
fn pull_reads_a_queue_to_its_end_in_order() {
    let bodies = examples::pull::run(&server()).unwrap();
    assert_eq!(bodies, (0..100).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[test]
fn log_records_come_as_messages_whose_tag_is_their_level() {
    let mut lines = examples::logappender::run(&server()).unwrap();
    // Sends that nobody waits for may overtake each other.
    lines.sort();
    let target = "ferromq_examples::logappender";
    let expected = [
        format!("ERROR {target}: sold out stock=0"),
        format!("WARN {target}: paid twice order=7 customer=\"ann\""),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn others_join_a_server_that_listens() {
    assert_eq!(examples::embed_and_serve::run(None).unwrap(), "over the network");
}

#[test]
fn a_name_that_is_none_is_told_the_names() {
    let output = Command::new(env!("CARGO_BIN_EXE_ferromq-examples")).arg("nonsense").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("quickstart_producer"));
}

#[test]
fn an_example_runs_as_a_process_with_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let run = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ferromq-examples"));
        command.arg("pull").arg(dir.path().join("data")).output().unwrap()
    };
    let output = run();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("the queue ends at 100"), "{text}");
    // The second run finds what the first one left.
    assert!(String::from_utf8_lossy(&run().stdout).contains("the queue ends at 200"));
}
