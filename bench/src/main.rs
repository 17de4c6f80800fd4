//! Benchmarks of our broker against Apache's and against a server that does nothing: all started here, one after the
//! other, under the same load, in raw frames that belong to none of them. Prints a table of ratios and writes
//! `bench/latest.json` below the target directory.

mod aims;
mod cases;
mod chart;
mod client;
mod disk;
mod drain;
mod frame;
mod in_process;
mod java;
mod latency;
mod load;
mod machine;
mod measure;
mod nothing;
mod paced;
mod page;
mod peer;
mod record;
mod report;
mod sizes;
mod stats;
mod works;

use cases::{Case, Plan, Run};
use clap::Parser;
use frame::Header;
use peer::Peer;
use report::{Board, Figure};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Compares FerroMQ's broker with Apache RocketMQ's, and with a server that does nothing, on this machine.
#[derive(Parser)]
#[command(name = "ferromq-bench")]
struct Options {
    /// Short runs, for a first look: one round
    #[arg(long)]
    quick: bool,
    /// Rounds in which the sides take turns, of which medians are told [default: 3, quick 1]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,
    /// One side only
    #[arg(long, value_enum)]
    only: Option<Only>,
    /// Cases of this name, or whose names begin so; may be repeated. Default: all
    #[arg(long = "case", value_name = "NAME")]
    cases: Vec<String>,
    /// Prints the names of the cases
    #[arg(long)]
    list: bool,
    /// How request headers are written
    #[arg(long, value_enum, default_value = "json")]
    header: Header,
    /// The ferromq binary; default: beside this program
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
    /// Where the stores are put, up to 15 GB, and removed afterwards; default: bench/ in the target directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Measures nothing, but writes performance.md and its chart there from the last run
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Is the do-nothing server, on this port
    #[arg(long, hide = true, value_name = "PORT")]
    nothing: Option<u16>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Only {
    Ours,
    Apache,
    Nothing,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match options.nothing {
        Some(port) => nothing::serve(port),
        None => work(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("ferromq-bench: {text}");
            ExitCode::FAILURE
        }
    }
}

fn work(options: &Options) -> Result<(), String> {
    if options.list {
        cases::CASES.iter().for_each(|(name, _)| println!("{name}"));
        return Ok(());
    }
    let program = std::env::current_exe().map_err(|e| format!("where this program is: {e}"))?;
    let beside = program.parent().unwrap_or(Path::new("."));
    let target = beside.parent().unwrap_or(beside);
    let dir = options.dir.clone().unwrap_or_else(|| target.join("bench"));
    let latest = dir.join("latest.json");
    if let Some(to) = &options.report {
        return page::write(&Board::load(&latest)?, to);
    }
    let mut plan = Plan::new(options.quick);
    plan.rounds = options.rounds.map_or(plan.rounds, usize::from);
    let cases = Case::choose(&options.cases)?;
    let named = !options.cases.is_empty();
    let run = Run { cases, plan, form: options.header, named, top_rate: Default::default() };
    let stores = Stores::new(&dir)?;
    let bench = Bench { run: &run, only: options.only, beside, target, stores: &stores.0 };
    let server = options.server.clone().unwrap_or_else(|| beside.join("ferromq"));
    let board = bench.all(&program, &server, options.quick)?;
    print!("\n{}", report::table(&board));
    board.save(&latest)?;
    println!("as JSON: {}", latest.display());
    Ok(())
}

/// A run of all sides.
struct Bench<'a> {
    run: &'a Run,
    only: Option<Only>,
    beside: &'a Path,
    target: &'a Path,
    stores: &'a Path,
}

