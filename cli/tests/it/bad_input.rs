//! What cannot work ends with a code and a message that names the thing and the way out.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use crate::{ferromq, run, start};

fn server_on(data: &Path) -> Command {
    let mut command = ferromq(&["server", "--namesrv-port", "0", "--broker-port", "0", "--data"]);
    command.arg(data);
    command
}

/// Expects exit code `code`, nothing on stdout, and all of `words` in the message.
#[track_caller]
fn refused(command: Command, code: i32, words: &[&str]) {
    let (found, stdout, stderr) = run(command);
    assert_eq!((found, stdout.as_str()), (Some(code), ""), "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "{word:?} in {stderr}");
    }
}

#[test]
fn a_broken_settings_file_is_named_with_line_key_value_and_what_is_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join("broker.conf");
    std::fs::write(&conf, "brokerName=a\n\nflushDiskType=SOMETIMES\n").unwrap();
    let words = ["broker.conf line 3", "flushDiskType", "SOMETIMES", "ASYNC_FLUSH or SYNC_FLUSH"];
    let mut command = ferromq(&["broker", "-n", "127.0.0.1:9876", "-c"]);
    command.arg(&conf);
    refused(command, 1, &words);
    let mut command = server_on(&dir.path().join("data"));
    command.arg("-c").arg(&conf);
    refused(command, 1, &words);
    let mut command = ferromq(&["namesrv", "-c"]);
    command.arg(dir.path().join("none.properties"));
    refused(command, 1, &["none.properties"]);
}

#[test]
fn unknown_keys_are_reported_and_do_not_stop_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join("broker.conf");
    std::fs::write(&conf, "transactionMsgTimeout=20\naclEnable=true\n").unwrap();
    let mut command = server_on(&dir.path().join("data"));
    command.arg("-c").arg(&conf);
    let (status, _, stderr) = start(command).end_by("TERM");
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("did you mean transactionTimeOut?"), "{stderr}");
    assert!(stderr.contains("aclEnable is a key of Apache RocketMQ that is not obeyed yet"), "{stderr}");
}

#[test]
fn a_port_in_use_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for option in ["--namesrv-port", "--broker-port"] {
        let other = if option == "--namesrv-port" { "--broker-port" } else { "--namesrv-port" };
        let mut command = ferromq(&["server", option, &port, other, "0", "--data"]);
        command.arg(dir.path().join("data"));
        refused(command, 1, &[&port]);
    }
}

#[test]
fn a_data_directory_in_use_is_named_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let first = start(server_on(dir.path()));
    refused(server_on(dir.path()), 1, &[&dir.path().display().to_string()]);
    let (status, _, stderr) = first.end_by("TERM");
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(!dir.path().join("abort").exists());
}

#[test]
fn a_data_directory_that_cannot_be_made_or_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    // For root too: a file in the way, and a file system that takes no files.
    refused(server_on(&file.join("data")), 1, &["file/data"]);
    if Path::new("/proc/self").exists() {
        refused(server_on(Path::new("/proc/self/ferromq")), 1, &["/proc/self/ferromq"]);
    }
    assert_eq!(std::fs::read(&file).unwrap(), b"x");
}

#[test]
fn a_kv_file_that_cannot_be_read_stops_the_name_server() {
    let dir = tempfile::tempdir().unwrap();
    let (kv, conf) = (dir.path().join("kvConfig.json"), dir.path().join("namesrv.properties"));
    std::fs::write(&kv, "{\"configTable\":").unwrap();
    std::fs::write(&conf, format!("kvConfigPath={}\n", kv.display())).unwrap();
    let mut command = ferromq(&["namesrv", "-p", "0", "-c"]);
    command.arg(&conf);
    refused(command, 1, &["kvConfig.json", "cannot be read"]);
}

#[test]
fn wrong_usage_ends_with_2() {
    refused(ferromq(&[]), 2, &["Usage"]);
    refused(ferromq(&["serve"]), 2, &["serve"]);
    refused(ferromq(&["server", "--broker-port", "70000"]), 2, &["70000"]);
    refused(ferromq(&["broker"]), 2, &["-n HOST:9876", "NAMESRV_ADDR"]);
    refused(ferromq(&["broker", "-n", "127.0.0.1"]), 2, &["127.0.0.1", "HOST:PORT"]);
    refused(ferromq(&["broker", "-n", "a:1", "listenPort"]), 2, &["listenPort", "KEY=VALUE"]);
    refused(ferromq(&["broker", "-n", "a:1", "listenPort=x"]), 2, &["listenPort", "\"x\"", "a number"]);
    refused(ferromq(&["namesrv", "--log-level", "a=b=c"]), 2, &["log filter"]);
}
