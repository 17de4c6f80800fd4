//! What the tests that kill servers share.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A `ferromq server` of its own on free ports.
pub struct Server {
    child: Child,
    /// Of the broker.
    pub port: u16,
}

fn command(dir: &Path, conf: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ferromq"));
    command.args(["server", "--namesrv-port", "0", "--broker-port", "0", "--data"]).arg(dir);
    command.arg("-c").arg(conf).stderr(Stdio::null());
    command
}

impl Server {
    /// Starts one on `dir` with the settings in `conf`, and waits until it is ready.
    #[allow(dead_code, reason = "for most of the tests that share this")]
    pub fn start(dir: &Path, conf: &Path) -> Server {
        Server::ready(command(dir, conf))
    }

    /// As [`Server::start`], with what it logs in a file.
    #[allow(dead_code, reason = "for one of the tests that share this")]
    pub fn start_with_log(dir: &Path, conf: &Path, log: &Path) -> Server {
        let mut command = command(dir, conf);
        command.stderr(std::fs::File::create(log).expect("a file for the log"));
        Server::ready(command)
    }

    /// As [`Server::start`], by a program that takes the server's command as its last arguments and becomes it.
    #[allow(dead_code, reason = "for one of the tests that share this")]
    pub fn start_by(mut program: Command, dir: &Path, conf: &Path) -> Server {
        let server = command(dir, conf);
        program.arg(server.get_program()).args(server.get_args()).stderr(Stdio::null());
        Server::ready(program)
    }

    fn ready(mut command: Command) -> Server {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the server starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).expect("the ready line");
        let port = line.trim().rsplit(':').next().and_then(|port| port.parse().ok());
        Server { child, port: port.unwrap_or_else(|| panic!("no port in {line:?}")) }
    }

    /// Of the process.
    #[allow(dead_code, reason = "for one of the tests that share this")]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Starts one on `dir` and kills it some ms later, ready or not.
    #[allow(dead_code, reason = "for one of the tests that share this")]
    pub fn kill_while_starting(dir: &Path, conf: &Path, after_ms: u64) {
        let mut child = command(dir, conf).stdout(Stdio::null()).spawn().expect("the server starts");
        std::thread::sleep(std::time::Duration::from_millis(after_ms));
        child.kill().expect("kill -9");
        child.wait().expect("the end");
    }

    /// SIGTERM; it has to end well.
    #[allow(dead_code, reason = "for some of the tests that share this")]
    pub fn terminate(mut self) {
        let signal = Command::new("kill").arg(self.child.id().to_string()).status();
        assert!(signal.expect("kill runs").success(), "the server is there");
        let status = self.child.wait().expect("the end");
        assert!(status.success(), "{status}");
    }

    /// kill -9.
    #[allow(dead_code, reason = "for some of the tests that share this")]
    pub fn kill(mut self) {
        self.child.kill().expect("kill -9");
        self.child.wait().expect("the end");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
