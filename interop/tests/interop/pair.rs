//! A cluster of two brokers at one name server.

use crate::clients::AWAIT;
use crate::Run;
use ferromq_interop::java::Driver;
use ferromq_interop::process::free_port;
use ferromq_interop::server::{set, settings, start_broker, start_namesrv};
use ferromq_interop::Outcome;
use std::time::Duration;

/// A topic of the cluster has queues on both, which producers and consumers use alike.
pub fn run(run: &Run) {
    let name = "pair/topic-of-two-brokers";
    if run.report.wants(name) {
        run.report.case(name, || of_two(run, &run.drivers[0]));
    }
}

fn of_two(run: &Run, driver: &Driver) -> Outcome {
    let port = free_port()?;
    let ns = format!("127.0.0.1:{port}");
    let namesrv = start_namesrv(&run.place, run.maker, "pair", port)?;
    let mut brokers = Vec::new();
    for name in ["pair-a", "pair-b"] {
        let store = run.place.subdir(&format!("data-{name}"))?;
        let mut settings = settings("1s");
        set(&mut settings, "brokerName", name);
        brokers.push(start_broker(&run.place, run.maker, name, free_port()?, &ns, &store, &settings)?);
    }
    driver.run(AWAIT, &ns, &[])?;
    driver.run("tools.topicOfTwoBrokers", &ns, &[])?;
    for process in brokers {
        process.terminate(Duration::from_secs(60))?;
    }
    namesrv.terminate(Duration::from_secs(60)).map(|_| ())
}
