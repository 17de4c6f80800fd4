//! Passes TCP connections on to another address of this machine, until told to break them.

use ferromq_interop::Outcome;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Listens at `127.0.0.2` for a server that listens on the same port of `127.0.0.1`.
pub struct Proxy {
    open: Arc<Mutex<Vec<TcpStream>>>,
    over: Arc<AtomicBool>,
    port: u16,
}

/// The address that proxies listen at.
pub const HOST: &str = "127.0.0.2";

impl Proxy {
    /// Starts one for the server on `port`.
    pub fn start(port: u16) -> Outcome<Proxy> {
        let failed = |e: std::io::Error| format!("no proxy on {HOST}:{port}: {e}");
        let listener = TcpListener::bind((HOST, port)).map_err(failed)?;
        let open: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let over = Arc::new(AtomicBool::new(false));
        let proxy = Proxy { open: open.clone(), over: over.clone(), port };
        std::thread::spawn(move || {
            for from in listener.incoming().map_while(Result::ok) {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                // A server that is gone is a connection that breaks at once.
                if let Ok(to) =
                    TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), Duration::from_secs(2))
                {
                    pair(from, to, &open);
                }
            }
        });
        Ok(proxy)
    }

    /// Breaks all connections, in the middle of whatever passes through.
    pub fn reset(&self) -> usize {
        let streams = std::mem::take(&mut *self.open.lock().expect("connections"));
        for stream in &streams {
            let _ = stream.shutdown(Shutdown::Both);
        }
        streams.len() / 2
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.reset();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect((HOST, self.port));
    }
}

fn pair(one: TcpStream, other: TcpStream, open: &Mutex<Vec<TcpStream>>) {
    let _ = (one.set_nodelay(true), other.set_nodelay(true));
    let clones = [one.try_clone(), other.try_clone(), one.try_clone(), other.try_clone()];
    let [Ok(one_in), Ok(other_in), Ok(one_kept), Ok(other_kept)] = clones else { return };
    open.lock().expect("connections").extend([one_kept, other_kept]);
    std::thread::spawn(move || copy(one_in, other));
    std::thread::spawn(move || copy(other_in, one));
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
