//! Name servers and brokers, ours and Apache's, started, stopped and started again on the same ports.

use crate::java::{self, Line};
use crate::process::{first_line, free_port, Process, Workplace};
use crate::Outcome;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(180);

/// Whose program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// The `ferromq` binary.
    Ours,
    /// Apache's, of that line.
    Apache(Line),
}

impl Maker {
    /// What the environment asks to test: ours, or Apache's 5.3.3 to test the tests.
    pub fn under_test() -> Outcome<Maker> {
        match std::env::var("FERROMQ_INTEROP_SERVER").as_deref() {
            Err(_) | Ok("") | Ok("ferromq") => Ok(Maker::Ours),
            Ok("apache") => Ok(Maker::Apache(Line::V53)),
            Ok(other) => {
                Err(format!("FERROMQ_INTEROP_SERVER={other:?} is neither \"ferromq\" nor \"apache\""))
            }
        }
    }
}

/// The `ferromq` binary: `FERROMQ_BIN`, or the one beside this test's own build.
pub fn our_binary() -> Outcome<PathBuf> {
    if let Some(path) = std::env::var_os("FERROMQ_BIN").filter(|p| !p.is_empty()) {
        let path = PathBuf::from(path);
        return if path.is_file() {
            Ok(path)
        } else {
            Err(format!("FERROMQ_BIN={} is no file", path.display()))
        };
    }
    let exe = std::env::current_exe().map_err(|e| format!("where are we? {e}"))?;
    let profile = exe.ancestors().nth(2).unwrap_or(Path::new("."));
    let path = profile.join("ferromq");
    if path.is_file() {
        return Ok(path);
    }
    Err(format!("no {}: run `cargo build -p ferromq-cli` first, or set FERROMQ_BIN", path.display()))
}

/// Settings of a broker as `key=value` lines.
pub type Settings = Vec<(String, String)>;

/// Settings for quick tests: short delay levels (level 2 takes 2 s, the others 1 s, level 18 as given) and files of
/// moderate size.
pub fn settings(level_18: &str) -> Settings {
    let mut levels = vec!["1s"; 18];
    levels[1] = "2s";
    levels[17] = level_18;
    [
        ("brokerClusterName", "DefaultCluster"),
        ("brokerName", "interop"),
        ("brokerId", "0"),
        ("brokerIP1", "127.0.0.1"),
        ("autoCreateTopicEnable", "true"),
        ("flushDiskType", "ASYNC_FLUSH"),
        ("fileReservedTime", "72"),
        ("messageDelayLevel", &levels.join(" ")),
        ("mappedFileSizeCommitLog", "67108864"),
        ("maxHashSlotNum", "100000"),
        ("maxIndexNum", "400000"),
        // The disk of the machine may be as full as it is: no file goes for that reason.
        ("diskSpaceCleanForciblyRatio", "97"),
        ("diskSpaceWarningLevelRatio", "98"),
    ]
    .map(|(k, v)| (k.to_owned(), v.to_owned()))
    .to_vec()
}

/// Settings for a store whose files roll over after a few messages.
pub fn small_files(level_18: &str) -> Settings {
    let small = [
        ("mappedFileSizeCommitLog", "1048576"),
        ("mappedFileSizeConsumeQueue", "2000"),
        ("maxHashSlotNum", "1000"),
        ("maxIndexNum", "3000"),
    ];
    let mut all = settings(level_18);
    for (key, value) in small {
        set(&mut all, key, value);
    }
    all
}

/// Changes or adds one setting.
pub fn set(settings: &mut Settings, key: &str, value: &str) {
    settings.retain(|(k, _)| k != key);
    settings.push((key.to_owned(), value.to_owned()));
}

fn write_settings(file: &Path, settings: &Settings) -> Outcome {
    let text: String = settings.iter().map(|(k, v)| format!("{k}={v}\n")).collect();
    std::fs::write(file, text).map_err(|e| format!("cannot write {}: {e}", file.display()))
}

