//! The Go client.

use crate::Run;
use ferromq_interop::Outcome;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const CASES: &[&str] = &[
    "send",
    "send.async",
    "send.oneway",
    "send.batch",
    "push",
    "push.orderly",
    "push.tags",
    "retry",
    "pull",
];

/// Builds the program and runs its cases, each in a process.
pub fn run(run: &Run, ns: &str) {
    let wanted: Vec<(String, &str)> = CASES
        .iter()
        .map(|case| (format!("go/{case}"), *case))
        .filter(|(name, _)| run.report.wants(name))
        .collect();
    if wanted.is_empty() {
        return;
    }
    run.report.note("the Go client");
    let binary = run.place.dir().join("interop-go");
    if let Err(why) = build(&binary) {
        run.report.outcome("go/build", Err(why));
        return;
    }
    std::thread::scope(|threads| {
        for (name, case) in &wanted {
            let binary = &binary;
            threads.spawn(move || run.report.case(name, || one(run, binary, case, ns)));
        }
    });
}

fn build(binary: &Path) -> Outcome {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("go");
    let mut go = Command::new("go");
    go.arg("build").arg("-o").arg(binary).arg(".").current_dir(&dir).env("GOFLAGS", "-mod=readonly");
    let output = go.output().map_err(|e| format!("cannot run go ({e}); interop/install.sh installs it"))?;
    if !output.status.success() {
        return Err(format!(
            "go build failed in {}:\n{}",
            dir.display(),
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    Ok(())
}

fn one(run: &Run, binary: &Path, case: &str, ns: &str) -> Outcome {
    let mut command = Command::new(binary);
    command.args([case, ns]).current_dir(run.place.dir()).env("HOME", run.place.dir());
    let name = format!("go-{case}");
    let mut process = ferromq_interop::process::Process::spawn(&run.place, &name, command, false)?;
    process.await_log(&format!("PASS {case}"), Duration::from_secs(120))
}
