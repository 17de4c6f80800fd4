//! Encrypted connections of the command: servers by settings files, clients by options.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::{ferromq, run, start, Running};

struct Server {
    address: String,
    running: Running,
    dir: tempfile::TempDir,
}

/// A server that takes nothing but TLS, with the certificate that it makes.
fn server() -> Server {
    let dir = tempfile::tempdir().unwrap();
    let settings = dir.path().join("broker.conf");
    std::fs::write(&settings, "tls.server.mode=enforcing\n").unwrap();
    let mut command = ferromq(&["server", "--namesrv-port", "0", "--broker-port", "0", "--data"]);
    command.arg(dir.path().join("data")).arg("-c").arg(&settings);
    let running = start(command);
    Server { address: format!("127.0.0.1:{}", running.ports()[0]), running, dir }
}

impl Server {
    fn produce(&self, args: &[&str], trusted: Option<&Path>) -> (Option<i32>, String, String) {
        let mut command = self.command("produce", args, trusted);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // It may have ended already, refusing.
        let _unread = child.stdin.take().unwrap().write_all(b"one\ntwo\n");
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    fn command(&self, name: &str, args: &[&str], trusted: Option<&Path>) -> Command {
        let mut command = ferromq(&[name, "-n", &self.address, "-t", "T"]);
        command.args(args);
        if let Some(path) = trusted {
            command.arg("--tls-trust").arg(path);
        }
        command
    }
}

#[test]
fn messages_go_through_encrypted_pipes() {
    let server = server();
    let certificate = server.dir.path().join("data/config/tls-self-signed.crt");
    let (code, _, stderr) = server.produce(&[], Some(&certificate));
    assert_eq!(code, Some(0), "{stderr}");
    let (code, stdout, stderr) = run(server.command("consume", &["-x"], Some(&certificate)));
    assert_eq!((code, stdout.lines().count()), (Some(0), 2), "{stderr}");
    let (_, _, stderr) = server.running.end_by("TERM");
    assert!(stderr.contains("a self-signed one was made"), "{stderr}");
}

#[test]
fn who_is_refused_reads_why() {
    let server = server();
    let patience = &["--timeout", "10"];
    let (code, _, stderr) = server.produce(patience, None);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("TLS only") && stderr.contains("tls.enable=true"), "{stderr}");
    let other = server.dir.path().join("other.pem");
    std::fs::write(&other, "nothing").unwrap();
    let (code, _, stderr) = server.produce(patience, Some(&other));
    assert!(code != Some(0) && stderr.contains("other.pem"), "{stderr}");
    let (code, _, stderr) = server.produce(&["--tls-any-server"], None);
    assert_eq!(code, Some(0), "{stderr}");
}
