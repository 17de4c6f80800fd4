//! What a broker has: every queue from its first message on, and the key index by samples.

use std::io::{BufReader, Write};
use std::net::TcpStream;

use ferromq::message::property;
use ferromq::record::{records, RecordView};
use ferromq::wire::{
    Encoding, Frame, GetMaxOffset, PullMessage, PullMessageResponse, QueryMessage, Request, ResponseCode,
};

use super::{body, connect, mix, queue_of, read_frame, topic, Acked, ALL, QUEUES};

/// Connections that read at the same time.
const READERS: usize = 2;
/// Pulls that each keeps in flight.
const WINDOW: usize = 16;
/// Acknowledged messages that are looked up by their keys.
const KEYS: usize = 40;

/// What was found.
#[derive(Debug, Clone, Copy, Default)]
pub struct Found {
    /// Messages, acknowledged or not.
    pub messages: usize,
    /// Messages that are there a second time.
    pub twice: usize,
    /// Queues with messages.
    pub queues: usize,
    /// Messages in the fullest of them.
    pub fullest: usize,
}

/// Reads every queue. Each message is to be whole, what was sent, in the queue it was sent to, without gaps between them;
/// each acknowledged one where the broker said; some of those are looked up by key.
pub fn check(port: u16, acked: &[Acked]) -> Result<Found, String> {
    let queues = read_all(port)?;
    for message in acked {
        let queue = queue_of(message.id);
        let found = usize::try_from(message.offset).ok().and_then(|at| queues[queue].get(at));
        if found != Some(&message.id) {
            let (topic, id, held) = (topic(queue), queue % QUEUES, queues[queue].len());
            return Err(format!(
                "{message:?} of {topic} queue {id} is lost: there is {found:?}, the queue holds {held}"
            ));
        }
    }
    keys(port, acked)?;
    let mut ids: Vec<u64> = queues.iter().flatten().copied().collect();
    let messages = ids.len();
    ids.sort_unstable();
    ids.dedup();
    Ok(Found {
        messages,
        twice: messages - ids.len(),
        queues: queues.iter().filter(|queue| !queue.is_empty()).count(),
        fullest: queues.iter().map(Vec::len).max().unwrap_or(0),
    })
}

/// The ids in each queue, by offset.
fn read_all(port: u16) -> Result<Vec<Vec<u64>>, String> {
    let mut all = vec![Vec::new(); ALL];
    let parts = std::thread::scope(|threads| {
        let readers: Vec<_> = (0..READERS)
            .map(|part| threads.spawn(move || Reader::connect(port)?.read((part..ALL).step_by(READERS))))
            .collect();
        let ends = readers.into_iter().map(|reader| reader.join().expect("a reader does not panic"));
        ends.collect::<Result<Vec<_>, String>>()
    })?;
    for (queue, ids) in parts.into_iter().flatten() {
        all[queue] = ids;
    }
    Ok(all)
}

struct Reader {
    stream: TcpStream,
    answers: BufReader<TcpStream>,
    out: Vec<u8>,
    frame: Vec<u8>,
}

impl Reader {
    fn connect(port: u16) -> Result<Reader, String> {
        let failed = |error| format!("no connection to port {port}: {error}");
        let stream = connect(port).map_err(failed)?;
        let answers = BufReader::with_capacity(1 << 18, stream.try_clone().map_err(failed)?);
        Ok(Reader { stream, answers, out: Vec::new(), frame: Vec::new() })
    }

    fn ask(&mut self, request: &Request<'_>, queue: usize) {
        request.encode(Encoding::Json, queue as i32, false, &mut self.out).expect("a request can be encoded");
    }

    fn pull(&mut self, queue: usize, offset: usize) {
        let request = PullMessage {
            consumer_group: "G".into(),
            topic: topic(queue).into(),
            queue_id: (queue % QUEUES) as i32,
            queue_offset: offset as i64,
            max_msg_nums: 32,
            sys_flag: 4,
            subscription: Some("*".into()),
            ..Default::default()
        };
        self.ask(&Request::PullMessage(request), queue);
    }

