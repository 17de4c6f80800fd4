//! The programs of `examples/c`, compiled strictly and run: most on a server in memory whose delay levels are short.

mod support;

use std::path::{Path, PathBuf};

use support::{compile_with, compilers, count, crate_dir, example_command, lines_of, Link};

/// Compiles a program; each compiler gets its share. Two need SQLite, which scripts/install-languages.sh installs.
fn example(name: &str, dir: &Path) -> PathBuf {
    let source = crate_dir().join("../examples/c").join(format!("{name}.c"));
    let compilers = compilers();
    let libraries: &[&str] = if matches!(name, "idempotent" | "dedup") { &["-lsqlite3"] } else { &[] };
    let compiler = compilers[name.len() % compilers.len()];
    compile_with(compiler, &source, &crate_dir().join("../include"), Link::Shared, dir, libraries)
}

fn run_example(name: &str) -> Vec<String> {
    let dir = tempfile::tempdir().expect("a directory");
    lines_of(&example(name, dir.path()), &[], &[("EXPECTED_MS", "1000")])
}

fn last(lines: &[String]) -> &str {
    lines.last().map(String::as_str).unwrap_or_default()
}

#[test]
fn quickstart() {
    let lines = run_example("quickstart");
    let counts = (count(&lines, "sent: SEND_OK msgId="), count(&lines, "received: hello "));
    assert_eq!(counts, (10, 10), "{lines:?}");
}

#[test]
fn quickstart_producer_and_consumer() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let data = data.to_str().expect("a path");
    let sent = lines_of(&example("quickstart_producer", dir.path()), &[data], &[("PRODUCER_GROUP", "other")]);
    assert_eq!(count(&sent, "result of the send: SEND_OK"), 10_001);
    assert_eq!(last(&lines_of(&example("consumer", dir.path()), &[data], &[])), "counted: 10001");
}

#[test]
fn producer() {
    let lines = run_example("producer");
    assert_eq!((count(&lines, "sync: SEND_OK"), count(&lines, "async: SEND_OK")), (2, 3));
    assert_eq!(count(&lines, "oneway: 100 log lines"), 1);
}

#[test]
fn ordered_and_transaction() {
    assert_eq!(count(&run_example("ordered"), "a step of order "), 400);
    let lines = run_example("transaction");
    for line in ["the cart of order 1 is cleared", "the cart of order 3 with a slow answer is cleared"] {
        assert!(lines.iter().any(|one| one == line), "{lines:?}");
    }
    assert_eq!(count(&lines, "the cart of order 2"), 0);
}

#[test]
fn delay_and_order_timeout() {
    assert_eq!(count(&run_example("delay"), "message arrived "), 100);
    let lines = run_example("order_timeout");
    assert_eq!(last(&lines), "8 pieces, orders A: cancelled B: paid C: cancelled D: paid");
}

#[test]
fn filters() {
    let mut tags = run_example("filter_tag");
    tags.sort();
    assert_eq!(tags, ["tag TAGA", "tag TAGB", "tag TAGC"]);
    let mut values = run_example("filter_sql");
    values.sort();
    assert_eq!(values, ["a = 0", "a = 1", "a = 2", "a = 3"]);
}

#[test]
fn retry_and_no_retry() {
    let mut lines = run_example("retry");
    lines.sort();
    let expected = ["1 of \"answer later\"", "1 of \"sooner\"", "2 of \"answer later\"", "2 of \"sooner\""];
    assert_eq!(lines, expected.map(|line| format!("delivery {line}")));
    let dir = tempfile::tempdir().expect("a directory");
    support::fails_without_retries(&example("no_retry", dir.path()), dir.path());
}

#[test]
fn flags() {
    let dir = tempfile::tempdir().expect("a directory");
    let program = example("flag_ttl", dir.path());
    assert_eq!(last(&lines_of(&program, &[], &[])), "worked 3 times");
    assert_eq!(last(&lines_of(&program, &[], &[("KEEP_MS", "0")])), "worked 6 times");
}

#[test]
fn idempotent() {
    let expected = "money 900, orders 1, stock 49, task done, t1 150, points 30, duplicates 24";
    assert_eq!(last(&run_example("idempotent")), expected);
}

#[test]
fn dedup_killed_between_its_steps_neither_doubles_nor_drops() {
    let dir = tempfile::tempdir().expect("a directory");
    support::kill_between_steps(&example("dedup", dir.path()), dir.path());
}

