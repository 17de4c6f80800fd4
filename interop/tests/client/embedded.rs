//! A server in a process of ours, with a listener: Apache's clients join it.

use crate::{eventually, same, Run, PATIENCE};
use ferromq_interop::java::Line;
use ferromq_interop::member::{hex, Kind, Member};
use ferromq_interop::Outcome;
use std::collections::BTreeSet;

pub fn run(run: &Run) {
    for line in [Line::V53, Line::V49] {
        let name = format!("embedded/{}-joins", Kind::Java(line));
        // There is no such thing of Apache's.
        if run.kinds.contains(&Kind::Ours) && run.report.wants(&name) {
            run.report.case(&name, || joins(run, line));
        }
    }
}

/// Both send, and both are members of one group, which shares four queues; then each gets everything in a group of its own.
fn joins(run: &Run, line: Line) -> Outcome {
    let extra = if line == Line::V53 { "-embedded-53" } else { "-embedded-49" };
    let (ours, java) = (run.member(Kind::Ours, extra)?, run.member(Kind::Java(line), extra)?);
    let ns = ours.ask("open", &[])?.remove("ns").unwrap_or_default();
    let topic = "embedded";
    let producer = [("name", "sends"), ("group", "P-embedded"), ("ns", ns.as_str())];
    ours.ask("producer", &[&producer[..], &[("embedded", "1")]].concat())?;
    eventually("a producer", || java.ask("producer", &producer).map(|_| ()))?;
    ours.ask("topic", &[("name", "sends"), ("topic", topic), ("queues", "4")])?;
    for (name, groups) in [("shared", ["G-both", "G-both"]), ("own", ["G-ours", "G-java"])] {
        let consumer = |member: &Member, group: &str, more: &[(&str, &str)]| {
            let fields = [("name", name), ("group", group), ("ns", ns.as_str()), ("topic", topic)];
            member.ask("consumer", &[&fields[..], more].concat()).map(|_| ())
        };
        consumer(&ours, groups[0], &[("embedded", "1")])?;
        consumer(&java, groups[1], &[])?;
    }
    let assigned = |member: &Member| -> Outcome<Vec<String>> {
        let queues = member.ask("assigned", &[("name", "shared"), ("topic", topic)])?.remove("queues");
        let queues = queues.unwrap_or_default();
        Ok(queues.split(',').filter(|queue| !queue.is_empty()).map(str::to_owned).collect())
    };
    eventually("two queues each", || {
        let (ours, java) = (assigned(&ours)?, assigned(&java)?);
        same("queues", &(2, 2), &(ours.len(), java.len()))?;
        same("owned", &4, &ours.iter().chain(&java).collect::<BTreeSet<_>>().len())
    })?;
    let mut expected = BTreeSet::new();
    for (member, who) in [(&ours, "ours"), (&java, "java")] {
        for i in 0..20 {
            let body = format!("{who} {i}").into_bytes();
            let fields = [("name", "sends"), ("topic", topic), ("hex", &hex(&body)), ("keys", "k")];
            let sent = member.ask("send", &fields)?;
            same("status", &Some("SEND_OK"), &sent.get("status").map(String::as_str))?;
            expected.insert(body);
        }
    }
    let bodies = |member: &Member, name: &str| -> Vec<Vec<u8>> {
        member.told("got", name).iter().map(|event| event.body()).collect()
    };
    for member in [&ours, &java] {
        member.await_told("got", "own", expected.len(), PATIENCE)?;
        same("all", &expected, &bodies(member, "own").into_iter().collect())?;
    }
    eventually("the group has all, each once", || {
        let mut all = [bodies(&ours, "shared"), bodies(&java, "shared")].concat();
        all.sort();
        same("of both", &expected.iter().cloned().collect::<Vec<_>>(), &all)
    })?;
    if [&ours, &java].iter().any(|member| bodies(member, "shared").is_empty()) {
        return Err("a member of the group got nothing".to_owned());
    }
    ours.ask("close", &[]).map(|_| ())
}
