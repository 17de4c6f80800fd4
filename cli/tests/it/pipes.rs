//! `ferromq produce` and `ferromq consume` against a running server.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Output, Stdio};

use crate::{ferromq, run, start, Running};

/// A server with a directory of its own.
struct Server {
    address: String,
    running: Option<Running>,
    dir: tempfile::TempDir,
}

fn server() -> Server {
    let dir = tempfile::tempdir().unwrap();
    let mut command = ferromq(&["server", "--namesrv-port", "0", "--broker-port", "0", "--data"]);
    command.arg(dir.path());
    let running = start(command);
    Server { address: format!("127.0.0.1:{}", running.ports()[0]), running: Some(running), dir }
}

impl Server {
    fn command(&self, name: &str, args: &[&str]) -> Command {
        let mut command = ferromq(&[name, "-n", &self.address]);
        command.args(args);
        command
    }

    /// Runs `produce` with this input; exit code, stdout, stderr.
    fn produce(&self, args: &[&str], input: &[u8]) -> (Option<i32>, String, String) {
        with_input(self.command("produce", args), input)
    }

    /// What `consume` writes, which must end well.
    fn consume(&self, args: &[&str]) -> String {
        let (code, stdout, stderr) = run(self.command("consume", args));
        assert_eq!(code, Some(0), "{stderr}");
        stdout
    }

    /// The lines of `consume`, in no order.
    fn consumed(&self, args: &[&str]) -> BTreeSet<String> {
        self.consume(args).lines().map(String::from).collect()
    }
}

fn with_input(mut command: Command, input: &[u8]) -> (Option<i32>, String, String) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A command that ends early does not read it all.
    let _unread = stdin.write_all(input);
    drop(stdin);
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

fn lines(range: std::ops::Range<u32>) -> (String, BTreeSet<String>) {
    let lines: Vec<String> = range.map(|number| format!("line {number}")).collect();
    (lines.join("\n"), lines.into_iter().collect())
}

#[test]
fn lines_go_in_and_come_out() {
    let server = server();
    let (input, expected) = lines(0..1000);
    let (code, stdout, stderr) = server.produce(&["-t", "Pipe"], input.as_bytes());
    assert_eq!((code, stdout.as_str()), (Some(0), ""), "{stderr}");
    assert!(stderr.contains("1000 messages of"), "{stderr}");
    assert_eq!(server.consumed(&["-t", "Pipe", "--exit"]), expected);
    // Without group nothing is remembered.
    assert_eq!(server.consumed(&["-t", "Pipe", "-x", "--from", "first"]), expected);
    assert_eq!(server.consume(&["-t", "Pipe", "--from", "last", "-x"]), "");
    assert_eq!(server.consume(&["-t", "Pipe", "--count", "7"]).lines().count(), 7);
}

#[test]
fn batches_zero_bytes_files_and_whole_inputs() {
    let server = server();
    let (input, expected) = lines(0..500);
    let (code, stdout, stderr) =
        server.produce(&["-t", "Batch", "--batch", "64", "--print"], input.as_bytes());
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(stdout.lines().count(), 8, "{stdout}");
    assert!(stdout.lines().all(|line| line.starts_with("SEND_OK msgId=")), "{stdout}");
    assert_eq!(server.consumed(&["-t", "Batch", "-x"]), expected);

    let (_, _, stderr) = server.produce(&["-t", "Zero", "-0"], b"two\nlines\0\0one\0");
    assert!(stderr.contains("2 messages") && stderr.contains("1 empty"), "{stderr}");
    let both = server.consume(&["-t", "Zero", "-x", "-f", "[%b]"]);
    assert!(both.contains("[two\nlines]") && both.contains("[one]") && both.len() == 16, "{both}");

    let file = server.dir.path().join("input");
    let bytes: Vec<u8> = (0..=255).cycle().take(3_000_000).collect();
    std::fs::write(&file, &bytes).unwrap();
    let (code, _, stderr) =
        server.produce(&["-t", "Whole", "--whole", "--file", file.to_str().unwrap()], b"");
    assert_eq!(code, Some(0), "{stderr}");
    let output = server.command("consume", &["-t", "Whole", "-x", "-f", "%b"]).output().unwrap();
    assert!(output.stdout == bytes, "{} bytes came out", output.stdout.len());
}

#[test]
fn tags_keys_and_properties_travel_and_choose() {
    let server = server();
    for (tag, body) in [("red", "rose"), ("blue", "sky"), ("green", "grass")] {
        let args = ["-t", "Tags", "--tag", tag, "-k", "key", "-k", body, "-p", "größe=übergroß", "-p", "b=2"];
        assert_eq!(server.produce(&args, body.as_bytes()).0, Some(0));
    }
    let chosen = server.consumed(&["-t", "Tags", "-x", "-e", "red || green", "-f", r"%k|%t|%p|%b\n"]);
    let line = |tag, body| format!("key {body}|{tag}|b=2,größe=übergroß|{body}");
    assert_eq!(chosen, [line("red", "rose"), line("green", "grass")].into());
    let json = server.consume(&["-t", "Tags", "-x", "-e", "blue", "-f", "json"]);
    for part in [r#""body":"sky""#, r#""tag":"blue""#, r#""keys":["key","sky"]"#, r#""topic":"Tags""#] {
        assert!(json.contains(part), "{json}");
    }
}

