//! A server that is stopped, loses its oldest commit log file and is started again; and its store opened by Apache's
//! brokers.

use crate::clients::AWAIT;
use crate::Run;
use ferromq_interop::java::{Driver, Line};
use ferromq_interop::process::{copy_tree, free_port};
use ferromq_interop::server::{small_files, start_broker, start_namesrv, Maker, Site};
use ferromq_interop::Outcome;
use std::path::{Path, PathBuf};
use std::time::Duration;

const AFTER: &[&str] = &["restart.after", "from.first", "from.timestamp", "from.last"];
const STORE: &[&str] = &["store.verify", "store.index", "store.goes.on"];
const BROKERS: [(&str, Line); 2] = [("apache-5.3.3", Line::V53), ("apache-4.9.4", Line::V49)];

/// All of it; the parts build on each other, so it runs whole or not at all.
pub fn run(run: &Run) {
    let mut names: Vec<String> =
        run.drivers.iter().flat_map(|d| AFTER.iter().map(move |case| format!("{}/{case}", d.name))).collect();
    names.extend(
        BROKERS.iter().flat_map(|(broker, _)| STORE.iter().map(move |case| format!("{broker}/{case}"))),
    );
    if !names.iter().any(|name| run.report.matches(name)) {
        return;
    }
    if let Err(why) = scenario(run) {
        run.report.outcome("restart/preparation", Err(why));
    }
}

/// Runs a step in all drivers at the same time; the first failure counts.
fn everywhere(run: &Run, case: &str, ns: &str) -> Outcome {
    let ids: Vec<(&Driver, u64)> = run.drivers.iter().map(|d| (d, d.begin(case, ns, &[]))).collect();
    for (driver, id) in ids {
        driver
            .verdict(id, Duration::from_secs(200))
            .map_err(|why| format!("{} {case}: {why}", driver.name))?;
    }
    Ok(())
}

fn scenario(run: &Run) -> Outcome {
    run.report.note("a store of many small files");
    let mut site = Site::start(&run.place, run.maker, "second", &small_files("2h"))?;
    let ns = site.namesrv();
    let keeper = &run.drivers[0];
    everywhere(run, AWAIT, &ns)?;
    everywhere(run, "from.old", &ns)?;
    keeper.run("from.filler", &ns, &[("bytes", "2097152")])?;
    let written = keeper.begin("store.write", &ns, &[]);
    everywhere(run, "from.kept", &ns)?;
    everywhere(run, "restart.before", &ns)?;
    keeper.verdict(written, Duration::from_secs(200)).map_err(|why| format!("store.write: {why}"))?;
    keeper.run("store.snapshot", &ns, &[]).map_err(|why| format!("store.snapshot: {why}"))?;
    site.stop()?;
    let store = site.store()?;
    let copies: Vec<PathBuf> =
        BROKERS.iter().map(|(name, _)| run.place.dir().join(format!("copy-{name}"))).collect();
    for copy in &copies {
        copy_tree(&store, copy)?;
    }
    drop_first_file(&store.join("commitlog"))?;
    site.start_again(&small_files("1s"))?;
    run.report.note("after the restart");
    after_restart(run, &ns);
    run.report.case("server/clean-shutdown-small-files", || site.stop());
    for ((name, line), copy) in BROKERS.iter().zip(&copies) {
        run.report.note(&format!("{name} opens the store"));
        if let Err(why) = opened_by_apache(run, keeper, name, *line, copy) {
            run.report.outcome(&format!("{name}/store"), Err(why));
        }
    }
    Ok(())
}

fn after_restart(run: &Run, ns: &str) {
    std::thread::scope(|threads| {
        for driver in &run.drivers {
            threads.spawn(move || {
                for case in AFTER {
                    run.report.outcome(&format!("{}/{case}", driver.name), driver.run(case, ns, &[]));
                }
            });
        }
    });
}

/// What retention does to the oldest messages: their file is gone.
fn drop_first_file(commitlog: &Path) -> Outcome {
    let mut files: Vec<PathBuf> = std::fs::read_dir(commitlog)
        .and_then(|dir| dir.map(|entry| entry.map(|e| e.path())).collect())
        .map_err(|e| format!("cannot list {}: {e}", commitlog.display()))?;
    files.sort();
    if files.len() < 4 {
        return Err(format!("the commit log did not roll over: {files:?}"));
    }
    std::fs::remove_file(&files[0]).map_err(|e| format!("cannot remove {}: {e}", files[0].display()))
}

fn opened_by_apache(run: &Run, keeper: &Driver, name: &str, line: Line, store: &Path) -> Outcome {
    let namesrv_port = free_port()?;
    let ns = format!("127.0.0.1:{namesrv_port}");
    let _namesrv = start_namesrv(&run.place, Maker::Apache(Line::V53), name, namesrv_port)?;
    let settings = small_files("1s");
    let broker = start_broker(&run.place, Maker::Apache(line), name, free_port()?, &ns, store, &settings)?;
    keeper.run(AWAIT, &ns, &[])?;
    for case in STORE {
        run.report.outcome(&format!("{name}/{case}"), keeper.run(case, &ns, &[]));
    }
    broker.kill();
    Ok(())
}
