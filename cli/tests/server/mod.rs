//! What the tests that kill servers share.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A `ferromq server` of its own on free ports.
pub struct Server {
    child: Child,
    /// Of the broker.
    pub port: u16,
}

impl Server {
    /// Starts one on `dir` with the settings in `conf`, and waits until it is ready.
    pub fn start(dir: &Path, conf: &Path) -> Server {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ferromq"))
            .args(["server", "--namesrv-port", "0", "--broker-port", "0", "--data"])
            .arg(dir)
            .arg("-c")
            .arg(conf)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).expect("the ready line");
        let port = line.trim().rsplit(':').next().and_then(|port| port.parse().ok());
        Server { child, port: port.unwrap_or_else(|| panic!("no port in {line:?}")) }
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.child.kill().expect("kill -9");
        self.child.wait().expect("the end");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A small generator, so that a seed repeats a run.
pub struct Random(pub u64);

impl Random {
    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// The next whole frame of a connection.
pub fn read_frame(stream: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut bytes = length.to_vec();
    bytes.resize(4 + u32::from_be_bytes(length) as usize, 0);
    stream.read_exact(&mut bytes[4..])?;
    Ok(bytes)
}
