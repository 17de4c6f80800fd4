//! The two brokers as processes: started in an empty directory, watched, measured from outside, killed.

use crate::client::{self, Client};
use crate::frame::{Header, SendTemplate};
use crate::report;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a broker may take until it accepts a send.
const START_LIMIT: Duration = Duration::from_secs(60);
/// What Java 17 must open to Apache's broker and to netty.
const JAVA_FLAGS: [&str; 11] = [
    "-XX:+UseG1GC",
    "-XX:-OmitStackTraceInFastThrow",
    "-Dio.netty.tryReflectionSetAccessible=true",
    "--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED",
    "--add-exports=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "--add-opens=java.base/jdk.internal.misc=ALL-UNNAMED",
    "--add-opens=java.base/java.util=ALL-UNNAMED",
    "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED",
];

/// A broker that can be started.
pub enum Peer {
    /// `ferromq server`.
    Ferromq {
        /// The binary.
        binary: PathBuf,
    },
    /// The do-nothing server, which is this program.
    Nothing {
        /// The binary.
        program: PathBuf,
    },
    /// Apache's name server and broker, a JVM each.
    Apache {
        /// The directory of their jars.
        jars: PathBuf,
    },
}

/// A broker that was started, with its name server; killed when dropped.
pub struct Running {
    children: Vec<Child>,
    guard: Option<Child>,
    /// The port that takes sends and pulls.
    pub port: u16,
    /// The name server's.
    pub namesrv: u16,
    dir: PathBuf,
    spawned: Instant,
}

impl Peer {
    /// The column and JSON key.
    pub fn name(&self) -> &'static str {
        match self {
            Peer::Ferromq { .. } => report::OURS,
            Peer::Apache { .. } => report::APACHE,
            Peer::Nothing { .. } => "nothing",
        }
    }

    /// Starts it in `dir`, which is emptied first.
    pub fn start(&self, dir: &Path, sync_flush: bool) -> Result<Running, String> {
        let failed = |e: std::io::Error| format!("{}: {e}", dir.display());
        if dir.exists() {
            fs::remove_dir_all(dir).map_err(failed)?;
        }
        fs::create_dir_all(dir).map_err(failed)?;
        let (namesrv, port) = free_ports()?;
        let commands = match self {
            Peer::Ferromq { binary } => vec![ferromq(binary, dir, namesrv, port, sync_flush)?],
            Peer::Apache { jars } => apache(jars, dir, namesrv, port, sync_flush)?,
            Peer::Nothing { program } => {
                let mut command = Command::new(program);
                command.args(["--nothing", &port.to_string()]);
                vec![command]
            }
        };
        let (dir, spawned) = (dir.to_owned(), Instant::now());
        let mut running = Running { children: Vec::new(), guard: None, port, namesrv, dir, spawned };
        for (index, mut command) in commands.into_iter().enumerate() {
            let path = running.dir.join(format!("output-{index}.txt"));
            let log = File::create(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            command.stdin(Stdio::null()).stdout(log.try_clone().map_err(|e| e.to_string())?).stderr(log);
            let child = command.spawn().map_err(|e| format!("start {:?}: {e}", command.get_program()))?;
            running.children.push(child);
        }
        running.guard = Some(guard(&running.children).map_err(|e| format!("start sh: {e}"))?);
        Ok(running)
    }
}

/// A shell that kills the brokers when this process ends without doing so: its input is closed then.
fn guard(children: &[Child]) -> std::io::Result<Child> {
    let pids: String = children.iter().map(|child| format!(" {}", child.id())).collect();
    let script = format!("read nothing; kill -9{pids}");
    Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn()
}

fn write(path: &Path, lines: &[String]) -> Result<(), String> {
    fs::write(path, lines.join("\n") + "\n").map_err(|e| format!("{}: {e}", path.display()))
}

fn ferromq(binary: &Path, dir: &Path, namesrv: u16, port: u16, sync_flush: bool) -> Result<Command, String> {
    let mut command = Command::new(binary);
    command.arg("server").arg("--data").arg(dir.join("data"));
    command.args(["--namesrv-port", &namesrv.to_string(), "--broker-port", &port.to_string()]);
    if sync_flush {
        let conf = dir.join("broker.conf");
        write(&conf, &["flushDiskType=SYNC_FLUSH".to_owned()])?;
        command.arg("-c").arg(conf);
    }
    Ok(command)
}

fn apache(
    jars: &Path,
    dir: &Path,
    namesrv: u16,
    port: u16,
    sync_flush: bool,
) -> Result<Vec<Command>, String> {
    let store = dir.join("store");
    let flush = if sync_flush { "SYNC_FLUSH" } else { "ASYNC_FLUSH" };
    let (namesrv_conf, broker_conf) = (dir.join("namesrv.properties"), dir.join("broker.conf"));
    write(&namesrv_conf, &[format!("listenPort={namesrv}")])?;
    let settings = [
        "brokerClusterName=DefaultCluster".to_owned(),
        "brokerName=bench".to_owned(),
        "brokerId=0".to_owned(),
        "brokerIP1=127.0.0.1".to_owned(),
        format!("listenPort={port}"),
        format!("storePathRootDir={}", store.display()),
        format!("storePathCommitLog={}", store.join("commitlog").display()),
        "autoCreateTopicEnable=true".to_owned(),
        format!("flushDiskType={flush}"),
    ];
    write(&broker_conf, &settings)?;
    let java = |heap: &str, direct: &str, main: &str| {
        let home = std::env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
        let mut command = Command::new(home.filter(|java| java.exists()).unwrap_or("java".into()));
        command.args(["-server", &format!("-Xms{heap}"), &format!("-Xmx{heap}")]);
        command.arg(format!("-XX:MaxDirectMemorySize={direct}")).args(JAVA_FLAGS);
        // Its logs go below user.home.
        command.arg(format!("-Duser.home={}", dir.display()));
        command.arg("-cp").arg(jars.join("*")).arg(main);
        command.env("ROCKETMQ_HOME", dir).current_dir(dir);
        command
    };
    let mut name_server = java("256m", "256m", "org.apache.rocketmq.namesrv.NamesrvStartup");
    name_server.arg("-c").arg(namesrv_conf);
    let mut broker = java("1g", "1g", "org.apache.rocketmq.broker.BrokerStartup");
    broker.args(["-n", &format!("127.0.0.1:{namesrv}"), "-c"]).arg(broker_conf);
    Ok(vec![name_server, broker])
}

