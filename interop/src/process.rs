//! Child processes in groups of their own, killed whatever happens to us, and ports that are free.

use crate::Outcome;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Reads `+ GROUP` and `- GROUP` lines; when its input ends, because we ended in whatever way, it kills the groups that
/// are left and removes the directory.
const REAPER: &str = r#"
groups=""
while read -r op id; do
  case $op in
    +) groups="$groups $id" ;;
    -) left=""; for g in $groups; do [ "$g" = "$id" ] || left="$left $g"; done; groups=$left ;;
  esac
done
for g in $groups; do kill -KILL "-$g" 2>/dev/null; done
[ -z "$1" ] || rm -rf "$1" || { sleep 1; rm -rf "$1"; }
"#;

/// The directory of a run and the watcher that cleans up behind it.
pub struct Workplace {
    dir: PathBuf,
    reaper: Mutex<(Child, Option<ChildStdin>)>,
    log_names: AtomicU32,
}

impl Workplace {
    /// Makes a temporary directory. `keep` leaves it there at the end.
    pub fn new(keep: bool) -> Outcome<Arc<Workplace>> {
        let dir = tempfile::Builder::new()
            .prefix("ferromq-interop-")
            .tempdir()
            .map_err(|e| format!("no temporary directory: {e}"))?
            .keep();
        let removed = if keep { Path::new("") } else { dir.as_path() };
        let mut child = Command::new("sh")
            .args(["-c", REAPER, "reaper"])
            .arg(removed)
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|e| format!("cannot start sh: {e}"))?;
        let stdin = child.stdin.take();
        Ok(Arc::new(Workplace { dir, reaper: Mutex::new((child, stdin)), log_names: AtomicU32::new(0) }))
    }

    /// The directory of the run.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A new directory below it.
    pub fn subdir(&self, name: &str) -> Outcome<PathBuf> {
        let dir = self.dir.join(name);
        std::fs::create_dir_all(&dir).map_err(|e| format!("cannot make {}: {e}", dir.display()))?;
        Ok(dir)
    }

    fn log_file(&self, name: &str) -> Outcome<PathBuf> {
        let number = self.log_names.fetch_add(1, Ordering::Relaxed);
        Ok(self.subdir("logs")?.join(format!("{number:02}-{name}.log")))
    }

    fn tell_reaper(&self, op: char, group: u32) {
        if let Some(stdin) = self.reaper.lock().expect("reaper lock").1.as_mut() {
            // A reaper that is gone can clean nothing up; the processes' owners still do.
            let _ = writeln!(stdin, "{op} {group}");
        }
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        let mut reaper = self.reaper.lock().expect("reaper lock");
        reaper.1 = None;
        let _ = reaper.0.wait();
    }
}

/// A running child with its process group and log file. Dropping it kills the group.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    place: Arc<Workplace>,
    over: bool,
}

impl Process {
    /// Starts `command` in a group of its own. Standard error goes to the log file; standard output too, unless
    /// `piped` asks for both ends to talk.
    pub fn spawn(place: &Arc<Workplace>, name: &str, mut command: Command, piped: bool) -> Outcome<Process> {
        let log = place.log_file(name)?;
        let file = File::create(&log).map_err(|e| format!("cannot make {}: {e}", log.display()))?;
        let both = file.try_clone().map_err(|e| format!("cannot share {}: {e}", log.display()))?;
        command.stderr(file).process_group(0);
        if piped {
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
        } else {
            command.stdin(Stdio::null()).stdout(both);
        }
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().map_err(|e| format!("cannot start {program} for {name}: {e}"))?;
        place.tell_reaper('+', child.id());
        Ok(Process { name: name.to_owned(), child, log, place: place.clone(), over: false })
    }

    /// Both ends of a piped child; once only.
    pub fn pipes(&mut self) -> (ChildStdin, BufReader<ChildStdout>) {
        let stdin = self.child.stdin.take().expect("spawned with pipes");
        let stdout = self.child.stdout.take().expect("spawned with pipes");
        (stdin, BufReader::new(stdout))
    }

