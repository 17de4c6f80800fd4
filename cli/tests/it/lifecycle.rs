//! Starting, the line that says "ready", and ending by a signal.

use std::net::TcpStream;

use crate::{ferromq, start};

#[test]
fn a_server_says_one_line_with_both_ports_and_ends_cleanly() {
    for signal in ["TERM", "INT"] {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("new/data");
        let args = ["server", "--namesrv-port", "0", "--broker-port", "0", "--data"];
        let mut command = ferromq(&args);
        command.arg(&data);
        let server = start(command);
        let ports = server.ports();
        assert_eq!(ports.len(), 2, "{}", server.ready);
        for port in ports {
            TcpStream::connect(("127.0.0.1", port)).unwrap();
        }
        let (status, more, stderr) = server.end_by(signal);
        assert_eq!((status.code(), more.as_str()), (Some(0), ""), "{stderr}");
        assert!(!stderr.contains("ERROR"), "{stderr}");
        assert!(!data.join("abort").exists(), "a clean end leaves no abort marker");
    }
}

#[test]
fn a_server_starts_again_on_what_it_left() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let mut command = ferromq(&["server", "--namesrv-port", "0", "--broker-port", "0", "--data"]);
        command.arg(dir.path());
        let (status, _, stderr) = start(command).end_by("TERM");
        assert_eq!(status.code(), Some(0), "{stderr}");
    }
}

#[test]
fn name_server_and_broker_run_as_processes_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = ferromq(&["namesrv", "-p", "0", "--host", "127.0.0.1"]);
    let namesrv = start({
        command.env("HOME", dir.path());
        command
    });
    let address = format!("127.0.0.1:{}", namesrv.ports()[0]);

    let conf = dir.path().join("broker.conf");
    let store = dir.path().join("store");
    let text =
        format!("# mine\nbrokerName=broker-a\nbrokerIP1=127.0.0.1\nstorePathRootDir={}\n", store.display());
    std::fs::write(&conf, text).unwrap();
    let mut command = ferromq(&["broker", "listenPort=0", "brokerName=broker-b", "-c"]);
    command.arg(&conf).env("NAMESRV_ADDR", &address);
    let broker = start(command);
    assert!(broker.ready.contains("broker 127.0.0.1:"), "{}", broker.ready);
    TcpStream::connect(("127.0.0.1", broker.ports()[0])).unwrap();

    let (status, _, stderr) = broker.end_by("TERM");
    assert_eq!(status.code(), Some(0), "{stderr}");
    let (status, _, stderr) = namesrv.end_by("TERM");
    assert_eq!(status.code(), Some(0), "{stderr}");
    // The setting on the command line won over the file's.
    assert!(stderr.contains("broker-b") && !stderr.contains("broker-a"), "{stderr}");
}
