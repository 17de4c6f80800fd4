//! Compiles C programs against the header and the built libraries, and runs them.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What every program must compile with.
pub const STRICT: &[&str] =
    &["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion", "-D_GNU_SOURCE"];

/// Longest time a program may take before it counts as hanging, s.
const HANG: &str = "600";

pub fn crate_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The directory of the libraries that this test was built with.
pub fn built() -> PathBuf {
    let test = std::env::current_exe().expect("this program");
    test.parent().expect("its directory").to_owned()
}

/// A directory with the libraries under the names that they are installed with.
pub fn libraries(dir: &Path) -> PathBuf {
    let lib = dir.join("lib");
    std::fs::create_dir_all(&lib).expect("a directory");
    for (from, to) in [
        ("libferromq_ffi.so", "libferromq.so.0"),
        ("libferromq_ffi.so", "libferromq.so"),
        ("libferromq_ffi.a", "libferromq.a"),
    ] {
        let link = lib.join(to);
        if !link.exists() {
            std::os::unix::fs::symlink(built().join(from), link).expect("a link");
        }
    }
    lib
}

/// The C compilers that are there; one at least has to be.
pub fn compilers() -> Vec<&'static str> {
    let there =
        |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|out| out.status.success());
    let found: Vec<&str> = ["gcc", "clang"].into_iter().filter(there).collect();
    match found.is_empty() {
        true => vec!["cc"],
        false => found,
    }
}

/// How a program is linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    Shared,
    Static,
}

/// Compiles a program of `source`; returns where it is.
pub fn compile(compiler: &str, source: &Path, include: &Path, link: Link, dir: &Path) -> PathBuf {
    compile_with(compiler, source, include, link, dir, &[])
}

/// As [`compile`], with further libraries.
pub fn compile_with(
    compiler: &str,
    source: &Path,
    include: &Path,
    link: Link,
    dir: &Path,
    libraries_besides: &[&str],
) -> PathBuf {
    let lib = libraries(dir);
    let name = source.file_stem().expect("a name").to_string_lossy();
    let program = dir.join(format!("{name}-{compiler}-{link:?}"));
    let mut command = Command::new(compiler);
    command.args(STRICT).arg("-g").arg("-I").arg(include).arg(source).arg("-o").arg(&program);
    match link {
        Link::Shared => {
            command.arg("-L").arg(&lib).arg("-lferromq").arg(format!("-Wl,-rpath,{}", lib.display()));
        }
        Link::Static => {
            command.arg(lib.join("libferromq.a")).args(["-lm", "-ldl", "-lgcc_s", "-lc"]);
        }
    }
    let output = command.args(libraries_besides).arg("-pthread").output().expect("the compiler runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    program
}

/// Compiles `tests/c/NAME.c` against the header.
pub fn compile_test(compiler: &str, name: &str, link: Link, dir: &Path) -> PathBuf {
    let source = crate_dir().join("tests/c").join(format!("{name}.c"));
    compile(compiler, &source, &crate_dir().join("../include"), link, dir)
}

/// Runs a program until it ends; it must end well. Returns what it wrote.
pub fn run(program: &Path, arguments: &[&str]) -> String {
    let output = output_of(program, arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program:?} {arguments:?}: {}\n{text}\n{errors}", output.status);
    text
}

fn output_of(program: &Path, arguments: &[&str]) -> Output {
    Command::new("timeout").arg("-k5").arg(HANG).arg(program).args(arguments).output().expect("it runs")
}

/// Delay levels of a second, and questions about transactions every second.
const QUICK: &str =
    "messageDelayLevel=1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s;transactionCheckInterval=1000";

/// A program of the examples, on a server whose times are short unless an argument names another.
pub fn example_command(program: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new("timeout");
    command.args(["-k5", HANG]).arg(program).args(arguments).env("FERROMQ_OPTIONS", QUICK);
    command.env_remove("NAMESRV_ADDR").envs(environment.iter().copied());
    command
}

/// The lines that a program of the examples writes.
pub fn lines_of(program: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Vec<String> {
    let mut command = example_command(program, arguments, environment);
    let output = command.output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{text}\n{errors}", output.status);
    text.lines().map(str::to_owned).collect()
}

/// The example `dedup`, killed in every step of its work: what it is given is in its database once in the end.
pub fn kill_between_steps(program: &Path, dir: &Path) {
    let (data, database) = (dir.join("data"), dir.join("dedup.sqlite"));
    let (data, database) = (data.to_str().expect("a path"), database.to_str().expect("a path"));
    let database = ("DEDUP_DATABASE", database);
    // With pauses that leave something to do for the next run, however late this one is killed.
    let environment = [database, ("DEDUP_PAUSE_MS", "100")];
    for step in ["begin", "worked", "marked", "done", "worked"] {
        // Not by way of timeout: it would be killed, and not the program.
        let mut process = Command::new(program)
            .arg(data)
            .envs(environment)
            .env_remove("NAMESRV_ADDR")
            .stdout(Stdio::piped())
            .spawn()
            .expect("it runs");
        let lines = BufReader::new(process.stdout.take().expect("its output")).lines();
        assert!(lines.map_while(Result::ok).any(|line| line.starts_with(step)), "it ended before {step:?}");
        process.kill().expect("it is killed");
        process.wait().expect("it ends");
    }
    let lines = lines_of(program, &[data], &[database]);
    assert_eq!(lines.last().map(String::as_str), Some("50 messages, sum 1225"));
}

/// The example `no_retry`: its listener fails at each message, and nothing gets into its group's retry topic.
pub fn fails_without_retries(program: &Path, dir: &Path) {
    let data = dir.join("data");
    let lines = lines_of(program, &[data.to_str().expect("a path")], &[]);
    assert_eq!(count(&lines, "\"not a number: "), 5, "{lines:?}");
    let mq = ferromq::open(&data).expect("what it left");
    let messages = |topic: &str| mq.admin().topic(topic).expect("its figures").messages;
    assert_eq!(messages("Hopeless"), 5);
    for topic in mq.admin().all_topics().expect("the topics") {
        assert!(!topic.starts_with("%RETRY%") || messages(&topic) == 0, "{topic}");
    }
    mq.close().expect("it closes");
}

/// How many lines begin with a text.
pub fn count(lines: &[String], begin: &str) -> usize {
    lines.iter().filter(|line| line.starts_with(begin)).count()
}