#[test]
fn a_group_goes_on_where_it_stopped() {
    let server = server();
    let (input, expected) = lines(0..100);
    server.produce(&["-t", "Group"], input.as_bytes());
    let group = ["-t", "Group", "-g", "readers", "--from", "first"];
    let mut first = server.consumed(&[&group[..], &["-c", "40"]].concat());
    assert_eq!(first.len(), 40);
    first.extend(server.consumed(&[&group[..], &["-x"]].concat()));
    assert_eq!(first, expected);
    assert_eq!(server.consume(&[&group[..], &["-x"]].concat()), "");
    // Another group has its own place; one that begins at the end keeps that place.
    assert_eq!(server.consume(&["-t", "Group", "-g", "others", "-x"]), "");
    let (input, later) = lines(100..110);
    server.produce(&["-t", "Group"], input.as_bytes());
    assert_eq!(server.consumed(&["-t", "Group", "-g", "others", "-x"]), later);
}

#[test]
fn a_waiting_consumer_gets_what_is_sent_and_ends_by_a_signal() {
    let server = server();
    server.produce(&["-t", "Wait"], b"early");
    let mut command = server.command("consume", &["-t", "Wait", "-g", "waiting", "--from", "first"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    for body in ["early", "later", "last"] {
        if body != "early" {
            assert_eq!(server.produce(&["-t", "Wait"], body.as_bytes()).0, Some(0));
        }
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), body);
    }
    assert!(Command::new("kill").args(["-s", "TERM", &child.id().to_string()]).status().unwrap().success());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{stderr}");
    // What was printed had been committed.
    assert_eq!(server.consume(&["-t", "Wait", "-g", "waiting", "-x"]), "");
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_pipe() {
    let server = server();
    let (input, expected) = lines(0..200);
    server.produce(&["-t", "Head", "--batch", "10"], input.as_bytes());
    let mut command = server.command("consume", &["-t", "Head"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(expected.contains(line.trim_end()));
    // It notices at its next write.
    server.produce(&["-t", "Head"], input.as_bytes());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_pipe_survives_a_server_that_starts_anew() {
    let mut server = server();
    let (input, expected) = lines(0..50);
    assert_eq!(server.produce(&["-t", "Restart"], input.as_bytes()).0, Some(0));
    let namesrv = server.address.rsplit_once(':').unwrap().1.to_string();
    let ports = server.running.as_ref().unwrap().ports();
    let (status, _, stderr) = server.running.take().unwrap().end_by("TERM");
    assert_eq!(status.code(), Some(0), "{stderr}");
    let broker = ports[1].to_string();
    let mut command = ferromq(&["server", "--namesrv-port", &namesrv, "--broker-port", &broker, "--data"]);
    command.arg(server.dir.path());
    server.running = Some(start(command));
    assert_eq!(server.consumed(&["-t", "Restart", "-x"]), expected);
}

#[test]
fn what_is_wrong_is_said_with_the_exit_code_of_its_kind() {
    let server = server();
    for (args, says) in [
        (&["consume", "-t", "T", "--from", "yesterday"][..], "15m"),
        (&["consume", "-t", "T", "-f", "%x"], "%b"),
        (&["consume", "-t", "T", "-e", "||"], "TagA || TagB"),
        (&["consume"], "--topic"),
        (&["produce", "-t", "T", "-p", "novalue"], "name=value"),
        (&["produce", "-t", "T", "-p", "KEYS=x"], "reserved"),
        (&["produce", "-t", "T", "-k", "two words"], "space"),
        (&["produce", "-t", "T", "-n", "nowhere"], "\"nowhere\""),
        (&["produce", "-t", "T", "--batch", "0"], "batch"),
    ] {
        let (code, stdout, stderr) = run(ferromq(args));
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{args:?}: {stderr}");
        assert!(stderr.contains(says), "{args:?}: {stderr}");
    }
    let (code, _, stderr) = run(server.command("consume", &["-t", "Unknown", "-x"]));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("\"Unknown\"") && stderr.contains(&server.address), "{stderr}");
    let (code, _, stderr) = server.produce(&["-t", "Missing", "--file", "/no/such/file"], b"");
    assert!(code == Some(1) && stderr.contains("/no/such/file"), "{stderr}");
    let (code, _, stderr) = server.produce(&["-t", "bad/../topic"], b"x");
    assert!(code == Some(1) && stderr.contains("bad/../topic"), "{stderr}");
    let huge = vec![b'x'; (4 << 20) + 1];
    let (code, _, stderr) = server.produce(&["-t", "Huge"], &[b"small\n", &huge[..]].concat());
    assert!(
        code == Some(1) && stderr.contains("4194304") && stderr.contains("1 messages of 5 bytes"),
        "{stderr}"
    );
    let mut nobody = ferromq(&["produce", "-n", "127.0.0.1:1", "-t", "T", "--timeout", "1"]);
    nobody.env("NAMESRV_ADDR", &server.address);
    let (code, _, stderr) = with_input(nobody, b"x");
    assert!(code == Some(1) && stderr.contains("127.0.0.1:1"), "{stderr}");
}

#[test]
fn the_environment_names_the_name_server() {
    let server = server();
    let mut command = ferromq(&["produce", "-t", "Env"]);
    command.env("NAMESRV_ADDR", format!("127.0.0.1:1;{}", server.address));
    assert_eq!(with_input(command, b"x").0, Some(0));
    let mut command = ferromq(&["consume", "-t", "Env", "-x"]);
    command.env("NAMESRV_ADDR", &server.address);
    assert_eq!(run(command).1, "x\n");
}
