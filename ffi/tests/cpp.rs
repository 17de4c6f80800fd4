//! The header for C++: its test programs, compiled strictly by each compiler and standard, and run.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::{count, crate_dir, libraries, lines_of, run};

/// What every program must compile with.
const STRICT: &[&str] = &["-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion", "-Wshadow=local"];

/// The compilers that are there, each with a standard; one at least has to be.
fn compilers() -> Vec<(&'static str, &'static str)> {
    let there =
        |name: &str| Command::new(name).arg("--version").output().is_ok_and(|out| out.status.success());
    let found: Vec<_> = [("g++", "17"), ("clang++", "17"), ("g++", "20")]
        .into_iter()
        .filter(|(name, _)| there(name))
        .collect();
    match found.is_empty() {
        true => vec![("c++", "17")],
        false => found,
    }
}

/// Compiles a program of one file; returns where it is.
fn compile((compiler, standard): (&str, &str), source: &Path, dir: &Path) -> PathBuf {
    let lib = libraries(dir);
    let include = crate_dir().join("../include");
    let name = source.file_stem().expect("a name").to_string_lossy();
    let program = dir.join(format!("{name}-{compiler}-{standard}"));
    let mut command = Command::new(compiler);
    let warnings = STRICT.iter().filter(|flag| compiler != "clang++" || **flag != "-Wshadow=local");
    command
        .arg(format!("-std=c++{standard}"))
        .args(warnings)
        .arg("-I")
        .arg(include)
        .arg(source)
        .arg("-o")
        .arg(&program);
    command.arg("-L").arg(&lib).arg("-lferromq").arg(format!("-Wl,-rpath,{}", lib.display()));
    // Two examples need SQLite, which scripts/install-languages.sh installs.
    if matches!(&*name, "idempotent" | "dedup") {
        command.arg("-lsqlite3");
    }
    let output = command.arg("-pthread").output().expect("the compiler runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    program
}

fn source(name: &str) -> PathBuf {
    crate_dir().join("tests/cpp").join(format!("{name}.cpp"))
}

#[test]
fn basics() {
    let dir = tempfile::tempdir().expect("a directory");
    for compiler in compilers() {
        assert_eq!(run(&compile(compiler, &source("basics"), dir.path()), &[]), "ok\n");
    }
}

/// The scenario list at each place: embedded, over TCP to a server of our own, and at a cluster if one is named.
#[test]
fn scenarios() {
    let dir = tempfile::tempdir().expect("a directory");
    let cluster = std::env::var("FERROMQ_SCENARIO_ADDR").ok();
    let program = compile(compilers()[0], &source("scenarios"), dir.path());
    for place in ["embedded", "tcp"].into_iter().chain(cluster.as_deref()) {
        let directory = dir.path().join(place.replace(':', "-"));
        std::fs::create_dir_all(&directory).expect("a directory");
        assert_eq!(run(&program, &[place, directory.to_str().expect("a path")]), "ok\n", "{place}");
    }
}

#[test]
fn the_scenarios_compile_with_every_compiler() {
    let dir = tempfile::tempdir().expect("a directory");
    for compiler in compilers().into_iter().skip(1) {
        compile(compiler, &source("scenarios"), dir.path());
    }
}

/// Compiles a program of `examples/cpp`.
fn example(name: &str, dir: &Path) -> PathBuf {
    let source = crate_dir().join("../examples/cpp").join(format!("{name}.cpp"));
    // Each compiler gets its share.
    let compilers = compilers();
    compile(compilers[name.len() % compilers.len()], &source, dir)
}

fn run_example(name: &str) -> Vec<String> {
    let dir = tempfile::tempdir().expect("a directory");
    lines_of(&example(name, dir.path()), &[], &[("EXPECTED_MS", "1000")])
}

#[test]
fn example_quickstart() {
    let lines = run_example("quickstart");
    assert_eq!(
        (count(&lines, "sent: SEND_OK msgId="), count(&lines, "received: hello ")),
        (10, 10),
        "{lines:?}"
    );
}

#[test]
fn example_quickstart_producer_and_consumer() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let data = data.to_str().expect("a path");
    let sent = lines_of(&example("quickstart_producer", dir.path()), &[data], &[("PRODUCER_GROUP", "other")]);
    assert_eq!(count(&sent, "result of the send: SEND_OK"), 10_001);
    let counted = lines_of(&example("consumer", dir.path()), &[data], &[]);
    assert_eq!(counted.last().map(String::as_str), Some("counted: 10001"));
}

#[test]
fn example_producer() {
    let lines = run_example("producer");
    assert_eq!((count(&lines, "sync: SEND_OK"), count(&lines, "async: SEND_OK")), (2, 3));
    assert_eq!(count(&lines, "oneway: 100 log lines"), 1);
}

#[test]
fn example_ordered_and_transaction() {
    assert_eq!(count(&run_example("ordered"), "a step of order "), 400);
    let lines = run_example("transaction");
    for line in ["the cart of order 1 is cleared", "the cart of order 3 with a slow answer is cleared"] {
        assert!(lines.iter().any(|one| one == line), "{lines:?}");
    }
    assert_eq!(count(&lines, "the cart of order 2"), 0);
}

#[test]
fn example_delay_and_order_timeout() {
    assert_eq!(count(&run_example("delay"), "message "), 100);
    let lines = run_example("order_timeout");
    assert_eq!(
        lines.last().map(String::as_str),
        Some("8 pieces, orders A: cancelled B: paid C: cancelled D: paid")
    );
}

