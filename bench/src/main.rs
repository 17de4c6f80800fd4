//! Benchmarks of our broker against Apache's: both started here, one after the other, under the same load, in raw
//! frames that belong to neither. Prints a table of ratios and writes `bench/latest.json` below the target directory.

mod cases;
mod client;
mod drain;
mod frame;
mod latency;
mod load;
mod peer;
mod record;
mod report;
mod stats;

use cases::{Case, Plan, CASES};
use clap::Parser;
use frame::Header;
use peer::Peer;
use report::{Figure, Side};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

/// Compares FerroMQ's broker with Apache RocketMQ's on this machine.
#[derive(Parser)]
#[command(name = "ferromq-bench")]
struct Options {
    /// Short runs, for a first look: about 30 s a broker, a third of it warm-up
    #[arg(long)]
    quick: bool,
    /// One broker only
    #[arg(long, value_enum)]
    only: Option<Only>,
    /// Cases of this name, or whose names begin so; may be repeated: start, idle, send-128-1, send-1k-1, send-128-4x64,
    /// send-1k-4x64, send-128-16x16, send-1k-16x16, pull-1, pull-4, latency, latency-loaded,
    /// drain; sync (SYNC_FLUSH) only when named
    #[arg(long = "case", value_name = "NAME")]
    cases: Vec<String>,
    /// How request headers are written
    #[arg(long, value_enum, default_value = "json")]
    header: Header,
    /// The ferromq binary; default: beside this program
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
    /// Where the stores are put, up to 20 GB, and removed afterwards; default: bench/ in the target directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Only {
    Ours,
    Apache,
}

fn main() -> ExitCode {
    match bench(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("ferromq-bench: {text}");
            ExitCode::FAILURE
        }
    }
}

fn plan(quick: bool) -> Plan {
    let seconds = Duration::from_secs;
    if quick {
        return Plan {
            starts: 1,
            settle: seconds(2),
            warm_up: seconds(10),
            send: seconds(1),
            pull: seconds(1),
            latency: seconds(3),
            backlog: 20_000,
            most_bytes: 1 << 30,
        };
    }
    Plan {
        starts: 3,
        settle: seconds(5),
        warm_up: seconds(15),
        send: seconds(8),
        pull: seconds(5),
        latency: seconds(10),
        backlog: 100_000,
        most_bytes: 4 << 30,
    }
}

fn bench(options: &Options) -> Result<(), String> {
    let chosen = choose(&options.cases)?;
    let program = std::env::current_exe().map_err(|e| format!("where this program is: {e}"))?;
    let beside = program.parent().unwrap_or(Path::new("."));
    let dir = options.dir.clone().unwrap_or_else(|| beside.parent().unwrap_or(beside).join("bench"));
    let mut peers = Vec::new();
    if options.only != Some(Only::Apache) {
        peers.push(Peer::Ferromq { binary: server(options, beside)? });
    }
    if options.only != Some(Only::Ours) {
        peers.push(Peer::Apache { jars: jars()? });
    }
    let stores = Stores::new(&dir)?;
    let mut sides = Vec::new();
    for peer in &peers {
        let progress = &mut |figure: &Figure| {
            eprintln!("{:<8} {:<32} {:>12.1} {}", peer.name(), figure.case, figure.value, figure.unit);
        };
        let store = stores.0.join(peer.name());
        let found = cases::run(peer, &chosen, &plan(options.quick), options.header, &store, progress);
        let figures = found.map_err(|text| format!("{}: {text}", peer.name()))?;
        let _ = std::fs::remove_dir_all(store);
        sides.push(Side { name: peer.name(), figures });
    }
    print!("\n{}{}", report::table(&sides), report::aims(&sides));
    let settings = serde_json::json!({
        "quick": options.quick,
        "header": format!("{:?}", options.header).to_lowercase(),
        "cores": std::thread::available_parallelism().map_or(0, |cores| cores.get()),
        "unix_ms": client::now_ms(),
    });
    let path = dir.join("latest.json");
    report::save(&path, &report::json(&sides, settings))?;
    println!("as JSON: {}", path.display());
    Ok(())
}

/// The cases of these names, or whose names begin so; all but the sync ones when there are no names. In the order of
/// the table.
fn choose(names: &[String]) -> Result<Vec<Case>, String> {
    let exact = |name: &str| CASES.iter().any(|(case, _)| *case == name);
    let means = |name: &str, case: &str| if exact(name) { case == name } else { case.starts_with(name) };
    if let Some(unknown) = names.iter().find(|name| !CASES.iter().any(|(case, _)| means(name, case))) {
        let known: Vec<&str> = CASES.iter().map(|(name, _)| *name).collect();
        return Err(format!("no case begins with {unknown:?}; there are {}", known.join(", ")));
    }
    let wanted = |(name, case): &&(&str, Case)| match names {
        [] => !matches!(case, Case::Sync(..)),
        names => names.iter().any(|named| means(named, name)),
    };
    Ok(CASES.iter().filter(wanted).map(|(_, case)| *case).collect())
}

fn server(options: &Options, beside: &Path) -> Result<PathBuf, String> {
    let binary = options.server.clone().unwrap_or_else(|| beside.join("ferromq"));
    if binary.exists() {
        return Ok(binary);
    }
    Err(format!(
        "{} does not exist; build it with `cargo build --release -p ferromq-cli`, or name it with --server",
        binary.display()
    ))
}

/// Apache's jars, fetched by Maven the first time.
fn jars() -> Result<PathBuf, String> {
    let home = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let project = home.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into()).join("apache");
    let jars = project.join("target/dependency");
    let broker = jars.join("rocketmq-broker-5.3.3.jar");
    if !broker.exists() {
        eprintln!("fetching Apache's broker into {}", jars.display());
        let status =
            Command::new("mvn").args(["-q", "dependency:copy-dependencies"]).current_dir(&project).status();
        let fetched = status.is_ok_and(|status| status.success()) && broker.exists();
        if !fetched {
            return Err(format!(
                "`mvn -q dependency:copy-dependencies` in {} did not bring {}; it needs Maven, Java 17 and Maven \
                 Central, or run with --only ours",
                project.display(),
                broker.display()
            ));
        }
    }
    Ok(jars)
}

/// The directory of this run's stores; removed in the end, and so are those of runs that were killed.
struct Stores(PathBuf);

impl Stores {
    fn new(dir: &Path) -> Result<Self, String> {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let owner = name.to_str().and_then(|name| name.strip_prefix("run-"));
            if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        let own = std::path::absolute(dir.join(format!("run-{}", std::process::id())));
        let own = own.map_err(|e| format!("{}: {e}", dir.display()))?;
        std::fs::create_dir_all(&own).map_err(|e| format!("{}: {e}", own.display()))?;
        Ok(Stores(own))
    }
}

impl Drop for Stores {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_chosen_by_name_or_its_beginning() {
        let count = |names: &[&str]| {
            choose(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).map(|cases| cases.len())
        };
        assert_eq!(count(&[]), Ok(13));
        assert_eq!(count(&["sync"]), Ok(2));
        assert_eq!(count(&["send-1k", "latency"]), Ok(4));
        assert_eq!(count(&["send-128-1"]), Ok(1));
        assert!(count(&["sned"]).is_err_and(|text| text.contains("send-128-1")));
    }

    #[test]
    fn options_are_consistent() {
        use clap::CommandFactory;
        Options::command().debug_assert();
    }
}
