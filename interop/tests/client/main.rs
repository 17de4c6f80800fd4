//! Our client against Apache's servers, and beside Apache's clients on both. See the crate's documentation for the
//! switches.

mod crossed;
mod embedded;
mod faults;
mod orphans;
mod owners;
mod scenarios;
mod slave;
mod tools;

use ferromq_interop::java::{self, Line};
use ferromq_interop::member::{Kind, Member};
use ferromq_interop::process::{free_port, Workplace};
use ferromq_interop::report::Report;
use ferromq_interop::server::{
    our_binary, set, settings, start_broker, start_namesrv, Maker, Settings, Site,
};
use ferromq_interop::Outcome;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long anything may take to become true.
const PATIENCE: Duration = Duration::from_secs(90);

/// What all parts share.
struct Run {
    place: Arc<Workplace>,
    report: Report,
    /// The kinds of clients; ours last.
    kinds: Vec<Kind>,
}

impl Run {
    fn prepare() -> Outcome<Run> {
        let report = Report::from_args();
        our_binary()?;
        report.note("building the Java programs");
        java::build()?;
        let place = Workplace::new(std::env::var_os("FERROMQ_INTEROP_KEEP").is_some())?;
        report.note(&format!("working in {}", place.dir().display()));
        let mut kinds = vec![Kind::Java(Line::V53), Kind::Java(Line::V49)];
        match std::env::var("FERROMQ_INTEROP_CLIENT").as_deref() {
            Err(_) | Ok("" | "ferromq") => kinds.push(Kind::Ours),
            Ok("apache") => {}
            Ok(other) => {
                return Err(format!("FERROMQ_INTEROP_CLIENT={other:?} is neither \"ferromq\" nor \"apache\""))
            }
        }
        Ok(Run { place, report, kinds })
    }

    /// A process of that kind.
    fn member(&self, kind: Kind, extra: &str) -> Outcome<Member> {
        let name = format!("{kind}{extra}");
        Member::start(&self.place, kind, &name, Path::new(env!("CARGO_BIN_EXE_ferromq-member")))
    }

    /// One process of each kind.
    fn members(&self, extra: &str) -> Outcome<Vec<Member>> {
        self.kinds.iter().map(|kind| self.member(*kind, extra)).collect()
    }
}

/// Settings of a broker in room r1, which checks transactions soon and filters by SQL.
fn in_room(name: &str) -> Settings {
    let mut all = settings("1s");
    for (key, value) in [
        ("brokerName", name),
        ("transactionTimeOut", "1000"),
        ("transactionCheckInterval", "2000"),
        ("enablePropertyFilter", "true"),
        ("notifyConsumerIdsChangedEnable", "true"),
    ] {
        set(&mut all, key, value);
    }
    all
}

/// A case that is repeated until it holds, or says at the end why not.
fn eventually(what: &str, holds: impl FnMut() -> Outcome) -> Outcome {
    every(Duration::from_millis(50), PATIENCE, what, holds)
}

/// As [`eventually`], for what costs a lot, as mqadmin does.
fn seldom(what: &str, holds: impl FnMut() -> Outcome) -> Outcome {
    every(Duration::from_millis(800), PATIENCE, what, holds)
}

fn every(pause: Duration, patience: Duration, what: &str, mut holds: impl FnMut() -> Outcome) -> Outcome {
    let end = std::time::Instant::now() + patience;
    loop {
        match holds() {
            Ok(()) => return Ok(()),
            Err(why) if std::time::Instant::now() > end => return Err(format!("{what}: {why}")),
            Err(_) => std::thread::sleep(pause),
        }
    }
}

/// Fails unless both are equal.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, expected: &T, actual: &T) -> Outcome {
    if expected == actual {
        return Ok(());
    }
    let shorten = |value: &T| {
        let mut text = format!("{value:?}");
        if text.len() > 600 {
            text.truncate((0..600).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0));
        }
        text
    };
    Err(format!("{what}: expected {}, got {}", shorten(expected), shorten(actual)))
}

fn main() {
    if std::env::args().any(|a| a == "--list") {
        println!("client: test");
        return;
    }
    // RUST_LOG=ferromq=debug tells what our client does.
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let run = match Run::prepare() {
        Ok(run) => run,
        Err(why) => {
            eprintln!("the client's interop tests cannot run: {why}");
            std::process::exit(1);
        }
    };
    std::thread::scope(|threads| {
        for (name, maker) in [("ours", Maker::Ours), ("apache", Maker::Apache(Line::V53))] {
            let run = &run;
            threads.spawn(move || on_site(run, name, maker));
        }
        threads.spawn(|| slave::run(&run));
        threads.spawn(|| old_broker(&run));
        threads.spawn(|| embedded::run(&run));
        threads.spawn(|| faults::run(&run));
    });
    let code = run.report.finish();
    drop(run);
    std::process::exit(code);
}

/// What runs against a whole cluster of either maker.
fn on_site(run: &Run, name: &str, maker: Maker) {
    let site = match Site::start(&run.place, maker, name, &in_room("r1@interop")) {
        Ok(site) => site,
        Err(why) => {
            run.report.outcome(&format!("{name}/start"), Err(why));
            return;
        }
    };
    let ns = site.namesrv();
    crossed::run(run, name, maker, &ns);
    owners::run(run, name, &ns);
    if maker != Maker::Ours {
        scenarios::run(run, name, &ns, true);
    }
    orphans::run(run, name, &ns);
    tools::run(run, name, &ns);
}

/// The scenarios on Apache's broker 4.9.4.
fn old_broker(run: &Run) {
    let name = "apache-4.9.4";
    if !scenarios::wanted(run, name) {
        return;
    }
    let outcome = || -> Outcome {
        let port = free_port()?;
        let ns = format!("127.0.0.1:{port}");
        let _namesrv = start_namesrv(&run.place, Maker::Apache(Line::V53), name, port)?;
        let (store, settings) = (run.place.subdir("data-49")?, in_room("broker-49"));
        let maker = Maker::Apache(Line::V49);
        let _broker = start_broker(&run.place, maker, name, free_port()?, &ns, &store, &settings)?;
        scenarios::run(run, name, &ns, false);
        Ok(())
    };
    if let Err(why) = outcome() {
        run.report.outcome(&format!("{name}/start"), Err(why));
    }
}
