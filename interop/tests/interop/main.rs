//! Apache's clients, tools and brokers against our processes, and back. See the crate's documentation for the switches.

mod clients;
mod go;
mod pair;
mod peers;
mod pending;
mod restart;
mod travels;

use ferromq_interop::java::{self, Driver, Headers, Line};
use ferromq_interop::process::Workplace;
use ferromq_interop::report::Report;
use ferromq_interop::server::{set, settings, Maker, Site};
use ferromq_interop::Outcome;
use std::sync::Arc;

/// What all scenarios share.
struct Run {
    place: Arc<Workplace>,
    maker: Maker,
    report: Report,
    drivers: Vec<Driver>,
}

impl Run {
    fn prepare() -> Outcome<Run> {
        let report = Report::from_args();
        let maker = Maker::under_test()?;
        if maker == Maker::Ours {
            ferromq_interop::server::our_binary()?;
        }
        report.note("building the Java programs");
        java::build()?;
        let place = Workplace::new(std::env::var_os("FERROMQ_INTEROP_KEEP").is_some())?;
        report.note(&format!("testing {maker:?} in {}", place.dir().display()));
        let mut drivers = Vec::new();
        for line in [Line::V53, Line::V49] {
            for headers in [Headers::Json, Headers::Binary] {
                drivers.push(Driver::start(&place, line, headers, "")?);
            }
        }
        Ok(Run { place, maker, report, drivers })
    }

    /// Clients, Go and tools on one server, which is fresh at their start. `meanwhile` runs once the machine is no
    /// longer busy with the independent cases.
    fn first_site(&self, meanwhile: impl FnOnce() + Send) {
        let mut all = settings("1s");
        for (key, value) in [
            // Without it Apache's broker 5.3.3 deletes no topic: it fails with a null pointer.
            ("timerWheelEnable", "true"),
            ("transactionTimeOut", "1000"),
            ("transactionCheckInterval", "2000"),
            ("enablePropertyFilter", "true"),
        ] {
            set(&mut all, key, value);
        }
        let mut site = match Site::start(&self.place, self.maker, "first", &all) {
            Ok(site) => site,
            Err(why) => {
                self.report.outcome("server/start", Err(why));
                return meanwhile();
            }
        };
        clients::independent(self, &site.namesrv());
        std::thread::scope(|threads| {
            threads.spawn(meanwhile);
            clients::killed(self, &site.namesrv());
            go::run(self, &site.namesrv());
            clients::tools(self, &site.namesrv());
        });
        self.report.case("server/clean-shutdown", || site.stop());
    }
}

fn main() {
    // `cargo test -- --list` and the like ask for a harness; one line tells what there is.
    if std::env::args().any(|a| a == "--list") {
        println!("interop: test");
        return;
    }
    let run = match Run::prepare() {
        Ok(run) => run,
        Err(why) => {
            eprintln!("interop cannot run: {why}");
            std::process::exit(1);
        }
    };
    run.first_site(|| restart::run(&run));
    peers::run(&run);
    pair::run(&run);
    pending::run(&run);
    travels::run(&run);
    let code = run.report.finish();
    drop(run);
    std::process::exit(code);
}
