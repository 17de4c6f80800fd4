//! The `ferromq` command: name server, broker, or both in one process, pipes to produce and consume, and a look at the files.

mod backup;
mod bench;
mod broker;
mod consume;
mod format;
mod log;
mod namesrv;
mod process;
mod produce;
mod server;
mod tls;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

/// FerroMQ: Apache RocketMQ's name server and broker in one small binary.
#[derive(Parser)]
#[command(name = "ferromq", version, arg_required_else_help = true, subcommand_required = true)]
struct Cli {
    /// What is written to stderr: error, warn, info, debug, trace, or a filter such as ferromq::store=debug
    /// [default: the environment's RUST_LOG, else info]
    #[arg(long, global = true, value_name = "FILTER")]
    log_level: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Name server and broker in one process; needs no configuration
    Server(server::Args),
    /// A name server
    Namesrv(namesrv::Args),
    /// A broker that registers with name servers
    Broker(broker::Args),
    /// Checks, prints or repairs the files of a store whose broker does not run
    #[command(subcommand)]
    Log(log::Command),
    /// Sends the lines of standard input as messages
    Produce(produce::Args),
    /// Writes messages to standard output
    Consume(consume::Args),
    /// Measures a cluster: what it takes, what it gives, how long messages take through it
    #[command(subcommand)]
    Bench(bench::Command),
    /// Has brokers make consistent copies of their directories while they go on
    Backup(backup::Args),
}

/// Why a command ended without success.
enum Failure {
    /// It could not do what it should: exit code 1.
    Failed(ferromq::Error),
    /// It was not called as it has to be: exit code 2.
    Usage(String),
}

impl From<ferromq::Error> for Failure {
    fn from(error: ferromq::Error) -> Self {
        Failure::Failed(error)
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = log_to_stderr(cli.log_level.as_deref()).and_then(|()| match cli.command {
        Command::Server(args) => server::run(args),
        Command::Namesrv(args) => namesrv::run(args),
        Command::Broker(args) => broker::run(args),
        Command::Log(command) => log::run(command),
        Command::Produce(args) => produce::run(args),
        Command::Consume(args) => consume::run(args),
        Command::Bench(command) => bench::run(command),
        Command::Backup(args) => backup::run(args),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Failed(error)) => {
            eprintln!("ferromq: {error}");
            ExitCode::from(1)
        }
        Err(Failure::Usage(text)) => {
            eprintln!("ferromq: {text}");
            ExitCode::from(2)
        }
    }
}

/// Logs go to stderr, so that stdout stays for what a program may read.
fn log_to_stderr(level: Option<&str>) -> Result<(), Failure> {
    let from_environment = std::env::var("RUST_LOG").ok().filter(|filter| !filter.is_empty());
    let filter = level.map(str::to_owned).or(from_environment).unwrap_or_else(|| "info".to_owned());
    let filter: Targets = filter.parse().map_err(|error| {
        Failure::Usage(format!("log filter {filter:?}: {error}; write for example info or debug"))
    })?;
    let stderr = std::io::stderr;
    let lines = tracing_subscriber::fmt::layer().with_ansi(stderr().is_terminal()).with_writer(stderr);
    tracing_subscriber::registry().with(lines).with(filter).init();
    Ok(())
}
