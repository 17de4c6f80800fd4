//! The header for C++: its test programs, compiled strictly by each compiler and standard, and run.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::{crate_dir, libraries, run};

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
    let name = source.file_stem().expect("a name").to_string_lossy();
    let program = dir.join(format!("{name}-{compiler}-{standard}"));
    let mut command = Command::new(compiler);
    let warnings = STRICT.iter().filter(|flag| compiler != "clang++" || **flag != "-Wshadow=local");
    command.arg(format!("-std=c++{standard}")).args(warnings).arg("-g").arg("-I");
    command.arg(crate_dir().join("../include")).arg(source).arg("-o").arg(&program);
    command.arg("-L").arg(&lib).arg("-lferromq").arg(format!("-Wl,-rpath,{}", lib.display()));
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
