//! `ferromq bench` against a running server.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::{ferromq, run, start, Running};

fn server(dir: &std::path::Path) -> (Running, String) {
    let mut command = ferromq(&["server", "--namesrv-port", "0", "--broker-port", "0", "--data"]);
    command.arg(dir);
    let running = start(command);
    let address = format!("127.0.0.1:{}", running.ports()[0]);
    (running, address)
}

/// What a bench of one second tells, as JSON.
fn bench(address: &str, args: &[&str]) -> Value {
    let mut command = ferromq(&["bench", args[0], "-n", address, "-d", "1", "-w", "0", "--json"]);
    command.args(&args[1..]);
    let (code, stdout, stderr) = run(command);
    assert_eq!(code, Some(0), "{stderr}");
    // Not on a terminal: no progress is drawn.
    assert!(!stderr.contains('\u{1b}') && !stderr.contains("a second"), "{stderr}");
    let found: Value = serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{e}: {stdout}"));
    assert_eq!((&found["bench"], &found["errors"]), (&args[0].into(), &0.into()), "{stdout}");
    assert!(found["seconds"].as_f64() > Some(0.0), "{stdout}");
    found
}

#[test]
fn what_was_sent_is_what_is_pulled() {
    let dir = tempfile::tempdir().unwrap();
    let (_running, address) = server(dir.path());
    let send =
        bench(&address, &["send", "-t", "Load", "--size", "100", "--connections", "2", "--in-flight", "8"]);
    assert_eq!(
        (&send["connections"], &send["inFlight"], &send["bodyBytes"]),
        (&2.into(), &8.into(), &100.into())
    );
    let latency = &send["latencyMicros"];
    let order: Vec<f64> =
        ["p50", "p90", "p99", "p99.9", "max"].iter().map(|name| latency[name].as_f64().unwrap()).collect();
    assert!(order[0] > 0.0 && order.windows(2).all(|pair| pair[0] <= pair[1]), "{send}");
    let one = bench(&address, &["send", "-t", "Load", "--size", "100", "-c", "1", "-i", "1"]);
    let sent = send["messages"].as_u64().unwrap() + one["messages"].as_u64().unwrap();
    // Ends by itself when everything was read: the counted ones, and some that were sent before and after. There is no
    // warm-up unless one is asked for: it could be all that there is.
    let mut pull = ferromq(&["bench", "pull", "-n", &address, "-t", "Load", "-d", "600", "--json"]);
    pull.stdin(Stdio::null());
    let (code, stdout, stderr) = run(pull);
    assert_eq!(code, Some(0), "{stderr}");
    let found: Value = serde_json::from_str(&stdout).unwrap();
    let pulled = found["messages"].as_u64().unwrap();
    assert!(found["seconds"].as_f64() < Some(600.0) && found["errors"] == 0, "{stdout}");
    assert!(sent > 0 && pulled > 0 && pulled <= sent + 500, "{pulled} of {sent}");
}

#[test]
fn a_topic_that_ends_within_the_warm_up_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (_running, address) = server(dir.path());
    bench(&address, &["send", "-t", "Few", "-c", "1", "-i", "1"]);
    let pull = ["bench", "pull", "-n", &address, "-t", "Few", "-d", "60", "-w", "30"];
    let (code, stdout, stderr) = run(ferromq(&pull));
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
    assert!(stderr.contains("--warm-up 0"), "{stderr}");
}

#[test]
fn bodies_are_stored_at_their_length() {
    const BODY: usize = 8192;
    let dir = tempfile::tempdir().unwrap();
    let (_running, address) = server(dir.path());
    for in_flight in ["1", "8"] {
        bench(&address, &["send", "-t", "Large", "--size", "8192", "-c", "1", "-i", in_flight]);
    }
    let data = [dir.path().to_owned(), dir.path().join("store")];
    let log = data.iter().map(|data| data.join("commitlog/00000000000000000000")).find(|log| log.exists());
    let mut log = std::fs::File::open(log.expect("a commit log")).unwrap();
    let mut bytes = vec![0; 16 * BODY];
    std::io::Read::read_exact(&mut log, &mut bytes).unwrap();
    let whole = bytes.split(|byte| *byte != b'x').filter(|run| run.len() == BODY).count();
    assert!(whole > 10, "{whole} bodies of {BODY} bytes in {} bytes of the log", bytes.len());
}

#[test]
fn a_broker_that_is_gone_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut namesrv = ferromq(&["namesrv", "-p", "0", "--host", "127.0.0.1"]);
    namesrv.current_dir(dir.path());
    let namesrv = start(namesrv);
    let address = format!("127.0.0.1:{}", namesrv.ports()[0]);
    let root = format!("storePathRootDir={}", dir.path().display());
    let broker = start(ferromq(&["broker", "-n", &address, "listenPort=0", "brokerIP1=127.0.0.1", &root]));
    bench(&address, &["send", "-t", "Gone", "-c", "1"]);
    // The name server goes on naming it.
    broker.end_by("KILL");
    let (code, stdout, stderr) = run(ferromq(&["bench", "pull", "-n", &address, "-t", "Gone", "-d", "60"]));
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
}

#[test]
fn latency_is_told_of_messages_that_came() {
    let dir = tempfile::tempdir().unwrap();
    let (_running, address) = server(dir.path());
    let found = bench(&address, &["latency", "-t", "Ends", "--rate", "200"]);
    assert_eq!((&found["rate"], &found["bodyBytes"]), (&200.into(), &128.into()));
    assert!(
        found["messages"].as_u64() > Some(0) && found["latencyMicros"]["p50"].as_f64() > Some(0.0),
        "{found}"
    );
}

#[test]
fn a_signal_ends_it_early_with_what_was_seen() {
    let dir = tempfile::tempdir().unwrap();
    let (_running, address) = server(dir.path());
    let mut command = ferromq(&["bench", "send", "-n", &address, "-d", "600", "-w", "0"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-s", "INT", &id]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // How much that is depends on what else the machine does.
    assert!(stdout.starts_with("send ferromq-bench: ") && stdout.contains(" messages/s, "), "{stdout}");
}

#[test]
fn what_is_wrong_is_said() {
    let (code, _, stderr) = run(ferromq(&["bench", "send", "-c", "0"]));
    assert_eq!(code, Some(2), "{stderr}");
    let (code, _, stderr) = run(ferromq(&["bench", "send", "-i", "8192", "--size", "4194304"]));
    assert_eq!(code, Some(2), "{stderr}");
    let (code, _, stderr) = run(ferromq(&["bench"]));
    assert_eq!(code, Some(2), "{stderr}");
    // Nobody listens on the discard port.
    let (code, stdout, stderr) = run(ferromq(&["bench", "pull", "-n", "127.0.0.1:9", "-d", "1"]));
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
    assert!(stderr.contains("127.0.0.1:9"), "{stderr}");
}
