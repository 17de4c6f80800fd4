//! Builds the Maven project and talks to driver JVMs.

use crate::process::{Process, Workplace};
use crate::Outcome;
use std::collections::hash_map::DefaultHasher;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// A line of Apache's clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Client 4.9.8 (broker 4.9.4).
    V49,
    /// Client, tools, broker and name server 5.3.3.
    V53,
}

/// How a client writes its headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Headers {
    /// JSON, the default.
    Json,
    /// The binary form, `rocketmq.serialize.type=ROCKETMQ`.
    Binary,
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("java")
}

/// The class path of a client's test programs.
pub fn driver_class_path(line: Line) -> String {
    let module = project().join(if line == Line::V53 { "client53" } else { "client49" });
    format!("{0}/target/classes:{0}/target/dependency/*", module.display())
}

/// The class path of Apache's servers.
pub fn server_class_path(line: Line) -> String {
    let module = if line == Line::V53 { "client53" } else { "broker49" };
    format!("{}/target/dependency/*", project().join(module).display())
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            if !path.ends_with("target") {
                sources(&path, found)?;
            }
        } else if path.extension().is_some_and(|e| e == "java" || e == "xml") {
            found.push(path);
        }
    }
    Ok(())
}

/// Compiles the programs and collects the jars, unless nothing changed since the last time. The first time asks the
/// package registry; afterwards Maven works from its local copy.
pub fn build() -> Outcome {
    let dir = project();
    let mut files = Vec::new();
    sources(&dir, &mut files).map_err(|e| format!("cannot list {}: {e}", dir.display()))?;
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in &files {
        file.hash(&mut hasher);
        std::fs::read(file).map_err(|e| format!("cannot read {}: {e}", file.display()))?.hash(&mut hasher);
    }
    let fingerprint = format!("{:016x}", hasher.finish());
    let stamp = dir.join("target").join("built");
    if std::fs::read_to_string(&stamp).is_ok_and(|s| s == fingerprint) {
        return Ok(());
    }
    let maven = |online: bool| {
        let mut command = Command::new("mvn");
        command.args(["-q", "-B"]).args((!online).then_some("-o")).arg("process-classes").current_dir(&dir);
        command.output().map_err(|e| format!("cannot run mvn ({e}); interop/install.sh installs it"))
    };
    let mut output = maven(false)?;
    if !output.status.success() {
        output = maven(true)?;
    }
    if !output.status.success() {
        return Err(format!("mvn failed in {}:\n{}", dir.display(), String::from_utf8_lossy(&output.stdout)));
    }
    std::fs::create_dir_all(dir.join("target"))
        .and_then(|()| std::fs::write(&stamp, fingerprint))
        .map_err(|e| format!("cannot write {}: {e}", stamp.display()))
}

/// A `java` command with the flags that Apache's code needs on Java 17, quick to start and small, at home in `home`.
pub fn command(class_path: &str, heap_mb: u32, home: &Path) -> Command {
    let mut java = Command::new("java");
    java.args([
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-Xshare:auto",
        "-XX:MaxDirectMemorySize=512m",
    ])
    // As the settings of brokers have it, whose 4.9 line reads these from here.
    .args([
        "-Drocketmq.broker.diskSpaceCleanForciblyRatio=0.97",
        "-Drocketmq.broker.diskSpaceWarningLevelRatio=0.98",
    ])
    .args([format!("-Xms{}m", heap_mb / 4), format!("-Xmx{heap_mb}m")])
    .args(["--add-opens=java.base/java.nio=ALL-UNNAMED", "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED"])
    .args(["--add-opens=java.base/java.lang=ALL-UNNAMED", "--add-opens=java.base/java.util=ALL-UNNAMED"])
    .args([
        "--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED",
        "--add-opens=java.base/jdk.internal.ref=ALL-UNNAMED",
    ])
    .arg(format!("-Duser.home={}", home.display()))
    .arg(format!("-Drocketmq.home.dir={}", home.display()))
    .args(["-cp", class_path])
    .env("ROCKETMQ_HOME", home)
    .env("LC_ALL", "C.UTF-8")
    .current_dir(home);
    java
}

/// Makes a directory that Apache's programs accept as their home.
pub fn home(place: &Arc<Workplace>, name: &str) -> Outcome<PathBuf> {
    let home = place.subdir(&format!("home-{name}"))?;
    let conf = home.join("conf");
    let quiet = "<configuration><root level=\"WARN\"/></configuration>\n";
    std::fs::create_dir_all(&conf)
        .and_then(|()| std::fs::write(conf.join("logback_broker.xml"), quiet))
        .map_err(|e| format!("cannot write {}: {e}", conf.display()))?;
    Ok(home)
}

type Verdicts = Arc<(Mutex<Option<HashMap<u64, Outcome<Duration>>>>, Condvar)>;