#[test]
fn example_filters() {
    let mut tags = run_example("filter_tag");
    tags.sort();
    assert_eq!(tags, ["tag TAGA", "tag TAGB", "tag TAGC"]);
    let mut values = run_example("filter_sql");
    values.sort();
    assert_eq!(values, ["a = 0", "a = 1", "a = 2", "a = 3"]);
}

#[test]
fn example_retry_and_no_retry() {
    let mut lines = run_example("retry");
    lines.sort();
    let expected =
        ["1 of \"answer later\"", "1 of \"exception\"", "2 of \"answer later\"", "2 of \"exception\""];
    assert_eq!(lines, expected.map(|line| format!("delivery {line}")));
    let dir = tempfile::tempdir().expect("a directory");
    support::fails_without_retries(&example("no_retry", dir.path()), dir.path());
}

#[test]
fn example_idempotent_dedup_and_flags() {
    let lines = run_example("idempotent");
    let expected = "money 900, orders 1, stock 49, task done, t1 150, points 30, duplicates 24";
    assert_eq!(lines.last().map(String::as_str), Some(expected));
    let dir = tempfile::tempdir().expect("a directory");
    support::kill_between_steps(&example("dedup", dir.path()), dir.path());
    let program = example("flag_ttl", dir.path());
    assert_eq!(lines_of(&program, &[], &[]).last().map(String::as_str), Some("worked 3 times"));
    assert_eq!(
        lines_of(&program, &[], &[("KEEP_MS", "0")]).last().map(String::as_str),
        Some("worked 6 times")
    );
}

#[test]
fn example_groups() {
    let lines = run_example("broadcast");
    let of = |member: usize| (0..5).map(move |number| format!("member {member}: reload {number}"));
    assert_eq!(lines, of(0).chain(of(1)).collect::<Vec<_>>());
    let lines = run_example("points");
    for line in ["activity got 3 deliveries", "coupons got 3 deliveries", "points got 6 deliveries"] {
        assert!(lines.iter().any(|one| one == line), "{lines:?}");
    }
}

#[test]
fn example_pull_and_embed_and_serve() {
    assert!(run_example("pull").iter().all(|line| line.ends_with("the queue ends at 100")));
    let lines = run_example("embed_and_serve");
    assert_eq!(lines.last().map(String::as_str), Some("received: over the network"));
}

#[test]
fn an_example_that_cannot_do_its_work_says_why() {
    let dir = tempfile::tempdir().expect("a directory");
    let output = Command::new(example("quickstart", dir.path())).arg("nowhere:0").output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nowhere:0"));
}

/// Snowflakes of four threads on two nodes; how many are different, and the most of one node in a millisecond.
const SNOWFLAKES: &str = r#"
#include <iostream>
#include <map>
#include <set>
#include <thread>
#include <vector>
#include "../examples/cpp/snowflake.hpp"

int main() {
    snowflakes nodes[2] = {snowflakes(1), snowflakes(2)};
    std::vector<std::uint64_t> made[4];
    std::vector<std::thread> threads;
    for (int at = 0; at < 4; ++at) {
        threads.emplace_back([&, at] {
            for (int number = 0; number < 50'000; ++number) made[at].push_back(nodes[at % 2].next_id());
        });
    }
    for (auto &one : threads) one.join();
    std::set<std::uint64_t> all;
    std::map<std::uint64_t, int> of_a_millisecond;
    int most = 0;
    for (const auto &ids : made) {
        for (const auto id : ids) {
            all.insert(id);
            most = std::max(most, ++of_a_millisecond[id >> 12]);
        }
    }
    std::cout << all.size() << ' ' << most << '\n';
}
"#;

#[test]
fn snowflakes_are_unique_over_threads_and_nodes_and_4096_a_millisecond() {
    let dir = tempfile::tempdir().expect("a directory");
    let source = dir.path().join("snowflakes.cpp");
    std::fs::write(&source, SNOWFLAKES).expect("the program");
    let printed = run(&compile(compilers()[0], &source, dir.path()), &[]);
    let (different, most) = printed.trim().split_once(' ').expect("two numbers");
    // How many a busy machine makes in a millisecond is its own affair.
    assert!(different == "200000" && most.parse::<u32>().expect("a number") <= 4096, "{printed}");
}

/// What C++ has in other ways: names of kinds are an enum's, batches are ranges, queues are values.
const NOT_WRAPPED: [&str; 7] = [
    "fmq_error_name",
    "fmq_message_property_at",
    "fmq_batch_add_body",
    "fmq_batch_count",
    "fmq_batch_clear",
    "fmq_queue_equals",
    "fmq_queue_clone",
];

#[test]
fn all_that_c_can_do_cpp_can() {
    let header = std::fs::read_to_string(crate_dir().join("../include/ferromq.hpp")).expect("the header");
    let uses = |symbol: &str| {
        header.match_indices(symbol).any(|(at, _)| {
            let next = header[at + symbol.len()..].chars().next();
            !next.is_some_and(|next| next.is_alphanumeric() || next == '_')
        })
    };
    let symbols = std::fs::read_to_string(crate_dir().join("symbols.txt")).expect("symbols.txt");
    let symbols = symbols.lines().filter(|line| !line.starts_with('#'));
    let missing: Vec<&str> = symbols.filter(|symbol| uses(symbol) == NOT_WRAPPED.contains(symbol)).collect();
    assert!(
        missing.is_empty(),
        "not in ferromq.hpp, or in it though NOT_WRAPPED says otherwise: {missing:?}"
    );
}