/// A port for the name server and one for the broker, whose neighbours for VIP (-2) and HA (+1) are free too. Below
/// the ephemeral range, where a client that retries could connect to itself.
fn free_ports() -> Result<(u16, u16), String> {
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let first = 20_000 + (std::process::id() % 1000) as u16 * 10;
    (first..32_000)
        .step_by(10)
        .find(|p| [0, 2, 3, 5].iter().all(|step| free(p + step)))
        .map(|p| (p + 5, p + 2))
        .ok_or_else(|| format!("no free ports between {first} and 32000"))
}

impl Running {
    /// Polls with connections and sends to a topic that does not exist yet, which TBW102 lets the broker create,
    /// until one is accepted; returns the time since the processes were spawned.
    pub fn ready(&mut self, form: Header) -> Result<Duration, String> {
        let template = SendTemplate::new(form, "bench-first", 0, b"first", 0, client::now_ms());
        let mut last = String::new();
        while self.spawned.elapsed() < START_LIMIT {
            let sent = Client::connect(self.port, form).and_then(|mut client| {
                client::success(&client.call(|out, opaque| template.append(out, opaque, 0))?)
            });
            match sent {
                Ok(()) => return Ok(self.spawned.elapsed()),
                Err(text) => last = text,
            }
            self.alive()?;
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(format!("no send accepted after {START_LIMIT:?}: {last}{}", self.output()))
    }

    /// An error with the last output of a process that has ended.
    pub fn alive(&mut self) -> Result<(), String> {
        for child in &mut self.children {
            if let Ok(Some(status)) = child.try_wait() {
                return Err(format!("a broker process ended: {status}{}", self.output()));
            }
        }
        Ok(())
    }

    fn output(&self) -> String {
        let texts = (0..self.children.len()).map(|index| {
            let text = fs::read_to_string(self.dir.join(format!("output-{index}.txt"))).unwrap_or_default();
            let tail: Vec<&str> = text.lines().rev().take(10).collect();
            tail.into_iter().rev().fold(String::new(), |all, line| all + "\n  | " + line)
        });
        texts.collect()
    }

    /// Resident memory of all its processes, in bytes.
    pub fn resident(&self) -> Result<u64, String> {
        self.children.iter().map(|child| memory(child.id(), "VmRSS:")).sum()
    }

    /// Memory of all its processes that is their own and no page of a file, in bytes.
    pub fn anonymous(&self) -> Result<u64, String> {
        self.children.iter().map(|child| memory(child.id(), "RssAnon:")).sum()
    }

    /// Open files, sockets included, of the process that serves.
    pub fn open_files(&self) -> Option<usize> {
        let child = self.children.last()?;
        Some(fs::read_dir(format!("/proc/{}/fd", child.id())).ok()?.count())
    }

    /// Processor time that its processes have used so far, in seconds.
    pub fn cpu(&self) -> f64 {
        self.children.iter().map(|child| cpu(&child.id().to_string())).sum()
    }

    /// The same of the threads that are there now, to the nanosecond: for what hardly uses any.
    pub fn exact_cpu(&self) -> f64 {
        self.children.iter().map(|child| exact_cpu(child.id())).sum()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for child in self.guard.iter_mut().chain(&mut self.children) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A line of /proc/PID/status, in bytes.
fn memory(pid: u32, name: &str) -> Result<u64, String> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|kib| kib.parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| format!("{path}: no {name}"))
}

fn exact_cpu(pid: u32) -> f64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let nanos = threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    nanos.sum::<u64>() as f64 / 1e9
}

/// Processor time of a process (`self` for this one) in seconds, from ticks of 10 ms; 0 if it is gone.
pub fn cpu(pid: &str) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 =
        after_name.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_a_process() {
        let own = std::process::id();
        let [all, anonymous] = ["VmRSS:", "RssAnon:"].map(|name| memory(own, name).expect("a size"));
        assert!(all > 100_000 && anonymous < all);
        assert!(memory(own, "VmNone:").is_err());
        let start = Instant::now();
        let mut sum = 0u64;
        while start.elapsed() < Duration::from_millis(60) {
            sum = sum.wrapping_add(start.elapsed().as_nanos() as u64);
        }
        assert!(cpu("self") > 0.0 && exact_cpu(own) > 0.0, "{sum}");
        assert_eq!(cpu("no-such-process"), 0.0);
    }

    #[test]
    fn ports_leave_room_for_their_neighbours() {
        let (namesrv, broker) = free_ports().expect("ports");
        assert!(broker < 32_768 && namesrv < 32_768);
        assert!(![broker - 2, broker, broker + 1].contains(&namesrv));
    }
}
