//! Stores of a broker of ours that was killed under load: copies are opened by Apache's 5.3.3 and 4.9.4, and by ours, and all
//! serve every acknowledged message; afterwards ours opens what Apache's left. 2 kills here, 20 with FERROMQ_SOAK=1. And
//! backups that a broker of ours made under load, opened by the same three; and damaged stores, repaired by ours.

#[path = "../../../cli/tests/load/mod.rs"]
mod load;
mod repaired;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ferromq::wire::body::{SubscriptionGroupConfig, SubscriptionGroupWrapper};
use ferromq::wire::{json, Request, ResponseCode, UpdateAndCreateSubscriptiongroup};
use ferromq_interop::java::{self, Line};
use ferromq_interop::process::{copy_tree, free_port, Process, Workplace};
use ferromq_interop::report::Report;
use ferromq_interop::server::{set, small_files, start_broker, start_namesrv, Maker, Settings};
use ferromq_interop::Outcome;
use load::{check, mix, send_until_broken, Acked, Found, ALL, SENDERS, WINDOW};

/// Kills after which a store gives way to a new one.
const LIFE: usize = 5;
const GUESTS: [(&str, Line); 2] = [("apache-5.3.3", Line::V53), ("apache-4.9.4", Line::V49)];

const GROUP: &str = "Kept";
const RETRIES: i32 = 7;

struct Run {
    place: Arc<Workplace>,
    report: Report,
    ns: String,
    _namesrv: Process,
}

impl Run {
    fn prepare() -> Outcome<Run> {
        let report = Report::from_args();
        report.note("building the Java programs");
        java::build()?;
        let place = Workplace::new(std::env::var_os("FERROMQ_INTEROP_KEEP").is_some())?;
        let port = free_port()?;
        let namesrv = start_namesrv(&place, Maker::Ours, "killed", port)?;
        Ok(Run { place, report, ns: format!("127.0.0.1:{port}"), _namesrv: namesrv })
    }

    /// A broker on a store, and its port.
    fn broker(&self, name: &str, maker: Maker, store: &Path, settings: &Settings) -> Outcome<(Process, u16)> {
        let port = free_port()?;
        Ok((start_broker(&self.place, maker, name, port, &self.ns, store, settings)?, port))
    }

    /// What a broker serves of a store; it is killed then.
    fn serves(
        &self,
        name: &str,
        maker: Maker,
        store: &Path,
        conf: &Settings,
        acked: &[Acked],
    ) -> Outcome<Found> {
        let start = Instant::now();
        let (process, port) = self.broker(name, maker, store, conf)?;
        let ready = start.elapsed();
        knows_the_group(port).map_err(|why| format!("{name}: {why}"))?;
        let found = check(port, acked).map_err(|why| format!("{name}: {why}\n{}", process.log_tail()))?;
        process.kill();
        let seconds = (ready.as_secs_f64(), start.elapsed().as_secs_f64());
        self.report.note(&format!(
            "{name}: ready after {:.1} s, all read after {:.1} s: {found:?}",
            seconds.0, seconds.1
        ));
        match found.twice {
            0 => Ok(found),
            _ => Err(format!("{name}: messages are there twice: {found:?}")),
        }
    }
}

/// A group with a limit of retries that is nobody's default.
fn make_group(port: u16) -> Outcome {
    let group =
        SubscriptionGroupConfig { group_name: GROUP.into(), retry_max_times: RETRIES, ..Default::default() };
    let request = UpdateAndCreateSubscriptiongroup { body: group };
    let mut broker = repaired::Connection::open(port)?;
    let answer = broker.call(&Request::UpdateAndCreateSubscriptiongroup(request))?;
    match ResponseCode(answer.code) {
        ResponseCode::SUCCESS => Ok(()),
        code => Err(format!("the group is not made: {code} {:?}", answer.remark)),
    }
}

