//! Starting, the line that says "ready", and ending by a signal.

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

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

/// What `make dist` packs, where nothing is installed: no Java, no Rust, and nothing of the system but the C library.
#[test]
fn what_is_handed_out_needs_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/dist.sh");
    let packed = Command::new(script).arg(env!("CARGO_BIN_EXE_ferromq")).arg(dir.path()).output().unwrap();
    assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
    let archive = String::from_utf8(packed.stdout).unwrap().lines().next().unwrap().to_owned();
    let name = Path::new(&archive).file_name().unwrap().to_str().unwrap();
    assert!(Command::new("tar").arg("-xzf").arg(name).current_dir(dir.path()).status().unwrap().success());
    let unpacked = dir.path().join(name.strip_suffix(".tar.gz").unwrap());
    let bare = |args: &[&str]| {
        let mut command = Command::new(unpacked.join("ferromq"));
        command.args(args).env_clear().env("PATH", "/nonexistent").current_dir(dir.path());
        command
    };

    let server = start(bare(&["server", "--namesrv-port", "0", "--broker-port", "0", "--data", "data"]));
    let namesrv = format!("127.0.0.1:{}", server.ports()[0]);
    let mut produce = bare(&["produce", "-n", &namesrv, "-t", "T"]).stdin(Stdio::piped()).spawn().unwrap();
    produce.stdin.take().unwrap().write_all(b"hello\n").unwrap();
    assert!(produce.wait().unwrap().success());
    let consume = ["consume", "-n", &namesrv, "-t", "T", "-g", "G", "--from", "first", "--count", "1"];
    let consumed = bare(&consume).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&consumed.stdout), "hello\n");
    let (status, _, stderr) = server.end_by("TERM");
    assert_eq!(status.code(), Some(0), "{stderr}");

    let linked = Command::new("readelf").arg("-d").arg(unpacked.join("ferromq")).output().unwrap();
    let linked = String::from_utf8(linked.stdout).unwrap();
    let needed: Vec<&str> = linked
        .lines()
        .filter(|line| line.contains("(NEEDED)"))
        .filter_map(|line| line.split(['[', ']']).nth(1))
        .collect();
    let of_the_c_library =
        ["libc.so", "libm.so", "libgcc_s.so", "libpthread.so", "libdl.so", "librt.so", "ld-"];
    let others = needed.iter().filter(|name| !of_the_c_library.iter().any(|own| name.starts_with(own)));
    assert!(!needed.is_empty() && others.count() == 0, "{needed:?}");
}
