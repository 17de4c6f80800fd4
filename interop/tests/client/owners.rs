//! Two members of Apache's and two of ours in one group: every queue has exactly one owner, whoever comes and goes.

use crate::{eventually, same, Run};
use ferromq_interop::java::Line;
use ferromq_interop::member::{hex, Kind, Member};
use ferromq_interop::Outcome;
use std::collections::{BTreeMap, BTreeSet};

/// The strategies that both have and that share; a group each, all with the same members.
const STRATEGIES: &[&str] =
    &["AVG", "AVG_BY_CIRCLE", "CONSISTENT_HASH", "MACHINE_ROOM", "MACHINE_ROOM_NEARBY"];
const QUEUES: usize = 8;

/// The group of one strategy: its members are processes, of which each may be in or out.
struct Group<'a> {
    site: &'a str,
    ns: &'a str,
    strategy: &'a str,
    topic: String,
    sent: usize,
}

/// A process, with the room it stands in.
struct Placed {
    member: Member,
    room: &'static str,
}

impl Group<'_> {
    fn name(&self) -> String {
        format!("o-{}", self.strategy)
    }

    fn join(&self, placed: &Placed) -> Outcome {
        let group = format!("G-{}", self.topic);
        let name = self.name();
        let fields = [
            ("name", name.as_str()),
            ("group", &group),
            ("ns", self.ns),
            ("topic", &self.topic),
            ("strategy", self.strategy),
            ("clientip", placed.room),
        ];
        placed.member.ask("consumer", &fields).map(|_| ())
    }

    fn leave(&self, placed: &Placed) -> Outcome {
        placed.member.ask("stop", &[("name", &self.name())]).map(|_| ())
    }

    /// Who holds what.
    fn holders(&self, members: &[&Placed]) -> Outcome<BTreeMap<String, BTreeSet<String>>> {
        let mut all = BTreeMap::new();
        for placed in members {
            let fields = [("name", self.name()), ("topic", self.topic.clone())];
            let fields: Vec<(&str, &str)> = fields.iter().map(|(k, v)| (*k, v.as_str())).collect();
            let answer = placed.member.ask("assigned", &fields)?;
            let queues = answer.get("queues").map_or("", String::as_str);
            let queues = queues.split(',').filter(|queue| !queue.is_empty()).map(str::to_owned).collect();
            all.insert(placed.member.name.clone(), queues);
        }
        Ok(all)
    }

    /// Every queue has one owner, and the shares are those that the strategy means.
    fn settled(&self, when: &str, members: &[&Placed]) -> Outcome {
        eventually(&format!("{}, {}, {when}", self.site, self.strategy), || {
            let holders = self.holders(members)?;
            let held: usize = holders.values().map(BTreeSet::len).sum();
            let distinct: BTreeSet<&String> = holders.values().flatten().collect();
            if held != QUEUES || distinct.len() != QUEUES {
                return Err(format!("not every queue has exactly one owner: {holders:?}"));
            }
            let near = self.strategy == "MACHINE_ROOM_NEARBY" && members.iter().any(|m| m.room == "r1");
            for placed in members.iter().filter(|m| near && m.room != "r1") {
                same("queues of another room", &0, &holders[&placed.member.name].len())?;
            }
            if self.strategy.starts_with("AVG") {
                let sizes = holders.values().map(BTreeSet::len);
                let (least, most) = (sizes.clone().min().unwrap_or(0), sizes.max().unwrap_or(0));
                same("difference of the shares", &true, &(most - least <= 1))?;
            }
            Ok(())
        })
    }

    /// More messages to all queues; afterwards everything sent so far was consumed by somebody.
    fn consumed(
        &mut self,
        maker: &Member,
        all: &[&Member],
        gone: &BTreeSet<String>,
    ) -> Outcome<BTreeSet<String>> {
        for queue in 0..QUEUES {
            let body = hex(self.sent.to_string().as_bytes());
            let queue = queue.to_string();
            maker.ask(
                "send",
                &[("name", "maker"), ("topic", &self.topic), ("queue", &queue), ("hex", &body)],
            )?;
            self.sent += 1;
        }
        let expected: BTreeSet<String> = (0..self.sent).map(|n| n.to_string()).collect();
        let mut seen = BTreeSet::new();
        eventually(&format!("{}, {}: messages consumed", self.site, self.strategy), || {
            seen.clone_from(gone);
            for member in all {
                let got = member.told("got", &self.name());
                seen.extend(got.iter().map(|event| String::from_utf8_lossy(&event.body()).into_owned()));
            }
            same("missing", &BTreeSet::new(), &expected.difference(&seen).cloned().collect::<BTreeSet<_>>())
        })?;
        Ok(seen)
    }
}