fn knows_the_group(port: u16) -> Outcome {
    let mut broker = repaired::Connection::open(port)?;
    let answer = broker.call(&Request::GetAllSubscriptiongroupConfig(Default::default()))?;
    let table: SubscriptionGroupWrapper = json::from_slice(answer.body).map_err(|e| e.to_string())?;
    match table.subscription_group_table.get(GROUP) {
        Some(group) if group.retry_max_times == RETRIES => Ok(()),
        other => Err(format!("group {GROUP} is {other:?}")),
    }
}

/// Every second store writes queues, index and checkpoint all the time.
fn conf(flush: &str, eager: bool) -> Settings {
    let mut all = small_files("1s");
    set(&mut all, "flushDiskType", flush);
    set(&mut all, "mappedFileSizeConsumeQueue", "20000");
    set(&mut all, "maxHashSlotNum", "5000");
    set(&mut all, "maxIndexNum", "20000");
    if eager {
        set(&mut all, "flushIntervalConsumeQueue", "20");
        set(&mut all, "flushConsumeQueueThoroughInterval", "100");
    }
    all
}

/// Load on a broker of ours until it is killed, when every queue has been sent to and `after` has passed.
fn load_and_kill(
    run: &Run,
    store: &Path,
    conf: &Settings,
    round: u64,
    after: Duration,
) -> Outcome<Vec<Acked>> {
    let (process, port) = run.broker("ours", Maker::Ours, store, conf)?;
    make_group(port)?;
    let count = Arc::new(AtomicUsize::new(0));
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let count = count.clone();
            let seen = move |_| count.fetch_add(1, Ordering::Relaxed) < usize::MAX;
            std::thread::spawn(move || send_until_broken(port, round, sender, WINDOW, seen))
        })
        .collect();
    let end = Instant::now() + Duration::from_secs(120);
    while count.load(Ordering::Relaxed) < 3 * ALL && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(after);
    process.kill();
    let ends = senders.into_iter().map(|sender| sender.join().map_err(|_| "a sender panicked".to_owned()));
    Ok(ends.collect::<Outcome<Vec<_>>>()?.concat())
}

/// Backups made while four connections send; what was acknowledged before one was begun is in it.
fn backups(run: &Run) -> Outcome {
    let dir = run.place.dir().join("backups");
    let mut conf = conf("ASYNC_FLUSH", false);
    let store = run.place.dir().join("store-backup");
    set(&mut conf, "backupPath", &dir.display().to_string());
    let (process, port) = run.broker("ours", Maker::Ours, &store, &conf)?;
    make_group(port)?;
    let names: &[&str] =
        if std::env::var_os("FERROMQ_SOAK").is_some() { &["first", "second"] } else { &["first"] };
    let acked = Mutex::new(Vec::new());
    let made = std::thread::scope(|threads| {
        for sender in 0..SENDERS {
            let acked = &acked;
            threads.spawn(move || {
                let note = |message| {
                    acked.lock().expect("acked").push(message);
                    true
                };
                send_until_broken(port, 0, sender, WINDOW, note)
            });
        }
        let made: Outcome<Vec<_>> = names
            .iter()
            .map(|name| {
                let more = acked.lock().expect("acked").len() + 3 * ALL;
                let end = Instant::now() + Duration::from_secs(120);
                while acked.lock().expect("acked").len() < more && Instant::now() < end {
                    std::thread::sleep(Duration::from_millis(5));
                }
                let before = acked.lock().expect("acked").clone();
                let mut options = ferromq::ClientOptions::new(run.ns.as_str());
                options.mq_client_api_timeout = Duration::from_secs(120);
                let client = ferromq::connect_with(options).map_err(|e| e.to_string())?;
                let address = format!("127.0.0.1:{port}");
                let backup = client.admin().backup(name, Some(&address), false).map_err(|e| e.to_string())?;
                client.close().map_err(|e| e.to_string())?;
                run.report.note(&format!("backup {name}: {backup:?}"));
                Ok((dir.join(name), before))
            })
            .collect();
        process.kill();
        made
    })?;
    for (backup, acked) in made {
        opened_by_all(run, &backup, &conf, &acked)?;
    }
    Ok(())
}