/// Snowflakes of four threads on two nodes; how many are different, and the most of one node in a millisecond.
const SNOWFLAKES: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include "snowflake.h"

enum { THREADS = 4, EACH = 50000 };
static snowflakes nodes[2] = {SNOWFLAKES(1), SNOWFLAKES(2)};
static uint64_t all[THREADS * EACH];

static void *make(void *from) {
  uint64_t *ids = from;
  for (size_t at = 0; at < EACH; at++) {
    ids[at] = next_id(&nodes[(size_t)(ids - all) / EACH % 2]);
  }
  return NULL;
}

static int by_number(const void *left, const void *right) {
  uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
  return (a > b) - (a < b);
}

int main(void) {
  pthread_t threads[THREADS];
  for (size_t at = 0; at < THREADS; at++) {
    pthread_create(&threads[at], NULL, make, all + at * EACH);
  }
  for (size_t at = 0; at < THREADS; at++) {
    pthread_join(threads[at], NULL);
  }
  qsort(all, THREADS * EACH, sizeof all[0], by_number);
  int different = 1, run = 1, most = 1;
  for (size_t at = 1; at < THREADS * EACH; at++) {
    different += all[at] != all[at - 1];
    run = all[at] >> 12 == all[at - 1] >> 12 ? run + 1 : 1;
    most = run > most ? run : most;
  }
  printf("%d %d\n", different, most);
  return 0;
}
"#;

#[test]
fn snowflakes_are_unique_over_threads_and_nodes_and_4096_a_millisecond() {
    let dir = tempfile::tempdir().expect("a directory");
    let source = dir.path().join("snowflakes.c");
    std::fs::write(&source, SNOWFLAKES).expect("the program");
    let include = crate_dir().join("../examples/c");
    let program = compile_with(compilers()[0], &source, &include, Link::Shared, dir.path(), &[]);
    let printed = support::run(&program, &[]);
    let (different, most) = printed.trim().split_once(' ').expect("two numbers");
    // How many a busy machine makes in a millisecond is its own affair.
    assert!(different == "200000" && most.parse::<u32>().expect("a number") <= 4096, "{printed}");
}

#[test]
fn broadcast_and_points() {
    let mut lines = run_example("broadcast");
    lines.sort();
    let of = |member: usize| (0..5).map(move |number| format!("member {member}: reload {number}"));
    assert_eq!(lines, of(0).chain(of(1)).collect::<Vec<_>>());
    let lines = run_example("points");
    for line in ["activity got 3 deliveries", "coupons got 3 deliveries", "points got 6 deliveries"] {
        assert!(lines.iter().any(|one| one == line), "{lines:?}");
    }
}

#[test]
fn pull_and_embed_and_serve() {
    let lines = run_example("pull");
    assert!(lines.iter().all(|line| line.ends_with("the queue ends at 100")), "{lines:?}");
    assert_eq!(count(&lines, "32 messages"), 3);
    assert_eq!(count(&run_example("embed_and_serve"), "received: over the network"), 1);
}

#[test]
fn one_that_cannot_do_its_work_says_why() {
    let dir = tempfile::tempdir().expect("a directory");
    let output =
        example_command(&example("quickstart", dir.path()), &["nowhere:0"], &[]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nowhere:0"));
}

/// What is no program, and what only some languages have: a part of another one (snowflake), their own loggers, asyncio.
const OWN: [&str; 8] =
    ["examples", "common", "lib", "main", "snowflake", "logappender", "logging", "quickstart_asyncio"];

#[test]
fn every_language_has_the_same_programs() {
    let programs = |folder: &str, end: &str| {
        let files = std::fs::read_dir(crate_dir().join("../examples").join(folder)).expect("the folder");
        let names = files.map(|file| file.expect("a file").file_name().to_string_lossy().into_owned());
        let programs = names.filter_map(|name| name.strip_suffix(end).map(str::to_owned));
        programs.filter(|name| !OWN.contains(&name.as_str())).collect::<std::collections::BTreeSet<_>>()
    };
    let c = programs("c", ".c");
    assert!(c.len() >= 19, "{c:?}");
    for (folder, end) in [("cpp", ".cpp"), ("python", ".py"), ("node", ".mjs"), ("rust/src", ".rs")] {
        assert_eq!(programs(folder, end), c, "examples/{folder} beside examples/c");
    }
}