    /// Sends what was asked, reads one answer.
    fn next(&mut self) -> Result<Frame<'_>, String> {
        self.stream.write_all(&self.out).map_err(|error| format!("cannot ask: {error}"))?;
        self.out.clear();
        read_frame(&mut self.answers, &mut self.frame).map_err(|error| format!("no answer: {error}"))?;
        Frame::decode(&self.frame).map_err(|error| format!("a malformed answer: {error}"))
    }

    /// The ids in these queues, by offset.
    fn read(mut self, queues: impl Iterator<Item = usize>) -> Result<Vec<(usize, Vec<u64>)>, String> {
        let (mut found, mut open) = (Vec::new(), vec![None; ALL]);
        let (mut waiting, mut in_flight) = (queues.peekable(), 0);
        while in_flight > 0 || waiting.peek().is_some() {
            while let Some(queue) = waiting.next_if(|_| in_flight < WINDOW) {
                open[queue] = Some(Vec::new());
                self.pull(queue, 0);
                in_flight += 1;
            }
            let answer = self.next()?;
            let queue = answer.opaque as usize;
            let ids: &mut Vec<u64> = open[queue].as_mut().ok_or("an answer that was not asked for")?;
            match take(&answer, queue, ids)
                .map_err(|why| format!("{} queue {}: {why}", topic(queue), queue % QUEUES))?
            {
                Next::Pull => {
                    let at = ids.len();
                    self.pull(queue, at);
                }
                Next::AskForEnd => {
                    let (topic, queue_id) = (topic(queue).into(), (queue % QUEUES) as i32);
                    let request = GetMaxOffset { topic, queue_id, ..Default::default() };
                    self.ask(&Request::GetMaxOffset(request), queue);
                }
                Next::Done => {
                    in_flight -= 1;
                    found.extend(open[queue].take().map(|ids| (queue, ids)));
                }
            }
        }
        Ok(found)
    }
}

enum Next {
    Pull,
    AskForEnd,
    Done,
}

/// Takes what an answer to a pull, or to the question for the end, tells of a queue.
fn take(answer: &Frame<'_>, queue: usize, ids: &mut Vec<u64>) -> Result<Next, String> {
    let there = ids.len() as i64;
    if let Some(end) = answer.fields.get("offset") {
        return match end.parse() == Ok(there) {
            true => Ok(Next::Done),
            false => Err(format!("ends at {end}, though {there} messages are served")),
        };
    }
    match ResponseCode(answer.code) {
        // Before the first send there is no topic.
        ResponseCode::TOPIC_NOT_EXIST if there == 0 => return Ok(Next::Done),
        ResponseCode::PULL_NOT_FOUND => return Ok(Next::AskForEnd),
        ResponseCode::PULL_RETRY_IMMEDIATELY => return Ok(Next::Pull),
        ResponseCode::SUCCESS => {}
        _ => return Err(format!("the pull at {there} was answered by {} {:?}", answer.code, answer.remark)),
    }
    for record in records(answer.body) {
        let record = record.map_err(|error| format!("no record after {}: {error}", ids.len()))?;
        ids.push(whole(&record, queue, ids.len())?);
    }
    let header = PullMessageResponse::decode(answer).map_err(|error| error.to_string())?;
    match header.next_begin_offset == ids.len() as i64 && header.min_offset == 0 {
        true => Ok(Next::Pull),
        false => Err(format!("{header:?} after {} messages", ids.len())),
    }
}

/// The id of a record that is as it was sent, and where it belongs.
fn whole(record: &RecordView<'_>, queue: usize, at: usize) -> Result<u64, String> {
    let id = record.body().first_chunk().map_or(u64::MAX, |id| u64::from_be_bytes(*id));
    let expected = format!("id{id}");
    let wrong = if record.queue_offset() != at as i64 {
        "stands where another belongs"
    } else if !record.body_crc_matches() || record.body() != body(id) {
        "is torn"
    } else if queue_of(id) != queue || record.topic() != topic(queue) {
        "was sent elsewhere"
    } else if record.property(property::UNIQ_KEY) != Some(&expected) {
        "has other properties"
    } else {
        return Ok(id);
    };
    Err(format!("the message at {at} {wrong}: id {id}, queue offset {}", record.queue_offset()))
}

fn keys(port: u16, acked: &[Acked]) -> Result<(), String> {
    let mut client = Reader::connect(port)?;
    for sample in 0..KEYS.min(acked.len()) {
        let id = acked[mix((acked.len() + sample) as u64) as usize % acked.len()].id;
        let key = format!("key{id}");
        let request = QueryMessage {
            topic: topic(queue_of(id)).into(),
            key: key.as_str().into(),
            max_num: 32,
            begin_timestamp: 0,
            end_timestamp: i64::MAX,
            ..Default::default()
        };
        client.ask(&Request::QueryMessage(request), sample);
        let answer = client.next()?;
        let found = records(answer.body)
            .any(|record| record.is_ok_and(|record| record.property(property::KEYS) == Some(&key)));
        if !found {
            return Err(format!("acknowledged message {id} is not found by its key {key}"));
        }
    }
    Ok(())
}