/// Copies of the store, one a guest, read by them and by ours at the same time.
fn opened_by_all(run: &Run, store: &Path, conf: &Settings, acked: &[Acked]) -> Outcome {
    let copies: Vec<PathBuf> = GUESTS.iter().map(|(name, _)| store.with_extension(name)).collect();
    for copy in &copies {
        copy_tree(store, copy)?;
    }
    let all = std::thread::scope(|threads| {
        let guests: Vec<_> = GUESTS
            .iter()
            .zip(&copies)
            .map(|((name, line), copy)| {
                threads.spawn(move || {
                    run.serves(name, Maker::Apache(*line), copy, conf, acked)?;
                    // It was killed, too.
                    run.serves(&format!("ours-after-{name}"), Maker::Ours, copy, conf, acked)
                })
            })
            .collect();
        let mut all = vec![run.serves("ours-again", Maker::Ours, store, conf, acked)];
        all.extend(guests.into_iter().map(|guest| guest.join().expect("a reader does not panic")));
        all.into_iter().collect::<Outcome<Vec<_>>>()
    })?;
    for copy in &copies {
        std::fs::remove_dir_all(copy).map_err(|e| format!("cannot remove {}: {e}", copy.display()))?;
    }
    let counts: Vec<_> = all.iter().map(|found| found.messages).collect();
    let ours = all[0];
    let uneven = ours.queues >= 1000 && ours.fullest > 10 * ours.messages / ours.queues;
    match uneven && counts.iter().all(|count| *count == counts[0]) {
        true => Ok(()),
        false => {
            Err(format!("all were to find the same, in 1,000 queues at least, unevenly filled: {all:?}"))
        }
    }
}

fn kills(run: &Run, flush: &str) {
    let kills = if std::env::var_os("FERROMQ_SOAK").is_some() { 10 } else { 1 };
    let seed = std::process::id();
    let (mut acked, mut total) = (Vec::new(), 0);
    for kill in 0..kills {
        let name = format!("killed/{flush}/{}", kill + 1);
        let store = run.place.dir().join(format!("store-{flush}-{}", kill / LIFE));
        if kill % LIFE == 0 {
            acked.clear();
        }
        let conf = conf(flush, kill / LIFE % 2 == 1);
        // Some after the first checkpoint that is not of the start.
        let least = if kill % LIFE == 2 { 14_000 } else { 0 };
        let after = Duration::from_millis(least + mix(u64::from(seed) << 32 | kill as u64) % 1500);
        let held = run.report.case(&name, || {
            let more = load_and_kill(run, &store, &conf, kill as u64, after)?;
            total += more.len();
            acked.extend(more);
            opened_by_all(run, &store, &conf, &acked)
        });
        if !held {
            return;
        }
        if kill % LIFE == LIFE - 1 {
            let _gone = std::fs::remove_dir_all(&store);
        }
    }
    run.report.note(&format!("{flush}: {kills} kills, {total} acknowledged messages served by all"));
}

fn main() {
    if std::env::args().any(|a| a == "--list") {
        println!("killed: test");
        return;
    }
    let run = match Run::prepare() {
        Ok(run) => run,
        Err(why) => {
            eprintln!("the tests of killed stores cannot run: {why}");
            std::process::exit(1);
        }
    };
    for flush in ["SYNC_FLUSH", "ASYNC_FLUSH"] {
        if run.report.matches(&format!("killed/{flush}")) {
            kills(&run, flush);
        }
    }
    if run.report.matches("killed/backups-under-load") {
        run.report.case("killed/backups-under-load", || backups(&run));
    }
    repaired::run(&run);
    let code = run.report.finish();
    drop(run);
    std::process::exit(code);
}
