//! The scenario programs of our packages for C, C++, Python and Node against Apache's servers, and against ours to test
//! the tests. What a package has not got built is an error here, never left out.

use ferromq_interop::java::{self, Line};
use ferromq_interop::process::{Process, Workplace};
use ferromq_interop::report::Report;
use ferromq_interop::server::{our_binary, set, settings, Maker, Settings, Site};
use ferromq_interop::Outcome;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// How long the scenarios of one language may take, even where everything runs at once.
const PATIENCE: Duration = Duration::from_secs(600);

/// How a language's scenarios are run, and what its output looks like when they were.
struct Language {
    name: &'static str,
    /// The command, or what is not built and how to build it.
    command: fn() -> Outcome<Command>,
    /// What stands around the number of scenarios that held.
    passed: (&'static str, &'static str),
    /// How many there are at least: less means that some were left out.
    least: usize,
}

const LANGUAGES: &[Language] = &[
    Language { name: "c", command: c, passed: ("test result: ok. ", " passed"), least: 1 },
    Language { name: "cpp", command: cpp, passed: ("test result: ok. ", " passed"), least: 1 },
    Language { name: "python", command: python, passed: ("", " passed"), least: 8 },
    Language { name: "node", command: node, passed: ("# pass ", "\n"), least: 8 },
];

/// The root of the project.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The directory that cargo builds into.
fn target() -> Outcome<PathBuf> {
    let exe = std::env::current_exe().map_err(|e| format!("where are we? {e}"))?;
    let dir = exe.ancestors().nth(3).ok_or_else(|| format!("{} is in no target directory", exe.display()))?;
    Ok(dir.to_owned())
}

/// A test of `ffi`, which compiles a program and runs it at all places; cargo builds what is missing.
fn compiled(tests: &str, name: &str) -> Outcome<Command> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["test", "-p", "ferromq-ffi", "--test", tests, "--", "--exact", name]).current_dir(root());
    Ok(command)
}

fn c() -> Outcome<Command> {
    compiled("programs", "scenarios_at_a_cluster")
}

fn cpp() -> Outcome<Command> {
    compiled("cpp", "scenarios")
}

fn python() -> Outcome<Command> {
    let interpreter = target()?.join("python-venv/bin/python");
    let package = root().join("bindings/python");
    let there = Command::new(&interpreter).args(["-c", "import ferromq"]).current_dir(target()?).output();
    if !there.is_ok_and(|output| output.status.success()) {
        let program = interpreter.display();
        return Err(format!(
            "Python's package is not built: {program} imports no ferromq; run `make test-python` first"
        ));
    }
    let mut command = Command::new(interpreter);
    command.args(["-m", "pytest", "-p", "no:cacheprovider", "-k", "cluster", "-c"]);
    command.arg(package.join("pyproject.toml")).arg("--rootdir").arg(&package);
    // Not in the package's own directory: what is tested is the installed one.
    command.arg(package.join("tests/test_scenarios.py")).current_dir(target()?);
    Ok(command)
}

fn node() -> Outcome<Command> {
    let package = root().join("bindings/node");
    let there = Command::new("node").args(["-e", "require('.')"]).current_dir(&package).output();
    match there {
        Ok(output) if output.status.success() => {}
        Ok(_) => return Err("Node's package is not built: run `make test-node` first".to_owned()),
        Err(why) => return Err(format!("cannot run node ({why}): Node 20 or newer has to be installed")),
    }
    let mut command = Command::new("node");
    command.args(["--test", "--test-reporter=tap", "test/scenarios.test.mjs"]).current_dir(package);
    Ok(command)
}

fn main() {
    if std::env::args().any(|a| a == "--list") {
        println!("languages: test");
        return;
    }
    let report = Report::from_args();
    if let Err(why) = run(&report) {
        eprintln!("the languages' interop tests cannot run: {why}");
        std::process::exit(1);
    }
    std::process::exit(report.finish());
}

fn run(report: &Report) -> Outcome {
    our_binary()?;
    report.note("building the Java programs");
    java::build()?;
    let place = Workplace::new(std::env::var_os("FERROMQ_INTEROP_KEEP").is_some())?;
    std::thread::scope(|threads| {
        for (site, maker) in [("apache", Maker::Apache(Line::V53)), ("ours", Maker::Ours)] {
            let place = &place;
            threads.spawn(move || on_site(report, place, site, maker));
        }
    });
    Ok(())
}

/// What the scenarios want of a server: quick delays and questions about transactions, filters by SQL, and topics that
/// can be deleted (which Apache's 5.3.3 can only with its timer). Apache's notes decisions about transactions by and by,
/// every 3 s unless told: what is decided but not yet noted it asks about.
fn quick() -> Settings {
    let mut all = settings("1s");
    for (key, value) in [
        ("transactionTimeOut", "1000"),
        ("transactionOpBatchInterval", "100"),
        ("transactionCheckInterval", "2000"),
        ("enablePropertyFilter", "true"),
        ("notifyConsumerIdsChangedEnable", "true"),
        ("timerWheelEnable", "true"),
    ] {
        set(&mut all, key, value);
    }
    all
}

fn on_site(report: &Report, place: &Arc<Workplace>, site: &str, maker: Maker) {
    let wanted: Vec<_> = LANGUAGES
        .iter()
        .map(|language| (format!("{site}/languages/{}", language.name), language))
        .filter(|(name, _)| report.wants(name))
        .collect();
    if wanted.is_empty() {
        return;
    }
    let mut server = match Site::start(place, maker, &format!("languages-{site}"), &quick()) {
        Ok(server) => server,
        Err(why) => {
            report.outcome(&format!("{site}/start"), Err(why));
            return;
        }
    };
    for (name, language) in wanted {
        report.case(&name, || scenarios(place, language, &server.namesrv(), &name.replace('/', "-")));
    }
    report.case(&format!("{site}/clean-shutdown"), || server.stop());
}

fn scenarios(place: &Arc<Workplace>, language: &Language, address: &str, log: &str) -> Outcome {
    let mut command = (language.command)()?;
    command.env("FERROMQ_SCENARIO_ADDR", address);
    let (ended, said) = Process::spawn(place, log, command, false)?.ended(PATIENCE)?;
    let (before, behind) = language.passed;
    let count = number_between(&said, before, behind);
    if ended.success() && count >= Some(language.least) {
        return Ok(());
    }
    let least = language.least;
    Err(format!("it ended with {ended}; {count:?} held, {least} have to; it said:\n{said}"))
}

/// The last number that stands between these two.
fn number_between(text: &str, before: &str, behind: &str) -> Option<usize> {
    text.match_indices(behind)
        .filter_map(|(at, _)| {
            let head = &text[..at];
            let digits = head.len() - head.trim_end_matches(|c: char| c.is_ascii_digit()).len();
            let number = &head[head.len() - digits..];
            head[..head.len() - digits].ends_with(before).then(|| number.parse().ok()).flatten()
        })
        .last()
}
