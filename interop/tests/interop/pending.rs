//! What one broker began, delays, retries, transactions and filtered groups, another ends that opens its store.

use crate::clients::AWAIT;
use crate::Run;
use ferromq_interop::java::{Driver, Line};
use ferromq_interop::process::free_port;
use ferromq_interop::server::{set, settings, start_broker, start_namesrv, Maker, Settings};
use ferromq_interop::Outcome;
use std::path::Path;
use std::time::Duration;

/// Both ways, with both of Apache's brokers.
pub fn run(run: &Run) {
    let (ours, new, old) = (run.maker, Maker::Apache(Line::V53), Maker::Apache(Line::V49));
    let pairs = [
        ("from-apache-5.3.3", new, ours),
        ("to-apache-5.3.3", ours, new),
        ("from-apache-4.9.4", old, ours),
        ("to-apache-4.9.4", ours, old),
    ];
    for (name, from, to) in pairs {
        let name = format!("pending/{name}");
        if run.report.wants(&name) {
            run.report.case(&name, || handed_over(run, &name.replace('/', "-"), from, to));
        }
    }
}

/// The first leaves everything waiting, the other does not.
fn stage(waits: bool) -> Settings {
    let mut all = settings(if waits { "2h" } else { "1s" });
    for (key, value) in [
        ("transactionTimeOut", if waits { "3600000" } else { "1000" }),
        ("transactionCheckInterval", "2000"),
        ("enablePropertyFilter", "true"),
    ] {
        set(&mut all, key, value);
    }
    all
}

fn handed_over(run: &Run, name: &str, from: Maker, to: Maker) -> Outcome {
    let driver = &run.drivers[0];
    let store = run.place.subdir(&format!("data-{name}"))?;
    for (maker, step, waits) in [(from, "pending.begin", true), (to, "pending.end", false)] {
        with_broker(run, &format!("{name}-{step}"), maker, &store, &stage(waits), driver, step)
            .map_err(|why| format!("{step} with {maker:?}: {why}"))?;
    }
    Ok(())
}

fn with_broker(
    run: &Run,
    name: &str,
    maker: Maker,
    store: &Path,
    settings: &Settings,
    driver: &Driver,
    step: &str,
) -> Outcome {
    let (namesrv_port, broker_port) = (free_port()?, free_port()?);
    let ns = format!("127.0.0.1:{namesrv_port}");
    let namesrv = start_namesrv(&run.place, Maker::Apache(Line::V53), name, namesrv_port)?;
    let broker = start_broker(&run.place, maker, name, broker_port, &ns, store, settings)?;
    driver.run(AWAIT, &ns, &[])?;
    driver.run(step, &ns, &[])?;
    broker.terminate(Duration::from_secs(60))?;
    namesrv.terminate(Duration::from_secs(60)).map(|_| ())
}
