//! What the connections of a load ask for: sends to one queue or to many, and pulls.

use crate::client;
use crate::frame::{Header, Response, SendTemplate};
use crate::load::Work;
use crate::record;

/// Sends until `left` are out.
pub struct Sends {
    /// What is sent.
    pub template: SendTemplate,
    /// How many are still to go out.
    pub left: u64,
    next_key: u64,
}

impl Sends {
    /// So many of these.
    pub fn new(template: SendTemplate, left: u64) -> Self {
        Sends { template, left, next_key: 0 }
    }
}

impl Work for Sends {
    fn ask(&mut self, opaque: u32, out: &mut Vec<u8>) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        self.template.append(out, opaque, self.next_key);
        self.next_key += 1;
        true
    }

    fn answered(&mut self, response: &Response<'_>) -> Result<u64, String> {
        client::success(response).map(|()| 1)
    }
}

/// Sends to many queues in an order that visits each once in a round and looks random.
pub struct Scatter {
    templates: Vec<SendTemplate>,
    at: usize,
    step: usize,
    left: u64,
    next_key: u64,
}

impl Scatter {
    /// So many messages, to the queues of these templates.
    pub fn new(templates: Vec<SendTemplate>, left: u64) -> Self {
        // A stride without a common divisor visits all before any comes again.
        let near = templates.len() * 5 / 8 + 1;
        let step = (near..).find(|step| divisor(*step, templates.len()) == 1).unwrap_or(1);
        Scatter { templates, at: 0, step, left, next_key: 0 }
    }
}

fn divisor(a: usize, b: usize) -> usize {
    if b == 0 {
        a
    } else {
        divisor(b, a % b)
    }
}

impl Work for Scatter {
    fn ask(&mut self, opaque: u32, out: &mut Vec<u8>) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        self.at = (self.at + self.step) % self.templates.len();
        self.templates[self.at].append(out, opaque, self.next_key);
        self.next_key += 1;
        true
    }

    fn answered(&mut self, response: &Response<'_>) -> Result<u64, String> {
        client::success(response).map(|()| 1)
    }
}

/// Pulls a queue from its beginning, again and again: a backlog of fixed size serves for any length of run.
pub struct Pulls {
    form: Header,
    topic: String,
    queue: u32,
    offset: u64,
    /// Starts again from here, or where the broker has nothing more.
    end: u64,
}

impl Pulls {
    /// From offset 0 to `end`; `u64::MAX` stands for where the broker has nothing more.
    pub fn new(form: Header, topic: &str, queue: u32, end: u64) -> Self {
        Pulls { form, topic: topic.to_owned(), queue, offset: 0, end }
    }
}

impl Work for Pulls {
    fn ask(&mut self, opaque: u32, out: &mut Vec<u8>) -> bool {
        client::pull_request(out, self.form, opaque, &self.topic, self.queue, self.offset, false);
        true
    }

    fn answered(&mut self, response: &Response<'_>) -> Result<u64, String> {
        if self.end == u64::MAX && response.code == 19 {
            self.offset = 0;
            return Ok(0);
        }
        client::success(response)?;
        let (mut next, mut gap) = (self.offset, None);
        let count = record::walk(response.body, |offset, _| {
            gap = gap.or((offset != next).then_some((next, offset)));
            next += 1;
        })?;
        if let Some((want, have)) = gap {
            return Err(format!("{} queue {}: message {have} in place of {want}", self.topic, self.queue));
        }
        self.offset = if next >= self.end { 0 } else { next };
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{self, Front, OPAQUE_BASE};

    #[test]
    fn sends_stop_at_their_number() {
        let template = SendTemplate::new(Header::Binary, "t", 0, b"b", 1, 0);
        let mut work = Sends::new(template, 2);
        let mut out = Vec::new();
        let asked: Vec<bool> = (0..3).map(|n| work.ask(OPAQUE_BASE + n, &mut out)).collect();
        assert_eq!(asked, [true, true, false]);
    }

    #[test]
    fn each_round_visits_every_queue_once() {
        for queues in [1, 2, 7, 10, 1000] {
            let template = |queue| SendTemplate::new(Header::Json, "t", queue, b"b", 1, 0);
            let mut work = Scatter::new((0..queues).map(template).collect(), u64::from(queues));
            let (mut seen, mut out) = (std::collections::BTreeSet::new(), Vec::new());
            while work.ask(OPAQUE_BASE, &mut out) {
                let Ok(Front::Whole(request, _)) = frame::front(&out) else { panic!("no frame") };
                seen.insert(request.field("e").map(str::to_owned));
                out.clear();
            }
            assert_eq!(seen.len(), queues as usize);
        }
    }
}
