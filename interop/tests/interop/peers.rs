//! Mixed clusters: Apache's broker at our name server, our broker at Apache's.

use crate::clients::{all_at_once, AWAIT};
use crate::Run;
use ferromq_interop::java::Line;
use ferromq_interop::process::free_port;
use ferromq_interop::server::{settings, start_broker, start_namesrv, Maker};
use ferromq_interop::Outcome;
use std::time::Duration;

/// What clients need of a cluster: routes, sends, pulls, pushes, retries, queries, topics made and found.
const CASES: &[&str] = &[
    "send.sync",
    "send.batch",
    "push.concurrent",
    "push.orderly",
    "retry.success",
    "retry.dlq",
    "lite.subscribe",
    "query.key",
    "topic.create",
];

/// Both mixtures.
pub fn run(run: &Run) {
    let apache = Maker::Apache(Line::V53);
    std::thread::scope(|threads| {
        threads.spawn(|| mixture(run, "apache-broker", run.maker, apache));
        threads.spawn(|| mixture(run, "apache-namesrv", apache, run.maker));
    });
}

fn mixture(run: &Run, name: &str, namesrv: Maker, broker: Maker) {
    let mut cases =
        run.drivers.iter().flat_map(|d| CASES.iter().map(move |case| format!("{name}/{}/{case}", d.name)));
    if !cases.any(|case| run.report.matches(&case)) {
        return;
    }
    run.report.note(&format!("mixed cluster: {name}"));
    if let Err(why) = serve(run, name, namesrv, broker) {
        run.report.outcome(&format!("{name}/start"), Err(why));
    }
}

fn serve(run: &Run, name: &str, namesrv: Maker, broker: Maker) -> Outcome {
    let (namesrv_port, broker_port) = (free_port()?, free_port()?);
    let ns = format!("127.0.0.1:{namesrv_port}");
    let names = start_namesrv(&run.place, namesrv, name, namesrv_port)?;
    let store = run.place.subdir(&format!("data-{name}"))?;
    let mut settings = settings("1s");
    // The cases know Apache's broker by this name: it may lose topics that change at the same time.
    settings.iter_mut().filter(|(key, _)| key == "brokerName").for_each(|(_, value)| name.clone_into(value));
    let process = start_broker(&run.place, broker, name, broker_port, &ns, &store, &settings)?;
    std::thread::scope(|threads| {
        for driver in &run.drivers {
            let ns = &ns;
            threads.spawn(move || match driver.run(AWAIT, ns, &[]) {
                Ok(_) => all_at_once(run, driver, &format!("{name}/"), CASES, ns),
                Err(why) => {
                    run.report.outcome(&format!("{name}/{}/await", driver.name), Err(why));
                }
            });
        }
    });
    // A broker that leaves in order is gone from the routes at once.
    process.terminate(Duration::from_secs(60))?;
    let unregistered = format!("{name}/unregistered");
    if run.report.wants(&unregistered) {
        run.report.outcome(&unregistered, run.drivers[0].run("unregistered", &ns, &[]));
    }
    names.terminate(Duration::from_secs(60)).map(|_| ())
}