impl Bench<'_> {
    fn wants(&self, side: Only) -> bool {
        self.only.is_none_or(|only| only == side)
    }

    /// Apache's first, so that its top rate is known when the others are paced by it.
    fn peers(&self, program: &Path, server: &Path) -> Result<Vec<Peer>, String> {
        let mut peers = Vec::new();
        let java = self.run.cases.iter().any(|case| matches!(case, Case::JavaSend | Case::JavaDrain));
        if self.wants(Only::Apache) || java {
            let jars = jars()?;
            if self.wants(Only::Apache) {
                peers.push(Peer::Apache { jars });
            }
        }
        if self.wants(Only::Ours) {
            peers.push(Peer::Ferromq { binary: built(server)? });
        }
        if self.wants(Only::Nothing) {
            peers.push(Peer::Nothing { program: program.to_owned() });
        }
        Ok(peers)
    }

    fn all(&self, program: &Path, server: &Path, quick: bool) -> Result<Board, String> {
        let peers = self.peers(program, server)?;
        let mut board = Board { about: machine::about(Some(server), self.stores), ..Board::default() };
        let plan = &self.run.plan;
        let kind = if quick { "quick" } else { "full" };
        board.about.insert("run".into(), format!("{kind}, rounds: {}", plan.rounds));
        board.about.insert("headers".into(), format!("{:?}", self.run.form).to_lowercase());
        for round in 0..plan.rounds {
            eprintln!("round {} of {}", round + 1, plan.rounds);
            for peer in &peers {
                let store = self.stores.join(peer.name());
                self.run.side(peer, round, &store, &mut |found| board.note(peer.name(), found));
                let _removed = std::fs::remove_dir_all(store);
            }
            self.beside(&mut board);
        }
        if self.wants(Only::Ours) && self.run.cases.contains(&Case::Sizes) {
            for figure in sizes::figures(self.beside, server, self.stores) {
                board.note(report::OURS, figure);
            }
        }
        Ok(board)
    }

    /// A round of what no broker is needed for.
    fn beside(&self, board: &mut Board) {
        let cases = &self.run.cases;
        if self.only.is_none() && cases.contains(&Case::Sync(1024, 1, 1)) {
            let _synced = Command::new("sync").status();
            board.note("disk", disk::sync(self.stores, self.run.plan.send));
        }
        if self.wants(Only::Ours) && cases.contains(&Case::InProcess) {
            match in_process::run(self.target, self.run.plan.in_process) {
                Ok(found) => {
                    found.figures.into_iter().for_each(|(side, figure)| board.note(&side, Ok(figure)));
                    board.failures.extend(found.failures);
                }
                Err(text) => board.failures.push(format!("in-process: {text}")),
            }
        }
    }
}

impl Board {
    /// Takes a figure or a failure, and shows it.
    fn note(&mut self, side: &str, found: Result<Figure, String>) {
        match found {
            Ok(figure) => {
                eprintln!(
                    "{side:<9} {:<48} {:>14} {}",
                    figure.case,
                    report::number(figure.value),
                    figure.unit
                );
                self.add(side, &figure);
            }
            Err(text) => {
                eprintln!("{side:<9} ! {text}");
                self.failures.push(format!("{side}: {text}"));
            }
        }
    }
}

fn built(server: &Path) -> Result<PathBuf, String> {
    if server.exists() {
        return Ok(server.to_owned());
    }
    Err(format!(
        "{} does not exist; build it with `cargo build --release -p ferromq-cli`, or name it with --server",
        server.display()
    ))
}

/// Apache's jars, fetched by Maven the first time.
fn jars() -> Result<PathBuf, String> {
    let project = java::project();
    let jars = project.join("target/dependency");
    let wanted = ["broker", "namesrv", "client"].map(|name| jars.join(format!("rocketmq-{name}-5.3.3.jar")));
    let there = || wanted.iter().all(|jar| jar.exists());
    if !there() {
        eprintln!("fetching Apache's broker into {}", jars.display());
        let status =
            Command::new("mvn").args(["-q", "dependency:copy-dependencies"]).current_dir(&project).status();
        if !(status.is_ok_and(|status| status.success()) && there()) {
            return Err(format!(
                "`mvn -q dependency:copy-dependencies` in {} did not bring {}; it needs Maven, Java 17 and Maven \
                 Central, or run with --only ours",
                project.display(),
                wanted[0].display()
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
    fn options_are_consistent() {
        use clap::CommandFactory;
        Options::command().debug_assert();
    }

    #[test]
    fn what_was_not_built_is_named() {
        assert!(built(Path::new("no/ferromq")).is_err_and(|text| text.contains("cargo build --release")));
    }
}
