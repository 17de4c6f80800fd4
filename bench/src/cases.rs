//! The cases: their names, how long they take, and on which start of a broker each runs.

use crate::frame::Header;
use crate::measure::{figure, Bench};
use crate::peer::{Peer, Running};
use crate::report::{Better, Figure};
use crate::stats::median;
use std::cell::Cell;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// How long everything takes.
pub struct Plan {
    /// Rounds in which the sides take turns; medians are told.
    pub rounds: usize,
    /// Starts of Apache's broker a round; ours, which is quicker, is started three times as often.
    pub starts: usize,
    /// From the first send until idle memory is read, and how long idle processor time is then counted.
    pub settle: Duration,
    /// Load before anything is measured, so that the JIT has compiled what it will.
    pub warm_up: Duration,
    /// Of a send case.
    pub send: Duration,
    /// Of a pull case.
    pub pull: Duration,
    /// Of the cases that are about latency.
    pub latency: Duration,
    /// Messages of 1 KiB in each of the queues that are pulled.
    pub backlog: u64,
    /// A send case ends when about this many bytes were sent.
    pub most_bytes: u64,
    /// The 1 KiB case with 4x64 ends only then, so that it is the disk's long run that counts.
    pub volume: u64,
    /// After which memory is looked at.
    pub messages: u64,
    /// Of an appender's or reader's case in process.
    pub in_process: f64,
}

impl Plan {
    /// The short run, for a first look, or the one whose figures count.
    pub fn new(quick: bool) -> Plan {
        let seconds = Duration::from_secs;
        if quick {
            return Plan {
                rounds: 1,
                starts: 1,
                settle: seconds(2),
                warm_up: seconds(10),
                send: seconds(2),
                pull: seconds(1),
                latency: seconds(3),
                backlog: 20_000,
                most_bytes: 1 << 30,
                volume: 1 << 30,
                messages: 1_000_000,
                in_process: 1.0,
            };
        }
        Plan {
            rounds: 3,
            starts: 2,
            settle: seconds(8),
            warm_up: seconds(15),
            send: seconds(8),
            pull: seconds(5),
            latency: seconds(10),
            backlog: 100_000,
            most_bytes: 2 << 30,
            volume: 4_500_000_000,
            messages: 10_000_000,
            in_process: 3.0,
        }
    }
}

/// One case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// From spawning the processes to the first accepted send.
    Start,
    /// Resident memory and processor time of an idle name server and broker.
    Idle,
    /// Sends: bytes of the body, connections, requests in flight on each.
    Send(usize, usize, usize),
    /// Sends of 1 KiB at half the rate that Apache's broker took at most.
    Paced,
    /// Catch-up pull of this many queues, a connection each.
    Pull(usize),
    /// Producer to consumer at 1,000 messages a second, the consumer's pull held by the broker.
    Latency,
    /// The same, while four connections send 1 KiB to another topic, one in flight on each.
    LoadedLatency,
    /// How late delayed messages come beside that load.
    Delayed,
    /// A backlog consumed by as many as its topic has queues, and by ten times as many after it was moved to another.
    Drain,
    /// Apache's Java client: 64 threads that send.
    JavaSend,
    /// Apache's Java client: a push consumer and a backlog.
    JavaDrain,
    /// As Send, with SYNC_FLUSH.
    Sync(usize, usize, usize),
    /// Sends to this many topics of 1,000 queues each.
    Many(u32),
    /// Memory after many messages.
    Memory,
    /// Appenders and readers within a process, beside Chronicle Queue.
    InProcess,
    /// Stripped binaries.
    Sizes,
}

/// Names on the command line, in the order in which they run.
pub const CASES: [(&str, Case); 25] = [
    ("start", Case::Start),
    ("idle", Case::Idle),
    ("send-128-1", Case::Send(128, 1, 1)),
    ("send-1k-1", Case::Send(1024, 1, 1)),
    ("send-128-4x64", Case::Send(128, 4, 64)),
    ("send-1k-4x64", Case::Send(1024, 4, 64)),
    ("send-128-16x16", Case::Send(128, 16, 16)),
    ("send-1k-16x16", Case::Send(1024, 16, 16)),
    ("paced", Case::Paced),
    ("pull-1", Case::Pull(1)),
    ("pull-2", Case::Pull(2)),
    ("pull-4", Case::Pull(4)),
    ("latency", Case::Latency),
    ("latency-loaded", Case::LoadedLatency),
    ("delayed", Case::Delayed),
    ("java-send", Case::JavaSend),
    ("java-drain", Case::JavaDrain),
    ("drain", Case::Drain),
    ("sync-1", Case::Sync(1024, 1, 1)),
    ("sync-4x64", Case::Sync(1024, 4, 64)),
    ("many-10k", Case::Many(10)),
    ("many-50k", Case::Many(50)),
    ("memory", Case::Memory),
    ("in-process", Case::InProcess),
    ("sizes", Case::Sizes),
];

/// Which broker a case runs on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Broker {
    /// One for all these cases.
    Common,
    /// One with SYNC_FLUSH.
    Sync,
    /// One of its own.
    Own,
    /// None.
    None,
}

