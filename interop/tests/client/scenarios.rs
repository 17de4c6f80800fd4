//! The list of scenarios that our own servers are shown with, on Apache's.

use crate::Run;
use ferromq::ClientOptions;
use ferromq_interop::Outcome;
use list::{Scenario, Stage, Supports, World};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};

#[path = "../../../core/tests/scenarios/mod.rs"]
mod list;

/// Those that need servers of their own, as they stop them.
const NOT_HERE: &str = "flow-restart";

/// Scenarios that run at the same time.
const AT_ONCE: usize = 8;

/// What Apache's brokers can do with the settings of these tests; 4.9 cannot say that a group has no offset
/// and finds times only nearly.
fn supports(recent: bool) -> Supports {
    Supports { sql: true, no_offset: recent, exact_times: recent, all_compressions: true }
}

/// Whether any of them is asked for.
pub fn wanted(run: &Run, site: &str) -> bool {
    list::ALL.iter().any(|scenario| run.report.matches(&format!("{site}/scenarios/{}", scenario.0)))
}

/// All of them against the cluster at `ns`.
pub fn run(run: &Run, site: &str, ns: &str, recent: bool) {
    let (elsewhere, named): (Vec<_>, Vec<(String, &Scenario)>) = list::ALL
        .iter()
        .map(|scenario| (format!("{site}/scenarios/{}", scenario.0), scenario))
        .filter(|(name, _)| run.report.wants(name))
        .partition(|(_, scenario)| scenario.0.starts_with(NOT_HERE));
    for (name, _) in elsewhere {
        run.report.ignored(&name, "it restarts the servers, which others use here");
    }
    if named.is_empty() {
        return;
    }
    run.report.note(&format!("{site}: scenarios"));
    let open = |ns: String| {
        move |mut options: ClientOptions| {
            options.set("namesrvAddr", &ns)?;
            ferromq::connect_with(options)
        }
    };
    let client = match open(ns.to_owned())(list::quick()) {
        Ok(client) => client,
        Err(error) => {
            run.report.outcome(&format!("{site}/scenarios/connect"), Err(error.to_string()));
            return;
        }
    };
    let shared = client.clone();
    let world = World {
        client: Box::new(move || shared.clone()),
        open: Box::new(open(ns.to_owned())),
        supports: supports(recent),
        restart: None,
        dir: run.place.dir().join(format!("offsets-{site}")),
    };
    let next = AtomicUsize::new(0);
    std::thread::scope(|threads| {
        for _ in 0..AT_ONCE {
            threads.spawn(|| {
                while let Some((name, scenario)) = named.get(next.fetch_add(1, Ordering::Relaxed)) {
                    run.report.case(name, || one(&world, scenario));
                }
            });
        }
    });
    let name = format!("{site}/scenarios/close");
    run.report.case(&name, || client.close().map_err(|error| error.to_string()));
}

fn one(world: &World, (name, body): &Scenario) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| body(&Stage::new(world, name)))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    })
}