/// All strategies on one cluster.
pub fn run(run: &Run, site: &str, ns: &str) {
    let names: Vec<String> = STRATEGIES.iter().map(|strategy| format!("{site}/owners/{strategy}")).collect();
    if !names.iter().any(|name| run.report.matches(name)) {
        return;
    }
    run.report.note(&format!("{site}: mixed groups"));
    let mut groups: Vec<Group<'_>> = STRATEGIES
        .iter()
        .map(|strategy| Group { site, ns, strategy, topic: format!("owners-{strategy}"), sent: 0 })
        .collect();
    let mut failed = BTreeMap::new();
    let outcome = scenario(run, site, ns, &mut groups, &mut failed);
    for (name, strategy) in names.iter().zip(STRATEGIES) {
        let outcome = match (failed.remove(*strategy), &outcome) {
            (Some(why), _) => Err(why),
            (None, Err(why)) => Err(why.clone()),
            (None, Ok(took)) => Ok(*took),
        };
        run.report.outcome(name, outcome);
    }
}

type Failed = BTreeMap<String, String>;

/// Does it for all groups at the same time; a group that failed takes no further part.
fn each<'a>(groups: &mut [Group<'a>], failed: &mut Failed, act: impl Fn(&mut Group<'a>) -> Outcome + Sync) {
    let act = &act;
    let outcomes: Vec<(String, Outcome)> = std::thread::scope(|threads| {
        let running: Vec<_> = groups
            .iter_mut()
            .filter(|group| !failed.contains_key(group.strategy))
            .map(|group| (group.strategy, threads.spawn(move || act(group))))
            .collect();
        let end = |thread: std::thread::ScopedJoinHandle<'_, Outcome>| {
            thread.join().unwrap_or_else(|_| Err("panicked".to_owned()))
        };
        running.into_iter().map(|(strategy, thread)| (strategy.to_owned(), end(thread))).collect()
    });
    failed.extend(outcomes.into_iter().filter_map(|(strategy, outcome)| Some((strategy, outcome.err()?))));
}

fn scenario(
    run: &Run,
    site: &str,
    ns: &str,
    groups: &mut [Group<'_>],
    failed: &mut Failed,
) -> Outcome<std::time::Duration> {
    let start = std::time::Instant::now();
    let ours = *run.kinds.last().expect("there are kinds");
    let placed = |kind: Kind, extra: &str, room: &'static str| -> Outcome<Placed> {
        let member = run.member(kind, &format!("-{site}-{extra}"))?;
        Ok(Placed { member, room })
    };
    let a = placed(Kind::Java(Line::V53), "a", "r1")?;
    let b = placed(Kind::Java(Line::V49), "b", "r2")?;
    let c = placed(ours, "c", "r1")?;
    let d = placed(ours, "d", "r2")?;
    eventually("a producer that makes topics", || {
        a.member.ask("producer", &[("name", "maker"), ("group", "P-owners"), ("ns", ns)]).map(|_| ())
    })?;
    each(groups, failed, |g| {
        a.member.ask("topic", &[("name", "maker"), ("topic", &g.topic), ("queues", "8")]).map(|_| ())
    });
    each(groups, failed, |g| g.join(&a).and_then(|()| g.settled("one member", &[&a])));
    each(groups, failed, |g| g.join(&c).and_then(|()| g.settled("ours joined", &[&a, &c])));
    each(groups, failed, |g| {
        g.join(&d)?;
        g.join(&b)?;
        g.settled("all joined", &[&a, &b, &c, &d])?;
        g.consumed(&a.member, &[&a.member, &b.member, &c.member, &d.member], &BTreeSet::new()).map(|_| ())
    });
    each(groups, failed, |g| g.leave(&c).and_then(|()| g.settled("ours left", &[&a, &b, &d])));
    each(groups, failed, |g| g.leave(&a).and_then(|()| g.settled("Apache's left", &[&b, &d])));
    each(groups, failed, |g| {
        g.join(&c)?;
        g.join(&a)?;
        g.settled("both came back", &[&a, &b, &c, &d])?;
        g.consumed(&a.member, &[&a.member, &b.member, &c.member, &d.member], &BTreeSet::new()).map(|_| ())
    });
    // What the killed ones consumed before counts too.
    let seen_by = |member: &Member, g: &Group<'_>| -> BTreeSet<String> {
        let got = member.told("got", &g.name());
        got.iter().map(|event| String::from_utf8_lossy(&event.body()).into_owned()).collect()
    };
    let gone: BTreeMap<String, BTreeSet<String>> = groups
        .iter()
        .map(|g| {
            (g.strategy.to_owned(), seen_by(&b.member, g).union(&seen_by(&d.member, g)).cloned().collect())
        })
        .collect();
    d.member.kill();
    each(groups, failed, |g| g.settled("ours was killed", &[&a, &b, &c]));
    b.member.kill();
    each(groups, failed, |g| {
        g.settled("Apache's was killed", &[&a, &c])?;
        g.consumed(&a.member, &[&a.member, &c.member], &gone[g.strategy]).map(|_| ())
    });
    let e = placed(ours, "e", "r1")?;
    each(groups, failed, |g| {
        g.join(&e)?;
        g.settled("a new one joined", &[&a, &c, &e])?;
        g.consumed(&a.member, &[&a.member, &c.member, &e.member], &gone[g.strategy]).map(|_| ())
    });
    Ok(start.elapsed())
}
