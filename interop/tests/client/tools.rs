//! Apache's mqadmin on brokers of both makers, about members of a group that are ours: what it asks them, they answer.

use crate::{eventually, same, seldom, Run, PATIENCE};
use ferromq_interop::java::Line;
use ferromq_interop::member::{hex, Event, Kind, Member};
use ferromq_interop::Outcome;

/// The cast: a process with mqadmin, one with the clients that are asked.
struct Tools<'a> {
    admin: Member,
    asked: Member,
    ns: &'a str,
    topic: String,
    group: String,
    client: String,
    /// Offset id of a message.
    message: String,
}

type Case = (&'static str, fn(&Tools<'_>) -> Outcome);

/// In this order: later ones move offsets.
const CASES: &[Case] = &[
    ("producerConnection", producer_connection),
    ("consumerConnection", consumer_connection),
    ("consumerProgress", consumer_progress),
    ("consumerStatus", consumer_status),
    ("queryMsgById-consume", consume_directly),
    ("resetOffsetByTime", reset),
];

pub fn run(run: &Run, site: &str, ns: &str) {
    let named: Vec<(String, Case)> = CASES
        .iter()
        .map(|case| (format!("{site}/tools/{}", case.0), *case))
        .filter(|(name, _)| run.report.wants(name))
        .collect();
    if named.is_empty() {
        return;
    }
    run.report.note(&format!("{site}: mqadmin"));
    match prepare(run, site, ns) {
        Err(why) => {
            run.report.outcome(&format!("{site}/tools/start"), Err(why));
        }
        Ok(tools) => {
            for (name, (_, body)) in named {
                run.report.case(&name, || body(&tools));
            }
        }
    }
}

fn prepare<'a>(run: &Run, site: &str, ns: &'a str) -> Outcome<Tools<'a>> {
    let admin = run.member(Kind::Java(Line::V53), &format!("-{site}-admin"))?;
    let asked = run.member(*run.kinds.last().expect("there are kinds"), &format!("-{site}-asked"))?;
    let (topic, group) = ("tools".to_owned(), "G-tools".to_owned());
    eventually("a producer that makes topics", || {
        admin.ask("producer", &[("name", "maker"), ("group", "P-maker"), ("ns", ns)]).map(|_| ())
    })?;
    admin.ask("topic", &[("name", "maker"), ("topic", &topic), ("queues", "2")])?;
    asked.ask("producer", &[("name", "sends"), ("group", "P-tools"), ("ns", ns)])?;
    let consumer =
        asked.ask("consumer", &[("name", "gets"), ("ns", ns), ("topic", &topic), ("group", &group)])?;
    let client = consumer.get("client").cloned().unwrap_or_default();
    let mut message = String::new();
    for number in 0..6 {
        let body = hex(format!("tools {number}").as_bytes());
        let sent =
            asked.ask("send", &[("name", "sends"), ("topic", &topic), ("hex", &body), ("keys", "k")])?;
        message = sent.get("offsetid").cloned().unwrap_or_default();
    }
    asked.await_told("got", "gets", 6, PATIENCE)?;
    Ok(Tools { admin, asked, ns, topic, group, client, message })
}

impl Tools<'_> {
    fn mqadmin(&self, args: &str) -> Outcome<String> {
        let args = format!("{args} -n {}", self.ns);
        Ok(self.admin.ask("mqadmin", &[("args", &args)])?.remove("text").unwrap_or_default())
    }

    /// Repeats the command until it prints all of these.
    fn prints(&self, args: &str, parts: &[&str]) -> Outcome {
        seldom(args, || {
            let text = self.mqadmin(args)?;
            match parts.iter().find(|part| !text.contains(**part)) {
                None => Ok(()),
                Some(part) => Err(format!("does not print {part:?} but: {text}")),
            }
        })
    }

    fn got(&self) -> Vec<Event> {
        self.asked.told("got", "gets")
    }
}

fn producer_connection(t: &Tools<'_>) -> Outcome {
    t.prints(&format!("producerConnection -g P-tools -t {}", t.topic), &["sends-", "127.0.0.1"])
}

fn consumer_connection(t: &Tools<'_>) -> Outcome {
    let parts = [
        t.client.as_str(),
        "127.0.0.1",
        &t.topic,
        "CONSUME_PASSIVELY",
        "CLUSTERING",
        "CONSUME_FROM_FIRST_OFFSET",
    ];
    t.prints(&format!("consumerConnection -g {}", t.group), &parts)
}

fn consumer_progress(t: &Tools<'_>) -> Outcome {
    t.prints(
        &format!("consumerProgress -g {}", t.group),
        &[&t.topic, "Consume Diff Total: 0", "Consume Inflight Total: 0"],
    )?;
    // Who owns which queue.
    t.prints(
        &format!("consumerProgress -g {} -s true", t.group),
        &[&t.topic, t.client.split('@').next().unwrap_or_default()],
    )
}

fn consumer_status(t: &Tools<'_>) -> Outcome {
    let parts = [
        "#Consumer Properties#",
        "#Consumer Subscription#",
        "#Consumer Offset#",
        "#Consumer MQ Detail#",
        "#Consumer RT&TPS#",
        &t.topic,
        "PROP_CONSUME_TYPE",
        "CONSUME_PASSIVELY",
    ];
    t.prints(&format!("consumerStatus -g {} -i {}", t.group, t.client), &parts)?;
    // All members together: the tool compares their subscriptions.
    t.prints(&format!("consumerStatus -g {}", t.group), &[&t.client])
}

fn consume_directly(t: &Tools<'_>) -> Outcome {
    let before = t.got().len();
    let args = format!("queryMsgById -i {} -t {} -g {} -d {}", t.message, t.topic, t.group, t.client);
    t.prints(&args, &["CR_SUCCESS"])?;
    let got = t.asked.await_told("got", "gets", before + 1, PATIENCE)?;
    let last = &got[before];
    same("consumed directly", &b"tools 5".to_vec(), &last.body())?;
    same("topic", &t.topic.as_str(), &last.get("topic"))
}

/// Backwards and forwards, while the group is at work.
fn reset(t: &Tools<'_>) -> Outcome {
    let last = t.got().iter().filter(|event| event.get("times") == "0").count();
    let since = |text: &str| format!("resetOffsetByTime -g {} -t {} -s {text}", t.group, t.topic);
    t.mqadmin(&since("0"))?;
    let expected: std::collections::BTreeSet<Vec<u8>> =
        (0..6).map(|n| format!("tools {n}").into_bytes()).collect();
    eventually("everything again", || {
        let again = t.got().iter().skip(last).map(Event::body).collect();
        same("again", &expected, &again)
    })?;
    t.prints(&format!("consumerProgress -g {}", t.group), &["Consume Diff Total: 0"])
}
