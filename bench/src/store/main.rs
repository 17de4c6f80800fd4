//! What the store does when it is big: many queues, long logs, restarts; in process, without a broker or a network.
//! Prints its figures and writes them to `store.json` below `--dir`.

mod cold;
mod load;
mod parts;
mod process;
mod sqlite;
mod tasks;

use clap::{Parser, ValueEnum};
use serde_json::{json, Value};
use std::path::PathBuf;
use std::process::ExitCode;

/// Measures FerroMQ's store in process.
#[derive(Parser)]
#[command(name = "ferromq-bench-store")]
struct Options {
    /// What to measure; default: all but `steady`, `cold` and `long`
    #[arg(long = "part", value_enum)]
    parts: Vec<Part>,
    /// A tenth of everything
    #[arg(long)]
    quick: bool,
    /// Messages of `long`
    #[arg(long, default_value_t = 100_000_000)]
    messages: u64,
    /// Where stores are put, up to 15 GB (`long`: some 320 bytes a message), and removed afterwards
    #[arg(long, default_value = "target/bench-store")]
    dir: PathBuf,
    /// What a child of this program does; with its numbers
    #[arg(long, hide = true)]
    task: Option<String>,
    #[arg(hide = true)]
    numbers: Vec<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Appends with 8, 1,000 and 50,000 queues: rates, memory, files, restarts
    Queues,
    /// As `queues`, five times as many: so long that each queue's entries are written several times
    Steady,
    /// Starts with a log of 10 GB: after an orderly end, and after kill -9 under load
    Restart,
    /// MB/s appended with bodies of 1 KiB to 1 MiB, beside dd
    Disk,
    /// 10 GB that are in no cache read from 1, 100 and 10,000 topics beside new messages; only root can empty the cache
    Cold,
    /// A SQLite table as the queue
    Sqlite,
    /// 100 million messages of 128 B, a consumer catching up meanwhile
    Long,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match &options.task {
        Some(task) => tasks::run(task, &options.dir, &options.numbers),
        None => measure(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("ferromq-bench-store: {text}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("{}: {e}", options.dir.display());
    std::fs::create_dir_all(&options.dir).map_err(failed)?;
    let usual = [Part::Queues, Part::Restart, Part::Disk, Part::Sqlite];
    let parts = if options.parts.is_empty() { &usual[..] } else { &options.parts };
    let scale = |count: u64| if options.quick { count / 10 } else { count };
    let mut found = serde_json::Map::new();
    for part in parts {
        // A directory of its own, in which nothing of an earlier run can be in the way.
        let dir = options.dir.join(format!("run-{}", std::process::id()));
        let dir = std::path::absolute(dir).map_err(failed)?;
        let result = match part {
            Part::Queues => parts::queues(&dir, scale(4_000_000), if options.quick { 1 } else { 3 }),
            Part::Steady => parts::steady(&dir, scale(20_000_000)),
            Part::Restart => parts::restart(&dir, scale(10_000)),
            Part::Disk => parts::disk(&dir, scale(2_000)),
            Part::Cold => parts::cold(&dir, scale(10_000)),
            Part::Sqlite => sqlite::compare(&dir, scale(20_000)),
            Part::Long => parts::long(&dir, scale(options.messages)),
        };
        let _cleaned = std::fs::remove_dir_all(&dir);
        let name = part.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        found.insert(name, result?);
    }
    let path = options.dir.join("store.json");
    let text = serde_json::to_string_pretty(&Value::Object(found)).map_err(|e| e.to_string())?;
    std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
    println!("as JSON: {}", path.display());
    Ok(())
}

/// Prints figures as they come.
fn show(name: &str, figures: Value) -> Value {
    let text: Vec<String> =
        figures.as_object().into_iter().flatten().map(|(key, value)| shown(key, value)).collect();
    println!("{name:<28} {}", text.join("  "));
    json!({ "name": name, "figures": figures })
}

fn shown(key: &str, value: &Value) -> String {
    match value.as_f64() {
        Some(number) if number.abs() < 10.0 => format!("{key}={number:.2}"),
        Some(number) if number.abs() < 100.0 => format!("{key}={number:.1}"),
        Some(number) => format!("{key}={number:.0}"),
        None => format!("{key}={value}"),
    }
}
