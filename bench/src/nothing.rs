//! The do-nothing server: what a broker could reach that had no work besides the protocol.
//!
//! It reads in bulk, decodes each frame and all the fields of its request with the library's codec, stores nothing,
//! answers each send as a broker would, and writes the answers of a read together. A thread a connection, which blocks
//! in reads and writes: for the few connections of these cases nothing costs fewer system calls.

use ferromq::message::OffsetId;
use ferromq::wire::{self, Frame, MessageIds, Request, Response, ResponseCode, SendMessageResponse};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// How much one read can bring; as the broker's.
const READ: usize = 128 << 10;
/// No request of these cases is longer.
const LONGEST: usize = 16 << 20;

/// Serves on this port of this machine until the process is killed.
pub fn serve(port: u16) -> Result<(), String> {
    let listener =
        TcpListener::bind(("127.0.0.1", port)).map_err(|e| format!("listen on port {port}: {e}"))?;
    for stream in listener.incoming() {
        let stream = stream.map_err(|e| format!("accept on port {port}: {e}"))?;
        thread::spawn(move || match converse(stream) {
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                eprintln!("a connection ended: {error}")
            }
            _ => (),
        });
    }
    Ok(())
}

/// Answers on one connection until it ends.
pub fn converse(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let answers = Answers { host: stream.local_addr()?, region: "DefaultRegion".into() };
    let (mut buffer, mut end, mut out) = (vec![0; READ], 0, Vec::new());
    loop {
        match stream.read(&mut buffer[end..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => end += read,
        }
        let taken = answers.to_all(&buffer[..end], &mut out).map_err(io::Error::other)?;
        buffer.copy_within(taken..end, 0);
        end -= taken;
        if end == buffer.len() {
            buffer.resize(end * 2, 0);
        }
        stream.write_all(&out)?;
        out.clear();
    }
}

struct Answers {
    host: SocketAddr,
    region: Arc<str>,
}

impl Answers {
    /// Answers the whole frames at the front of `bytes`; returns their length.
    fn to_all(&self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, String> {
        let mut taken = 0;
        while let Some(length) = wire::frame::length(&bytes[taken..], LONGEST).map_err(|e| e.to_string())? {
            let Some(bytes) = bytes.get(taken..taken + length) else { break };
            let frame = Frame::decode(bytes).map_err(|e| e.to_string())?;
            self.to_one(&frame, out).map_err(|e| e.to_string())?;
            taken += length;
        }
        Ok(taken)
    }

    fn to_one(&self, frame: &Frame<'_>, out: &mut Vec<u8>) -> Result<(), wire::DecodeError> {
        let response = match Request::decode(frame)? {
            Request::SendMessage(send) => Response::ok().with_header(SendMessageResponse {
                msg_id: MessageIds::One(OffsetId { host: self.host, physical_offset: 0 }),
                queue_id: send.queue_id,
                queue_offset: send.body.len() as i64,
                transaction_id: unique_key(send.properties.as_deref().unwrap_or_default()),
                msg_region: Some(self.region.clone()),
                trace_on: Some(true),
                ..SendMessageResponse::default()
            }),
            Request::PullMessage(_) => {
                Response::error(ResponseCode::PULL_NOT_FOUND, "nothing is stored here")
            }
            _ => Response::ok(),
        };
        response.encode(frame.encoding, frame.opaque, out);
        Ok(())
    }
}

/// The unique key that an answer repeats.
fn unique_key(properties: &str) -> Option<String> {
    let pairs = properties.split('\u{2}');
    pairs
        .filter_map(|pair| pair.split_once('\u{1}'))
        .find(|(name, _)| *name == "UNIQ_KEY")
        .map(|(_, key)| key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{success, Client};
    use crate::frame::{Header, SendTemplate};

    #[test]
    fn it_answers_what_the_load_asks() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        thread::spawn(move || converse(listener.accept().expect("a connection").0));
        let mut client = Client::connect(port, Header::Json).expect("connected");
        client.create_topic("t", 4).expect("created");
        let template = SendTemplate::new(Header::Binary, "t", 3, &[7; 300_000], 1, 0);
        for key in 0..3 {
            let response = client.call(|out, opaque| template.append(out, opaque, key)).expect("an answer");
            success(&response).expect("a success");
            assert_eq!(
                (response.field("queueId"), response.field("queueOffset")),
                (Some("3"), Some("300000"))
            );
        }
        assert_eq!(client.log_end("t", 9), Ok(0));
        assert_eq!(client.pull("t", 0, 0, false).expect("an answer").code, 19);
    }

    #[test]
    fn frames_are_answered_in_bulk_and_a_part_waits() {
        let template = SendTemplate::new(Header::Json, "t", 0, b"body", 1, 0);
        let mut bytes = Vec::new();
        (0..3).for_each(|n| template.append(&mut bytes, crate::frame::OPAQUE_BASE + n, 0));
        let whole = bytes.len();
        let answers = Answers { host: "127.0.0.1:1".parse().expect("an address"), region: "r".into() };
        let mut out = Vec::new();
        assert_eq!(answers.to_all(&bytes[..whole - 1], &mut out), Ok(whole / 3 * 2));
        assert!(answers.to_all(b"GET / HTTP/1.1\r\n", &mut out).is_err());
        assert_eq!(unique_key("A\u{1}b\u{2}UNIQ_KEY\u{1}k\u{2}"), Some("k".into()));
        assert_eq!(unique_key("A\u{1}b"), None);
    }
}