fn await_port(process: &mut Process, port: u16) -> Outcome {
    let end = Instant::now() + PATIENCE;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if !process.is_running() {
            return Err(format!(
                "{} ended while starting; its log ends with:\n{}",
                process.name(),
                process.log_tail()
            ));
        }
        if Instant::now() > end {
            return Err(format!("{} does not listen on {port}:\n{}", process.name(), process.log_tail()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// The settings of TLS, which Apache's processes take as system properties.
fn tls(settings: &Settings) -> impl Iterator<Item = &(String, String)> {
    settings.iter().filter(|(key, _)| key.starts_with("tls."))
}

/// Starts a name server on `port` and waits until it listens.
pub fn start_namesrv(place: &Arc<Workplace>, maker: Maker, name: &str, port: u16) -> Outcome<Process> {
    start_namesrv_with(place, maker, name, port, &Settings::new())
}

/// As [`start_namesrv`], with those of the settings that are about TLS.
pub fn start_namesrv_with(
    place: &Arc<Workplace>,
    maker: Maker,
    name: &str,
    port: u16,
    settings: &Settings,
) -> Outcome<Process> {
    let home = java::home(place, &format!("{name}-ns"))?;
    let conf = home.join("namesrv.properties");
    let kv = home.join("namesrv").join("kvConfig.json");
    let mut all = vec![
        ("listenPort".to_owned(), port.to_string()),
        ("kvConfigPath".to_owned(), kv.display().to_string()),
    ];
    if maker == Maker::Ours {
        all.extend(tls(settings).filter(|(key, _)| key.starts_with("tls.server.")).cloned());
    }
    write_settings(&conf, &all)?;
    let command = match maker {
        Maker::Ours => {
            let mut ours = Command::new(our_binary()?);
            ours.arg("namesrv")
                .arg("-c")
                .arg(&conf)
                .args(["-p", &port.to_string()])
                .env("HOME", &home)
                .current_dir(&home);
            ours
        }
        Maker::Apache(line) => {
            let mut java = java::command(&java::server_class_path(line), 256, &home);
            java.args(tls(settings).map(|(key, value)| format!("-D{key}={value}")));
            java.arg("org.apache.rocketmq.namesrv.NamesrvStartup").arg("-c").arg(&conf);
            java
        }
    };
    let mut process = Process::spawn(place, &format!("{name}-namesrv"), command, false)?;
    await_port(&mut process, port)?;
    Ok(process)
}

/// Starts a broker that registers at `namesrv`, with its store in `store`, and waits until it listens.
pub fn start_broker(
    place: &Arc<Workplace>,
    maker: Maker,
    name: &str,
    port: u16,
    namesrv: &str,
    store: &Path,
    settings: &Settings,
) -> Outcome<Process> {
    let home = java::home(place, &format!("{name}-broker"))?;
    let mut all = settings.clone();
    set(&mut all, "listenPort", &port.to_string());
    set(&mut all, "storePathRootDir", &store.display().to_string());
    set(&mut all, "storePathCommitLog", &store.join("commitlog").display().to_string());
    let conf = home.join("broker.conf");
    let command = match maker {
        Maker::Ours => {
            let mut ours = Command::new(our_binary()?);
            ours.arg("broker").args(["-n", namesrv, "-c"]).arg(&conf).env("HOME", &home).current_dir(&home);
            ours
        }
        Maker::Apache(line) => {
            set(&mut all, "haListenPort", &(port + 1).to_string());
            // Looks at the clock a thousand times a second, for messages that nobody here sends.
            if !settings.iter().any(|(key, _)| key == "timerWheelEnable") {
                set(&mut all, "timerWheelEnable", "false");
            }
            // Patience of a shared machine.
            for key in ["waitTimeMillsInSendQueue", "waitTimeMillsInPullQueue", "osPageCacheBusyTimeOutMills"]
            {
                set(&mut all, key, "20000");
            }
            let mut java = java::command(&java::server_class_path(line), 512, &home);
            java.args(tls(settings).map(|(key, value)| format!("-D{key}={value}")));
            java.arg("org.apache.rocketmq.broker.BrokerStartup").args(["-n", namesrv, "-c"]).arg(&conf);
            java
        }
    };
    write_settings(&conf, &all)?;
    let mut process = Process::spawn(place, &format!("{name}-broker"), command, false)?;
    if maker == Maker::Ours {
        await_port(&mut process, port)?;
    } else {
        process.await_log("boot success", PATIENCE)?;
    }
    Ok(process)
}

/// A name server and a broker: one `ferromq server`, or two of Apache's processes.
pub struct Site {
    place: Arc<Workplace>,
    maker: Maker,
    name: String,
    data: PathBuf,
    namesrv_port: u16,
    broker_port: u16,
    processes: Vec<Process>,
}

impl Site {
    /// Starts both with their data in a fresh directory.
    pub fn start(place: &Arc<Workplace>, maker: Maker, name: &str, settings: &Settings) -> Outcome<Site> {
        let data = place.subdir(&format!("data-{name}"))?;
        let mut site = Site {
            place: place.clone(),
            maker,
            name: name.to_owned(),
            data,
            namesrv_port: 0,
            broker_port: 0,
            processes: Vec::new(),
        };
        site.start_again(settings)?;
        Ok(site)
    }

    /// Address of the name server.
    pub fn namesrv(&self) -> String {
        format!("127.0.0.1:{}", self.namesrv_port)
    }

    /// The directory with `commitlog` in it.
    pub fn store(&self) -> Outcome<PathBuf> {
        [self.data.clone(), self.data.join("store")]
            .into_iter()
            .find(|d| d.join("commitlog").is_dir())
            .ok_or_else(|| format!("no commitlog in {} or its store", self.data.display()))
    }

    /// SIGTERM to the broker, then to the name server; both must end by themselves.
    pub fn stop(&mut self) -> Outcome {
        while let Some(process) = self.processes.pop() {
            let name = process.name().to_owned();
            let status = process.terminate(PATIENCE)?;
            // Java answers SIGTERM with 143 after its shutdown hooks.
            let clean = status.code() == Some(0) || self.maker != Maker::Ours;
            if !clean {
                return Err(format!("{name} ended with {status} after SIGTERM"));
            }
        }
        Ok(())
    }

    /// Starts on the same data; on the same ports, if it ran before.
    pub fn start_again(&mut self, settings: &Settings) -> Outcome {
        match self.maker {
            Maker::Ours => self.start_ours(settings),
            Maker::Apache(_) => self.start_apache(settings),
        }
    }

    fn start_ours(&mut self, settings: &Settings) -> Outcome {
        let conf = self.place.dir().join(format!("{}.conf", self.name));
        write_settings(&conf, settings)?;
        let mut command = Command::new(our_binary()?);
        command.arg("server").arg("--data").arg(&self.data);
        command.args([
            "--namesrv-port",
            &self.namesrv_port.to_string(),
            "--broker-port",
            &self.broker_port.to_string(),
        ]);
        command.arg("-c").arg(&conf).current_dir(self.place.dir());
        let mut process = Process::spawn(&self.place, &self.name, command, true)?;
        let (_stdin, stdout) = process.pipes();
        let line = first_line(stdout, PATIENCE).ok_or_else(|| {
            format!(
                "ferromq server printed no line when starting; its log ends with:\n{}",
                process.log_tail()
            )
        })?;
        let ports = ports_in(&line);
        let [namesrv, broker] = ports[..] else {
            return Err(format!("two ports expected in the first line of ferromq server: {line:?}"));
        };
        (self.namesrv_port, self.broker_port) = (namesrv, broker);
        self.processes.push(process);
        Ok(())
    }

    fn start_apache(&mut self, settings: &Settings) -> Outcome {
        if self.broker_port == 0 {
            (self.namesrv_port, self.broker_port) = (free_port()?, free_port()?);
        }
        let namesrv = start_namesrv_with(&self.place, self.maker, &self.name, self.namesrv_port, settings)?;
        self.processes.push(namesrv);
        let store = self.data.join("store");
        let address = self.namesrv();
        let broker =
            start_broker(&self.place, self.maker, &self.name, self.broker_port, &address, &store, settings)?;
        self.processes.push(broker);
        Ok(())
    }

    /// The end of the newest process's log, for messages.
    pub fn log_tail(&self) -> String {
        self.processes.last().map(Process::log_tail).unwrap_or_default()
    }
}

/// The ports in a line: numbers after a colon, or standing alone, that can be one. Parts of addresses are none.
pub fn ports_in(line: &str) -> Vec<u16> {
    line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == ':' || c == '_'))
        .filter_map(|word| word.rsplit(':').next())
        .filter_map(|number| number.trim_end_matches('.').parse().ok())
        .filter(|port| *port > 1023)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_found_in_any_wording() {
        assert_eq!(ports_in("name server 127.0.0.1:20876, broker 127.0.0.1:20911\n"), [20876, 20911]);
        assert_eq!(ports_in("ready namesrv=20876 broker=20911"), [20876, 20911]);
        assert_eq!(ports_in("listening: namesrv:20876 broker:20911."), [20876, 20911]);
        assert_eq!(ports_in("FerroMQ 0.1.0 accepts on 20876 and 20911"), [20876, 20911]);
    }

    #[test]
    fn settings_replace_each_other() {
        let mut all = settings("2h");
        set(&mut all, "brokerName", "other");
        assert_eq!(all.iter().filter(|(k, _)| k == "brokerName").count(), 1);
        let levels = all.iter().find(|(k, _)| k == "messageDelayLevel").map(|(_, v)| v.clone());
        assert_eq!(levels.unwrap().split(' ').count(), 18);
        let rolled = small_files("1s");
        assert!(rolled.contains(&("mappedFileSizeCommitLog".to_owned(), "1048576".to_owned())));
    }
}
