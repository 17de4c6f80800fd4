//! The C programs of `tests/c`, compiled strictly and run.

mod support;

use support::{compile_test, compilers, run, Link};

#[test]
fn basics() {
    let dir = tempfile::tempdir().expect("a directory");
    for compiler in compilers() {
        for link in [Link::Shared, Link::Static] {
            assert_eq!(run(&compile_test(compiler, "basics", link, dir.path()), &[]), "ok\n");
        }
    }
}

/// The scenarios that every language plays, in the order of the program.
const SCENARIOS: &str = "send\npull\norder\nfilter\nretry\ntransaction\nrestart\nbroadcasting\ndelay\n";

fn scenarios(at: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    let program = compile_test(compilers()[0], "scenarios", Link::Shared, dir.path());
    assert_eq!(run(&program, &[at]), SCENARIOS);
}

#[test]
fn scenarios_embedded() {
    scenarios("embedded");
}

#[test]
fn scenarios_served() {
    scenarios("served");
}

/// Against the cluster that `FERROMQ_SCENARIO_ADDR` names, if it does.
#[test]
fn scenarios_at_a_cluster() {
    if let Ok(address) = std::env::var("FERROMQ_SCENARIO_ADDR") {
        scenarios(&address);
    }
}

/// Everything ended in every order; then many lives: 10,000, and a server of its own for each, with `FERROMQ_SOAK=1`.
#[test]
fn lifecycle() {
    let dir = tempfile::tempdir().expect("a directory");
    let program = compile_test(compilers()[0], "lifecycle", Link::Shared, dir.path());
    let lives: &[&str] = if std::env::var_os("FERROMQ_SOAK").is_some() { &["10000", "1"] } else { &["200"] };
    let output = run(&program, lives);
    println!("{output}");
    assert!(output.ends_with("ok\n"), "{output}");
}

#[test]
fn in_process() {
    let dir = tempfile::tempdir().expect("a directory");
    for link in [Link::Shared, Link::Static] {
        assert_eq!(run(&compile_test(compilers()[0], "in_process", link, dir.path()), &[]), "ok\n");
    }
}

#[test]
fn features() {
    let dir = tempfile::tempdir().expect("a directory");
    assert_eq!(run(&compile_test(compilers()[0], "features", Link::Shared, dir.path()), &[]), "ok\n");
}

#[test]
fn far() {
    let dir = tempfile::tempdir().expect("a directory");
    let program = compile_test(compilers()[0], "far", Link::Shared, dir.path());
    let store = dir.path().join("store");
    assert_eq!(run(&program, &[store.to_str().expect("UTF-8")]), "ok\n");
}

#[test]
fn forks() {
    let dir = tempfile::tempdir().expect("a directory");
    assert_eq!(run(&compile_test(compilers()[0], "forks", Link::Shared, dir.path()), &[]), "ok\n");
}
