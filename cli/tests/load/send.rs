//! Sends, many in flight on each connection.

use std::io::{BufReader, Write};

use ferromq::wire::{Encoding, Frame, Request, ResponseCode, SendForm, SendMessage, SendMessageResponse};

use super::{body, connect, id_of, queue_of, read_frame, topic, QUEUES};

/// Sends that a connection keeps in flight where many are meant.
pub const WINDOW: u64 = 32;

/// An acknowledged message: its id, and the offset that the broker told. Its queue is the one it was sent to.
#[derive(Clone, Copy, Debug)]
pub struct Acked {
    pub id: u64,
    pub offset: i64,
}

fn send(out: &mut Vec<u8>, id: u64, opaque: i32) {
    let (body, queue) = (body(id), queue_of(id));
    let request = Request::SendMessage(SendMessage {
        form: SendForm::V2,
        producer_group: "PG".into(),
        topic: topic(queue).into(),
        default_topic: "TBW102".into(),
        default_topic_queue_nums: QUEUES as i32,
        queue_id: (queue % QUEUES) as i32,
        born_timestamp: 1,
        properties: Some(format!("KEYS\u{1}key{id}\u{2}UNIQ_KEY\u{1}id{id}\u{2}").into()),
        body: &body,
        ..Default::default()
    });
    request.encode(Encoding::Json, opaque, false, out).unwrap();
}

/// Sends, `window` in flight, until the connection breaks; what was acknowledged. `seen` hears of each acknowledgement and
/// tells whether to go on.
pub fn send_until_broken(
    port: u16,
    round: u64,
    sender: usize,
    window: u64,
    seen: impl Fn(Acked) -> bool,
) -> Vec<Acked> {
    let mut acked = Vec::new();
    let Ok(mut stream) = connect(port) else { return acked };
    let Ok(mut answers) = stream.try_clone().map(BufReader::new) else { return acked };
    let (mut next, mut due, mut out, mut frame) = (0, window, Vec::new(), Vec::new());
    loop {
        for _ in 0..due {
            send(&mut out, id_of(round, sender, next), next as i32);
            next += 1;
        }
        if stream.write_all(&out).is_err() {
            return acked;
        }
        (due, _) = (0, out.clear());
        while due == 0 || has_frame(answers.buffer()) {
            if read_frame(&mut answers, &mut frame).is_err() {
                return acked;
            }
            due += 1;
            let answer = Frame::decode(&frame).expect("a well-formed answer");
            match ResponseCode(answer.code) {
                ResponseCode::SUCCESS => {}
                // A machine that is very busy: nobody was told that it is kept.
                ResponseCode::SYSTEM_BUSY | ResponseCode::FLUSH_DISK_TIMEOUT => continue,
                // On the way to a clean end.
                _ if closes(&answer) => continue,
                _ => panic!("a send was answered by {} {:?}", answer.code, answer.remark),
            }
            let (id, offset) = (id_of(round, sender, answer.opaque as u64), offset(&answer, round, sender));
            acked.push(Acked { id, offset });
            if !seen(Acked { id, offset }) {
                return acked;
            }
        }
    }
}

fn closes(answer: &Frame<'_>) -> bool {
    let words = ["the store is closed", "the broker is stopping"];
    answer.remark.as_deref().is_some_and(|remark| words.iter().any(|word| remark.contains(word)))
}

fn offset(answer: &Frame<'_>, round: u64, sender: usize) -> i64 {
    let header = SendMessageResponse::decode(answer).expect("a send answer");
    let sent_to = queue_of(id_of(round, sender, answer.opaque as u64)) % QUEUES;
    assert_eq!(header.queue_id, sent_to as i32, "the queue of an answer");
    header.queue_offset
}

fn has_frame(bytes: &[u8]) -> bool {
    let length = bytes.first_chunk().map(|length| u32::from_be_bytes(*length) as usize);
    length.is_some_and(|length| bytes.len() - 4 >= length)
}
