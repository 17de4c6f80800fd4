//! This program as its own child: what is measured runs in a fresh process, and can be killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{json, Value};

/// Memory, threads and descriptors of this process.
pub fn usage() -> Value {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mib = |key: &str| {
        let rest = status.split_once(key).map_or("", |(_, rest)| rest).trim_start();
        rest.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
    };
    let files = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let maps = std::fs::read_to_string("/proc/self/maps").map_or(0, |maps| maps.lines().count());
    json!({ "anon_mib": mib("RssAnon:"), "mapped_mib": mib("RssFile:"), "files": files, "mappings": maps })
}

/// Processor time of this thread, and of all others of this process that live, in seconds.
pub fn cpu() -> (f64, f64) {
    let ran = |path: &Path| {
        let text = std::fs::read_to_string(path.join("schedstat")).unwrap_or_default();
        text.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
    };
    let own = ran(Path::new("/proc/thread-self"));
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let all: f64 = threads.map(|thread| ran(&thread.path())).sum();
    (own, (all - own).max(0.0))
}

/// Says a figure to the parent.
pub fn tell(figures: &Value) {
    println!("{figures}");
}

/// A child; killed when dropped.
pub struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    /// Starts this program for one task in `dir`.
    pub fn start(task: &str, dir: &Path, numbers: &[u64]) -> Result<Running, String> {
        let program = std::env::current_exe().map_err(|e| format!("where this program is: {e}"))?;
        let mut command = Command::new(program);
        command.args(["--task", task, "--dir"]).arg(dir).args(numbers.iter().map(u64::to_string));
        let mut child = command.stdout(Stdio::piped()).spawn().map_err(|e| format!("start {task}: {e}"))?;
        let lines = child.stdout.take().ok_or("no output")?;
        Ok(Running { child, lines: BufReader::new(lines) })
    }

    /// The next figures that it tells.
    pub fn next(&mut self) -> Result<Value, String> {
        let mut line = String::new();
        self.lines.read_line(&mut line).map_err(|e| e.to_string())?;
        serde_json::from_str(&line).map_err(|_| "the child ended without telling its figures".to_owned())
    }

    /// Waits for its orderly end.
    pub fn end(mut self) -> Result<(), String> {
        let status = self.child.wait().map_err(|e| e.to_string())?;
        status.success().then_some(()).ok_or(format!("the child ended with {status}"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}
