//! Transactions whose producer is killed before it decides: another producer of its group does, whoever's it is.

use crate::{eventually, same, Run, PATIENCE};
use ferromq_interop::java::Line;
use ferromq_interop::member::{hex, Kind};
use ferromq_interop::Outcome;
use std::time::Duration;

/// All pairs at the same time, each with a group and a topic of its own.
pub fn run(run: &Run, site: &str, ns: &str) {
    let ours = *run.kinds.last().expect("there are kinds");
    let java = Kind::Java(Line::V53);
    let pairs = [("java-dies", java, ours), ("ours-dies", ours, java), ("both-ours", ours, ours)];
    let named: Vec<_> = pairs
        .into_iter()
        .map(|pair| (format!("{site}/orphans/{}", pair.0), pair))
        .filter(|(name, _)| run.report.wants(name))
        .collect();
    if named.is_empty() {
        return;
    }
    run.report.note(&format!("{site}: producers killed in transactions"));
    // Makers of topics stand in a queue, as Apache's broker loses topics that change at once.
    let one_topic_at_a_time = std::sync::Mutex::new(());
    std::thread::scope(|threads| {
        for (name, (what, dies, resolves)) in &named {
            let lock = &one_topic_at_a_time;
            threads.spawn(move || {
                run.report
                    .case(name, || orphans(run, &format!("{site}-{what}"), ns, (*dies, *resolves), lock))
            });
        }
    });
}

fn orphans(
    run: &Run,
    name: &str,
    ns: &str,
    (dies, resolves): (Kind, Kind),
    topics: &std::sync::Mutex<()>,
) -> Outcome {
    let victim = run.member(dies, &format!("-{name}-victim"))?;
    let heir = run.member(resolves, &format!("-{name}-heir"))?;
    let (topic, group) = (format!("t-{name}"), format!("P-{name}"));
    eventually("a producer that makes topics", || {
        heir.ask("producer", &[("name", "maker"), ("group", "P-maker"), ("ns", ns)]).map(|_| ())
    })?;
    {
        let _turn = topics.lock().expect("turn");
        heir.ask("topic", &[("name", "maker"), ("topic", &topic), ("queues", "2")])?;
    }
    let consumer_group = format!("G-{name}");
    heir.ask("consumer", &[("name", "all"), ("ns", ns), ("topic", &topic), ("group", &consumer_group)])?;
    let producer = |check| vec![("name", "tx"), ("group", group.as_str()), ("ns", ns), ("check", check)];
    victim.ask("producer", &[producer("unknown"), vec![("transaction", "hang")]].concat())?;
    let body = hex(b"orphan");
    for _ in 0..3 {
        victim.begin(
            "transact",
            &[("name", "tx"), ("topic", &topic), ("hex", &body), ("keys", "k"), ("p.a", "b")],
        );
    }
    // The half messages are stored and the local transactions run.
    victim.await_told("execute", "tx", 3, PATIENCE)?;
    victim.kill();
    std::thread::sleep(Duration::from_millis(300));
    same("messages before anyone decided", &0, &heir.told("got", "all").len())?;
    heir.ask("producer", &[producer("commit"), vec![("transaction", "commit")]].concat())?;
    if resolves == Kind::Java(Line::V53) {
        // A producer of this line that never sent knows no broker, and none knows it.
        heir.ask("send", &[("name", "tx"), ("topic", "orphans-hello"), ("hex", "00")])?;
    }
    heir.await_told("check", "tx", 3, PATIENCE)?;
    let got = heir.await_told("got", "all", 3, PATIENCE)?;
    for event in got {
        let fields = (event.body(), event.get("p.KEYS").to_owned(), event.get("p.a").to_owned());
        same("the message", &(b"orphan".to_vec(), "k".to_owned(), "b".to_owned()), &fields)?;
    }
    Ok(())
}
