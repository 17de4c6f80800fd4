//! Apache's own Java client as the load: what its users would notice of a change of the broker.

use crate::machine;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The program, which Java compiles when it starts it.
const PROGRAM: &str = "src/Load.java";

/// The client, not yet running.
pub struct Client {
    home: PathBuf,
}

/// What a run of it found.
#[derive(Debug, PartialEq)]
pub struct Found {
    /// Messages sent or consumed in the measured time.
    pub messages: f64,
    /// A second.
    pub rate: f64,
    /// Seconds of processor time that the client took for them.
    pub cpu: f64,
    /// Sends that failed or were not answered SEND_OK.
    pub errors: f64,
    /// Messages in all, also of the warm-up.
    pub all: f64,
}

impl Client {
    /// One whose logs go below `dir`.
    pub fn new(dir: &Path) -> Result<Self, String> {
        let home = dir.join("java");
        std::fs::create_dir_all(&home).map_err(|e| format!("{}: {e}", home.display()))?;
        Ok(Client { home })
    }

    /// Sends of 64 threads, each waiting for its answer.
    pub fn send(
        &self,
        namesrv: u16,
        topic: &str,
        warm_up: Duration,
        time: Duration,
    ) -> Result<Found, String> {
        let (warm_up, time) = (warm_up.as_millis().to_string(), time.as_millis().to_string());
        self.run(&["send", &format!("127.0.0.1:{namesrv}"), topic, &warm_up, &time])
    }

    /// A push consumer of a new group, until it has got `count` messages.
    pub fn drain(&self, namesrv: u16, topic: &str, count: u64) -> Result<Found, String> {
        self.run(&["drain", &format!("127.0.0.1:{namesrv}"), topic, &count.to_string()])
    }

    fn run(&self, args: &[&str]) -> Result<Found, String> {
        let apache = project();
        let mut command = Command::new(machine::java());
        command.arg(format!("-Duser.home={}", self.home.display())).args(["-Xms512m", "-Xmx512m", "-cp"]);
        command.arg(apache.join("target/dependency/*")).arg(apache.join(PROGRAM)).args(args);
        let output = command.stdin(Stdio::null()).output().map_err(|e| format!("start java: {e}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        found(&text).ok_or_else(|| {
            let said = String::from_utf8_lossy(&output.stderr);
            format!("the Java client: {}: {text}{}", output.status, said.lines().next().unwrap_or_default())
        })
    }
}

/// `bench/apache`, of the sources that this program was built from.
pub fn project() -> PathBuf {
    let home = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    home.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into()).join("apache")
}

/// Reads the line `found MESSAGES SECONDS PROCESSOR-SECONDS ERRORS ALL-MESSAGES`.
fn found(text: &str) -> Option<Found> {
    let line = text.lines().find_map(|line| line.strip_prefix("found "))?;
    let numbers: Vec<f64> = line.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    let [messages, seconds, cpu, errors, all] = numbers[..] else { return None };
    let found = Found { messages, rate: messages / seconds, cpu, errors, all };
    (messages > 0.0 && seconds > 0.0).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_the_client_is_read() {
        let text = "SLF4J says something\nfound 1000 0.5 2.25 3 1600\n";
        let want = Found { messages: 1000.0, rate: 2000.0, cpu: 2.25, errors: 3.0, all: 1600.0 };
        assert_eq!(found(text), Some(want));
        for text in ["", "found 0 1 1 0 1", "found 1 0 1 0 1", "found 1 1 1", "1000 0.5 2 0 1000"] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
