//! The `ferromq` command as its users see it: lines, exit codes, signals, and what it says when something is wrong.

mod bad_input;
mod bench;
mod lifecycle;
mod log;
mod pipes;
mod tls;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};

/// A running `ferromq`, killed when dropped.
struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// The line it printed when it was ready.
    ready: String,
}

/// `ferromq` with an environment that does not depend on who runs the tests.
fn ferromq(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ferromq"));
    command.args(args).env_remove("NAMESRV_ADDR").env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// Starts it and waits for its line.
fn start(mut command: Command) -> Running {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut ready = String::new();
    stdout.read_line(&mut ready).unwrap();
    if ready.is_empty() {
        let output = child.wait_with_output().unwrap();
        panic!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Running { child, stdout, ready }
}

impl Running {
    /// The ports in its line.
    fn ports(&self) -> Vec<u16> {
        self.ready.split([' ', ',']).filter_map(|word| word.trim().rsplit_once(':')?.1.parse().ok()).collect()
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Sends a signal and waits for the end; what it wrote to stdout after its line, and to stderr.
    fn end_by(mut self, signal: &str) -> (ExitStatus, String, String) {
        self.signal(signal);
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        self.stdout.read_to_string(&mut stdout).unwrap();
        (self.child.wait().unwrap(), stdout, stderr)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already ended in most tests.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// Runs it to its end; exit code, stdout and stderr.
fn run(mut command: Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}
