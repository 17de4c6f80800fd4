//! A blocking connection, one request at a time: for set-up, probes and the cases with one request in flight.

use crate::frame::{self, Front, Header, Response, OPAQUE_BASE};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A broker that is silent for this long has failed; above the hold time of a suspended pull.
const SILENCE: Duration = Duration::from_secs(20);
/// How long a refusal may last between two cases.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a suspended pull may be held.
const HOLD_MS: u32 = 15_000;
/// What is asked for in one pull.
const BATCH: u32 = 32;
/// Pull sysFlag: hold if nothing is there, subscription text included (4).
const PULL_FLAGS: [u32; 2] = [4, 4 | 2];

/// A receive buffer that is read in bulk and taken apart frame by frame.
pub struct Inbox {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Default for Inbox {
    fn default() -> Self {
        Inbox { buffer: vec![0; 256 << 10], start: 0, end: 0 }
    }
}

impl Inbox {
    /// One read, as large as fits; returns whether it filled the buffer, so that more may be waiting.
    pub fn read(&mut self, stream: &mut impl Read) -> io::Result<bool> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end == self.buffer.len() {
            self.buffer.resize(self.end * 2, 0);
        }
        match stream.read(&mut self.buffer[self.end..])? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the broker closed the connection")),
            read => {
                self.end += read;
                Ok(self.end == self.buffer.len())
            }
        }
    }

    /// The next whole frame, if there is one.
    pub fn next(&mut self) -> Result<Option<Response<'_>>, String> {
        match frame::front(&self.buffer[self.start..self.end])? {
            Front::Whole(response, length) => {
                self.start += length;
                Ok(Some(response))
            }
            Front::Partial(_) => Ok(None),
        }
    }
}

/// Opens a connection without delays.
pub fn connect(port: u16) -> io::Result<TcpStream> {
    let stream =
        TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), Duration::from_secs(3))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// One blocking connection.
pub struct Client {
    stream: TcpStream,
    inbox: Inbox,
    out: Vec<u8>,
    opaque: u32,
    form: Header,
}

impl Client {
    /// Connects to the broker on this machine.
    pub fn connect(port: u16, form: Header) -> Result<Self, String> {
        let stream = connect(port).map_err(|e| format!("connect to 127.0.0.1:{port}: {e}"))?;
        stream.set_read_timeout(Some(SILENCE)).map_err(|e| e.to_string())?;
        Ok(Client { stream, inbox: Inbox::default(), out: Vec::new(), opaque: OPAQUE_BASE, form })
    }

    /// Sends what `encode` writes for the opaque it is given, and waits for the response.
    pub fn call(&mut self, encode: impl FnOnce(&mut Vec<u8>, u32)) -> Result<Response<'_>, String> {
        self.opaque += 1;
        self.out.clear();
        encode(&mut self.out, self.opaque);
        self.stream.write_all(&self.out).map_err(|e| format!("write to the broker: {e}"))?;
        // Looks twice at a frame instead of keeping a borrow across reads.
        while self.inbox.pending()? {
            self.inbox.read(&mut self.stream).map_err(|e| format!("read from the broker: {e}"))?;
        }
        let response = self.inbox.next()?.ok_or("a whole frame vanished")?;
        if response.opaque != self.opaque {
            return Err(format!("response to {}, asked {}", response.opaque, self.opaque));
        }
        Ok(response)
    }

    fn request(&mut self, code: u16, fields: &[(&str, &str)]) -> Result<Response<'_>, String> {
        let form = self.form;
        self.call(|out, opaque| {
            frame::request(out, form, code, opaque, fields, b"");
        })
    }

    /// Creates a topic by UPDATE_AND_CREATE_TOPIC.
    pub fn create_topic(&mut self, topic: &str, queues: u32) -> Result<(), String> {
        let queues = queues.to_string();
        let fields = [
            ("topic", topic),
            ("defaultTopic", "TBW102"),
            ("readQueueNums", &queues),
            ("writeQueueNums", &queues),
            ("perm", "6"),
            ("topicFilterType", "SINGLE_TAG"),
            ("topicSysFlag", "0"),
            ("order", "false"),
        ];
        success(&self.request(frame::CREATE_TOPIC, &fields)?)
    }

    /// Sends one small message; returns its offset in the commit log, which the message id ends with.
    pub fn log_end(&mut self, topic: &str, key: u64) -> Result<u64, String> {
        let template = frame::SendTemplate::new(self.form, topic, 0, b"probe", 0, now_ms());
        let start = Instant::now();
        let response = loop {
            let response = self.call(|out, opaque| template.append(out, opaque, key))?;
            // A broker that has just been loaded may be refusing for a while.
            match success(&response) {
                Err(_) if start.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(50)),
                Err(text) => return Err(text),
                Ok(()) => break response.field("msgId").map(str::to_owned),
            }
        };
        let id = response.ok_or("no msgId in a send response")?;
        let digits = id.get(id.len().saturating_sub(16)..).unwrap_or_default();
        u64::from_str_radix(digits, 16).map_err(|e| format!("msgId {id}: {e}"))
    }

    /// One pull; with `hold` the broker may wait for messages before it answers.
    pub fn pull(&mut self, topic: &str, queue: u32, offset: u64, hold: bool) -> Result<Response<'_>, String> {
        let form = self.form;
        self.call(|out, opaque| pull_request(out, form, opaque, topic, queue, offset, hold))
    }

    /// Waits until the message at `offset` can be pulled, at most 60 s.
    pub fn wait_for(&mut self, topic: &str, queue: u32, offset: u64) -> Result<(), String> {
        let start = Instant::now();
        while self.pull(topic, queue, offset, false)?.code != 0 {
            if start.elapsed() > Duration::from_secs(60) {
                return Err(format!("{topic} queue {queue}: nothing at offset {offset} after 60 s"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Inbox {
    fn pending(&self) -> Result<bool, String> {
        Ok(matches!(frame::front(&self.buffer[self.start..self.end])?, Front::Partial(_)))
    }
}

/// Appends a pull of up to 32 messages with the subscription `*`.
pub fn pull_request(
    out: &mut Vec<u8>,
    form: Header,
    opaque: u32,
    topic: &str,
    queue: u32,
    offset: u64,
    hold: bool,
) {
    let fields = [
        ("consumerGroup", "bench-consumer"),
        ("topic", topic),
        ("queueId", &queue.to_string()),
        ("queueOffset", &offset.to_string()),
        ("maxMsgNums", &BATCH.to_string()),
        ("sysFlag", &PULL_FLAGS[usize::from(hold)].to_string()),
        ("commitOffset", "0"),
        ("suspendTimeoutMillis", &HOLD_MS.to_string()),
        ("subscription", "*"),
        ("subVersion", "0"),
        ("expressionType", "TAG"),
    ];
    frame::request(out, form, frame::PULL, opaque, &fields, b"");
}

/// An error that shows the header, unless the response says SUCCESS.
pub fn success(response: &Response<'_>) -> Result<(), String> {
    match response.code {
        0 => Ok(()),
        code => Err(format!("response code {code}: {}", response.header.escape_ascii())),
    }
}

/// Milliseconds since 1970, as bornTimestamp wants them.
pub fn now_ms() -> u64 {
    std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis() as u64)
}