impl Case {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        CASES.iter().find(|(_, case)| *case == self).map_or("", |(name, _)| name)
    }

    /// Whether one round is enough: what takes long, or hardly varies.
    fn once(self) -> bool {
        matches!(self, Case::Drain | Case::Many(_) | Case::Memory | Case::Delayed)
    }

    fn broker(self) -> Broker {
        match self {
            Case::Sync(..) => Broker::Sync,
            Case::Many(_) | Case::Memory => Broker::Own,
            Case::InProcess | Case::Sizes => Broker::None,
            _ => Broker::Common,
        }
    }

    /// Whether it says something about a side. A server that stores nothing can only be sent to.
    fn concerns(self, peer: &Peer) -> bool {
        match peer {
            Peer::Nothing { .. } => matches!(self, Case::Send(..)),
            _ => self.broker() != Broker::None,
        }
    }

    /// The cases of these names, or whose names begin so; all when there are no names.
    pub fn choose(names: &[String]) -> Result<Vec<Case>, String> {
        let exact = |name: &str| CASES.iter().any(|(case, _)| *case == name);
        let means = |name: &str, case: &str| if exact(name) { case == name } else { case.starts_with(name) };
        if let Some(unknown) = names.iter().find(|name| !CASES.iter().any(|(case, _)| means(name, case))) {
            let known: Vec<&str> = CASES.iter().map(|(name, _)| *name).collect();
            return Err(format!("no case begins with {unknown:?}; there are {}", known.join(", ")));
        }
        let wanted =
            |(name, _): &&(&str, Case)| names.is_empty() || names.iter().any(|named| means(named, name));
        Ok(CASES.iter().filter(wanted).map(|(_, case)| *case).collect())
    }
}

/// What all sides of a run share.
pub struct Run {
    /// What is to be measured.
    pub cases: Vec<Case>,
    /// How long it takes.
    pub plan: Plan,
    /// How request headers are written.
    pub form: Header,
    /// Whether the cases were asked for by name.
    pub named: bool,
    /// Sends a second that Apache's broker took at most, once known.
    pub top_rate: Cell<Option<f64>>,
}

impl Run {
    /// Runs one side's cases of one round (the first is 0), in directories below `dir`; `found` gets each figure as it
    /// comes, or what went wrong with a case.
    pub fn side(&self, peer: &Peer, round: usize, dir: &Path, found: &mut dyn FnMut(Result<Figure, String>)) {
        let wanted = |case: &&Case| case.concerns(peer) && (round == 0 || !case.once());
        let cases: Vec<Case> = self.cases.iter().filter(wanted).copied().collect();
        let on = |broker: Broker| cases.iter().copied().filter(move |case| case.broker() == broker);
        let mut groups: Vec<(Vec<Case>, bool)> =
            vec![(on(Broker::Common).collect(), false), (on(Broker::Sync).collect(), true)];
        groups.extend(on(Broker::Own).map(|case| (vec![case], false)));
        for (cases, sync_flush) in groups.into_iter().filter(|(cases, _)| !cases.is_empty()) {
            if let Err(text) = self.group(peer, &cases, sync_flush, dir, found) {
                found(Err(text));
            }
        }
    }

    fn group(
        &self,
        peer: &Peer,
        cases: &[Case],
        sync_flush: bool,
        dir: &Path,
        found: &mut dyn FnMut(Result<Figure, String>),
    ) -> Result<(), String> {
        let (running, millis) = self.start(peer, cases, sync_flush, dir)?;
        if cases.contains(&Case::Start) {
            found(Ok(figure("start to first send", "ms", Better::Lower, median(&millis))));
        }
        let mut bench = Bench::new(running, self, peer, dir);
        for case in cases {
            // What an earlier case wrote is the disk's work during this one otherwise.
            let _synced = Command::new("sync").status();
            match bench.case(*case) {
                Ok(figures) => figures.into_iter().for_each(|figure| found(Ok(figure))),
                Err(text) => found(Err(format!("{}: {text}", case.name()))),
            }
            bench.running.alive()?;
        }
        Ok(())
    }

    /// Starts the broker, several times when that is what is measured; the last one goes on running.
    fn start(
        &self,
        peer: &Peer,
        cases: &[Case],
        sync_flush: bool,
        dir: &Path,
    ) -> Result<(Running, Vec<f64>), String> {
        let starts = match (cases.contains(&Case::Start), peer) {
            (false, _) => 1,
            (true, Peer::Apache { .. }) => self.plan.starts,
            (true, _) => self.plan.starts * 3,
        };
        let mut millis = Vec::new();
        loop {
            let mut running = peer.start(dir, sync_flush)?;
            millis.push(running.ready(self.form)?.as_secs_f64() * 1000.0);
            if millis.len() == starts {
                return Ok((running, millis));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_chosen_by_name_or_its_beginning() {
        let count = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            Case::choose(&names).map(|cases| cases.len())
        };
        assert_eq!(count(&[]), Ok(CASES.len()));
        assert_eq!(count(&["sync"]), Ok(2));
        assert_eq!(count(&["send-1k", "latency"]), Ok(4));
        assert_eq!(count(&["send-128-1"]), Ok(1));
        assert!(count(&["sned"]).is_err_and(|text| text.contains("send-128-1")));
    }

    #[test]
    fn every_case_has_one_name_and_a_side() {
        for (name, case) in CASES {
            assert_eq!(case.name(), name);
            let ours = Peer::Ferromq { binary: "ferromq".into() };
            assert_eq!(case.concerns(&ours), !matches!(case, Case::InProcess | Case::Sizes));
        }
    }
}