    /// What to call it in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        !self.over && matches!(self.child.try_wait(), Ok(None))
    }

    /// The end of its log, for messages.
    pub fn log_tail(&self) -> String {
        // Apache's programs begin with hundreds of lines about their logging.
        let text = tail(&self.log, 20_000);
        let lines: Vec<&str> = text.lines().filter(|line| !line.contains("|-INFO")).collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }

    /// Waits until the log holds `text`.
    pub fn await_log(&mut self, text: &str, patience: Duration) -> Outcome {
        let end = Instant::now() + patience;
        loop {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            if log.contains(text) {
                return Ok(());
            }
            if !self.is_running() {
                return Err(format!(
                    "{} ended while starting; its log ends with:\n{}",
                    self.name,
                    self.log_tail()
                ));
            }
            if Instant::now() > end {
                return Err(format!(
                    "{} did not print {text:?}; its log ends with:\n{}",
                    self.name,
                    self.log_tail()
                ));
            }
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Sends SIGTERM and waits for the end. Anything but an end within `patience` is an error, and then it is killed.
    pub fn terminate(mut self, patience: Duration) -> Outcome<ExitStatus> {
        signal("-TERM", self.child.id());
        let end = Instant::now() + patience;
        while Instant::now() < end {
            match self.child.try_wait() {
                Ok(Some(status)) => {
                    self.finish();
                    return Ok(status);
                }
                Ok(None) => std::thread::sleep(Duration::from_millis(20)),
                Err(e) => return Err(format!("cannot wait for {}: {e}", self.name)),
            }
        }
        Err(format!(
            "{} still ran {patience:?} after SIGTERM; its log ends with:\n{}",
            self.name,
            self.log_tail()
        ))
    }

    /// Waits until it ends by itself; how it did, and what it wrote to its log. One that does not is killed.
    pub fn ended(mut self, patience: Duration) -> Outcome<(ExitStatus, String)> {
        let end = Instant::now() + patience;
        while Instant::now() < end {
            match self.child.try_wait() {
                Ok(Some(status)) => {
                    self.finish();
                    return Ok((status, tail(&self.log, 100_000)));
                }
                Ok(None) => std::thread::sleep(Duration::from_millis(20)),
                Err(e) => return Err(format!("cannot wait for {}: {e}", self.name)),
            }
        }
        let log = self.log_tail();
        Err(format!("{} was not done within {patience:?}; its log ends with:\n{log}", self.name))
    }

    /// SIGSTOP to the whole group, or SIGCONT.
    pub fn freeze(&self, frozen: bool) {
        signal(if frozen { "-STOP" } else { "-CONT" }, self.child.id());
    }

    /// `kill -9` of the whole group.
    pub fn kill(mut self) {
        self.finish();
    }

    fn finish(&mut self) {
        if !std::mem::replace(&mut self.over, true) {
            signal("-KILL", self.child.id());
            let _ = self.child.wait();
            self.place.tell_reaper('-', self.child.id());
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.finish();
    }
}

fn signal(signal: &str, group: u32) {
    let _ =
        Command::new("sh").args(["-c", &format!("kill {signal} -{group}")]).stderr(Stdio::null()).status();
}

/// The last `most` bytes of a file as text, from a line's start.
pub fn tail(file: &Path, most: u64) -> String {
    let read = || -> std::io::Result<String> {
        let mut f = File::open(file)?;
        let len = f.metadata()?.len();
        f.seek(SeekFrom::Start(len.saturating_sub(most)))?;
        let mut bytes = Vec::new();
        f.read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(if len > most {
            text.split_once('\n').map_or(text.clone(), |(_, rest)| rest.to_owned())
        } else {
            text
        })
    };
    read().unwrap_or_default()
}

/// Reads one line with a deadline: the reading goes on in a thread that ends with the child.
pub fn first_line(mut out: BufReader<ChildStdout>, patience: Duration) -> Option<String> {
    let (to, from) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let _ = out.read_line(&mut line);
        let _ = to.send(line);
        // Go on reading, so that the child never writes into a closed pipe.
        let _ = std::io::copy(&mut out, &mut std::io::sink());
    });
    from.recv_timeout(patience).ok().filter(|l| !l.is_empty())
}

/// A port P below the ephemeral range with P - 2 and P + 1 free as well. No port is given out twice in a run.
pub fn free_port() -> Outcome<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id() % 1000 * 10;
    for _ in 0..1000 {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) * 7;
        let port = 20_000 + ((start + step) % 12_000) as u16;
        let free = |p: u16| TcpListener::bind(("0.0.0.0", p)).is_ok();
        if free(port) && free(port - 2) && free(port + 1) {
            return Ok(port);
        }
    }
    Err("no free port between 20000 and 32000".to_owned())
}

/// Copies a directory with all below it.
pub fn copy_tree(from: &Path, to: &Path) -> Outcome {
    let failed = |e: std::io::Error| format!("cannot copy {} to {}: {e}", from.display(), to.display());
    std::fs::create_dir_all(to).map_err(failed)?;
    for entry in std::fs::read_dir(from).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_tree(&path, &target)?;
        } else {
            std::fs::copy(&path, &target).map_err(failed)?;
        }
    }
    Ok(())
}
