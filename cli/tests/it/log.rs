//! `ferromq log` on a store that this command's own server made.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::{ferromq, run, start};

/// A store with ten messages, stopped in order.
fn store() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join("broker.conf");
    fs::write(&conf, "mappedFileSizeCommitLog=65536\nmaxHashSlotNum=100\nmaxIndexNum=400\n").unwrap();
    let data = dir.path().join("data");
    let mut server = ferromq(&["server", "--namesrv-port", "0", "--broker-port", "0", "--data"]);
    server.arg(&data).arg("-c").arg(&conf);
    let server = start(server);
    let address = format!("127.0.0.1:{}", server.ports()[0]);
    let lines: String = (0..10).map(|number| format!("message {number}\n")).collect();
    let input = dir.path().join("lines");
    fs::write(&input, lines).unwrap();
    let mut produce = ferromq(&["produce", "-n", &address, "--topic", "Dumped"]);
    produce.stdin(fs::File::open(input).unwrap());
    let (code, _, stderr) = run(produce);
    assert_eq!(code, Some(0), "{stderr}");
    // Whoever looks while the broker runs is told who has the store.
    let (code, _, stderr) = log(&["check"], &data);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("in use") && stderr.contains("process"), "{stderr}");
    server.end_by("TERM");
    dir
}

fn log(args: &[&str], data: &Path) -> (Option<i32>, String, String) {
    let mut command = ferromq(&["log"]);
    command.args(args).arg(data);
    run(command)
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_store_is_dumped_checked_and_repaired() {
    let dir = store();
    let data = dir.path().join("data");
    let conf = dir.path().join("broker.conf");
    let conf = conf.to_str().unwrap();

    let (code, stdout, stderr) = log(&["check", "-c", conf], &data);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(stdout.contains("nothing is damaged") && stdout.contains("shut down in order"), "{stdout}");
    // Without settings the sizes are those of the files.
    assert_eq!(json(&log(&["check", "--json"], &data).1)["sound"], true);

    let (code, stdout, _) = log(&["dump", "--topic", "Dumped"], &data);
    assert_eq!(code, Some(0));
    let lines: Vec<Vec<&str>> = stdout.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!((lines.len(), lines[0][0], lines[1][2]), (11, "# offset", "Dumped"));
    assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{stdout}");
    let from = lines[4][0].to_owned();
    let args = ["dump", "--topic", "Dumped", "--json", "--body", "--from", &from, "--count", "2"];
    let records: Vec<Value> = log(&args, &data).1.lines().map(json).collect();
    assert_eq!(records.len(), 2);
    assert_eq!(records[0]["offset"].to_string(), from);
    assert!(records[0]["body"].as_str().unwrap().starts_with("message "));
    assert_eq!(records[0]["bodyLength"], 9);

    flip_body(&data, &records[1]);
    let (code, stdout, stderr) = log(&["check", "-c", conf], &data);
    assert_eq!(code, Some(1), "{stdout}");
    for word in ["00000000000000000000, byte", "CRC", "it was Dumped, queue", "passed over", "lost: Dumped"] {
        assert!(stdout.contains(word), "{word:?} in {stdout}");
    }
    assert!(stderr.contains("log repair"), "{stderr}");
    let dry = json(&log(&["repair", "--dry-run", "--json", "-c", conf], &data).1);
    assert_eq!(dry["damage"][0]["offset"], records[1]["offset"]);
    assert_eq!(dry["lost"].as_array().unwrap().len(), 1);
    let (_, dumped, _) = log(&["dump"], &data);
    assert_eq!(dumped.lines().filter(|line| line.starts_with("# damaged")).count(), 1);

    let (code, stdout, stderr) = log(&["repair", "-c", conf], &data);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(stdout.contains("1 stretches filled") && stdout.contains("kept: "), "{stdout}");
    assert_eq!(fs::read_dir(data.join("damaged")).unwrap().count(), 1);
    let (_, dumped, _) = log(&["dump", "--topic", "Dumped"], &data);
    assert_eq!(dumped.lines().count(), 10);
}

fn flip_body(data: &Path, record: &Value) {
    let path = data.join("commitlog/00000000000000000000");
    let mut bytes = fs::read(&path).unwrap();
    let offset = record["offset"].as_u64().unwrap() as usize;
    bytes[offset + 90] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_torn_table_and_a_wrong_place_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let (code, _, stderr) = log(&["check"], dir.path());
    assert_eq!(code, Some(1));
    assert!(stderr.contains("commitlog is not there"), "{stderr}");
    assert_eq!(log(&["dump", "--body"], dir.path()).0, Some(2));

    fs::create_dir_all(dir.path().join("commitlog")).unwrap();
    fs::create_dir_all(dir.path().join("config")).unwrap();
    fs::write(dir.path().join("config/topics.json"), "{\"topicConfigTable\":{\"a").unwrap();
    let (code, stdout, _) = log(&["check"], dir.path());
    assert_eq!(code, Some(1));
    assert!(stdout.contains("topics.json"), "{stdout}");
    fs::write(dir.path().join("config/topics.json.bak"), "{\"topicConfigTable\":{}}").unwrap();
    let (_, stdout, _) = log(&["check"], dir.path());
    assert!(stdout.contains(".bak is read instead"), "{stdout}");
}