/// A JVM that runs cases.
pub struct Driver {
    /// Its name in reports, such as `java-5.3.3-json`.
    pub name: String,
    /// Which client it has.
    pub line: Line,
    /// What begins the names of its topics and groups.
    pub scope: String,
    process: Process,
    stdin: Mutex<ChildStdin>,
    next: AtomicU64,
    verdicts: Verdicts,
}

impl Driver {
    /// Starts a JVM. `extra` tells several with the same client apart.
    pub fn start(place: &Arc<Workplace>, line: Line, headers: Headers, extra: &str) -> Outcome<Driver> {
        Driver::start_with(place, line, headers, extra, &[])
    }

    /// As [`Driver::start`], with further system properties.
    pub fn start_with(
        place: &Arc<Workplace>,
        line: Line,
        headers: Headers,
        extra: &str,
        properties: &[(String, String)],
    ) -> Outcome<Driver> {
        let version = if line == Line::V53 { "5.3.3" } else { "4.9.8" };
        let encoding = if headers == Headers::Json { "json" } else { "binary" };
        let name = format!("java-{version}-{encoding}{extra}");
        let home = home(place, &name)?;
        let mut java = command(&driver_class_path(line), 512, &home);
        java.arg(format!(
            "-Drocketmq.serialize.type={}",
            if headers == Headers::Json { "JSON" } else { "ROCKETMQ" }
        ))
        .args([
            "-Drocketmq.client.rebalance.waitInterval=1000",
            "-Drocketmq.client.rebalance.minInterval=200",
        ])
        // On a busy machine a call may take its time; that must not break the connection under all others.
        .arg("-Dcom.rocketmq.remoting.client.closeSocketIfTimeout=false")
        .args(["-Drocketmq.client.logLevel=WARN", "-Drocketmq.client.logFileMaxIndex=1"])
        .arg(format!(
            "-Dinterop.apache={}",
            std::env::var("FERROMQ_INTEROP_SERVER").is_ok_and(|s| s == "apache")
        ))
        .args(properties.iter().map(|(key, value)| format!("-D{key}={value}")))
        .arg("interop.Driver");
        let mut process = Process::spawn(place, &name, java, true)?;
        let (stdin, stdout) = process.pipes();
        let verdicts: Verdicts = Arc::new((Mutex::new(Some(HashMap::new())), Condvar::new()));
        let told = verdicts.clone();
        std::thread::spawn(move || listen(stdout, &told));
        let scope = format!("{}{}", if line == Line::V53 { "v53" } else { "v49" }, &encoding[..1]);
        Ok(Driver { name, line, scope, process, stdin: Mutex::new(stdin), next: AtomicU64::new(1), verdicts })
    }

    /// Begins a case against the name server at `ns`; [`Driver::verdict`] waits for its end.
    pub fn begin(&self, case: &str, ns: &str, params: &[(&str, &str)]) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut line = format!("run {id} {case} ns={ns} scope={}", self.scope);
        for (key, value) in params {
            line.push_str(&format!(" {key}={value}"));
        }
        // A dead JVM is seen by whoever waits for the verdict.
        let _ = writeln!(self.stdin.lock().expect("driver input"), "{line}");
        id
    }

    /// Waits for a case's end: how long it took, or why it failed.
    pub fn verdict(&self, id: u64, patience: Duration) -> Outcome<Duration> {
        let end = Instant::now() + patience;
        let mut known = self.verdicts.0.lock().expect("verdicts");
        loop {
            match known.as_mut() {
                None => {
                    return Err(format!(
                        "{} ended; its log ends with:\n{}",
                        self.name,
                        self.process.log_tail()
                    ))
                }
                Some(map) => {
                    if let Some(verdict) = map.remove(&id) {
                        return verdict;
                    }
                }
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("{} gave no answer within {patience:?}", self.name));
            }
            known = self.verdicts.1.wait_timeout(known, left).expect("verdicts").0;
        }
    }

    /// Runs one case to its end.
    pub fn run(&self, case: &str, ns: &str, params: &[(&str, &str)]) -> Outcome<Duration> {
        self.verdict(self.begin(case, ns, params), Duration::from_secs(200))
    }

    /// `kill -9`.
    pub fn kill(self) {
        self.process.kill();
    }
}

fn listen(stdout: impl BufRead, verdicts: &Verdicts) {
    for line in stdout.lines().map_while(Result::ok) {
        let mut words = line.splitn(3, ' ');
        let (kind, id, rest) = (words.next(), words.next(), words.next().unwrap_or(""));
        let Some(id) = id.and_then(|id| id.parse().ok()) else { continue };
        let verdict = match kind {
            Some("PASS") => Ok(Duration::from_millis(rest.parse().unwrap_or(0))),
            Some("FAIL") => Err(rest.to_owned()),
            _ => continue,
        };
        if let Some(map) = verdicts.0.lock().expect("verdicts").as_mut() {
            map.insert(id, verdict);
        }
        verdicts.1.notify_all();
    }
    *verdicts.0.lock().expect("verdicts") = None;
    verdicts.1.notify_all();
}
