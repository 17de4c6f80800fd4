//! Every kind of client sends, every kind receives: what is sent is received, whoever does it.

mod rows;
mod special;

use crate::{eventually, every, same, seldom, Run, PATIENCE};
use ferromq_interop::java::Line;
use ferromq_interop::member::{hex, Event, Fields, Kind, Member};
use ferromq_interop::server::Maker;
use ferromq_interop::Outcome;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Properties that clients and brokers put beside the user's own.
const RESERVED: &[&str] = &[
    "UNIQ_KEY",
    "WAIT",
    "MSG_REGION",
    "TRACE_ON",
    "CLUSTER",
    "MIN_OFFSET",
    "MAX_OFFSET",
    "CONSUME_START_TIME",
    "DELAY",
    "REAL_TOPIC",
    "REAL_QID",
    "RETRY_TOPIC",
    "ORIGIN_MESSAGE_ID",
    "EXTEND_UNIQ_INFO",
    "RECONSUME_TIME",
    "MAX_RECONSUME_TIMES",
    "TIMER_DELAY_LEVEL",
    "__SHARDINGKEY",
    "TRAN_MSG",
    "PGROUP",
    "INSTANCE_ID",
    "TRANSACTION_CHECK_TIMES",
    "__transactionId__",
    "DELAY_TIME_LEVEL",
    "TRANSACTION_PREPARED_QUEUE_OFFSET",
    "DUP_INFO",
];

/// A message as a producer was asked to send it, and what it answered.
struct Sent {
    label: String,
    fields: Vec<(String, String)>,
    answer: Fields,
}

/// The processes, and where they work.
struct Cast<'a> {
    run: &'a Run,
    site: &'a str,
    maker: Maker,
    ns: &'a str,
    members: &'a [Member],
}

impl Cast<'_> {
    /// Names of topics and groups of the case.
    fn name(&self, what: &str) -> String {
        format!("x-{what}")
    }

    fn topic(&self, what: &str, queues: &str) -> Outcome<String> {
        let topic = self.name(what);
        let maker = &self.members[0];
        maker.ask("topic", &[("name", "maker"), ("topic", &topic), ("queues", queues)])?;
        Ok(topic)
    }

    /// A producer in every process.
    fn producers(&self, name: &str, more: &[(&str, &str)]) -> Outcome {
        self.everywhere(|member| {
            let group = format!("P-{name}-{}", member.kind);
            let mut fields = vec![("name", name), ("group", &group), ("ns", self.ns)];
            fields.extend(more);
            member.ask("producer", &fields).map(|_| ())
        })
    }

    /// A consumer in every process, each of a group of its own unless `more` names one.
    fn consumers(&self, name: &str, topic: &str, more: &[(&str, &str)]) -> Outcome {
        self.everywhere(|member| {
            let own = format!("G-{name}-{}", member.kind);
            let group = more.iter().find(|(key, _)| *key == "group").map_or(own.as_str(), |(_, group)| group);
            let mut fields = vec![("name", name), ("ns", self.ns), ("topic", topic)];
            fields.extend(more.iter().filter(|(key, _)| *key != "group"));
            fields.push(("group", group));
            member.ask("consumer", &fields).map(|_| ())
        })
    }

    /// In all processes at the same time; the first failure counts.
    fn everywhere(&self, act: impl Fn(&Member) -> Outcome + Sync) -> Outcome {
        let act = &act;
        std::thread::scope(|threads| {
            let all: Vec<_> = self.members.iter().map(|member| threads.spawn(move || act(member))).collect();
            all.into_iter().try_for_each(|one| one.join().unwrap_or_else(|_| Err("panicked".to_owned())))
        })
    }
}

fn send(member: &Member, verb: &str, label: &str, payload: &[u8], more: &[(&str, &str)]) -> Outcome<Sent> {
    let body = [label.as_bytes(), b"|", payload].concat();
    let body = hex(&body);
    let mut fields = vec![("hex", body.as_str())];
    fields.extend(more);
    let answer = member.ask(verb, &fields)?;
    let fields = fields.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Ok(Sent { label: label.to_owned(), fields, answer })
}

fn label(event: &Event) -> String {
    let body = event.body();
    String::from_utf8_lossy(body.split(|b| *b == b'|').next().unwrap_or_default()).into_owned()
}

/// What arrived is what was sent: body, tag, keys, flag, user properties, and the id and place that the sender was told.
fn compare(sent: &Sent, got: &Event, who: &str) -> Outcome {
    let what = |field: &str| format!("{who}: {field} of {}", sent.label);
    let field = |name: &str| sent.fields.iter().find(|(k, _)| k == name).map_or("", |(_, v)| v.as_str());
    same(&what("body"), &field("hex"), &got.get("hex"))?;
    same(&what("tag"), &field("tag"), &got.get("p.TAGS"))?;
    same(&what("keys"), &field("keys"), &got.get("p.KEYS"))?;
    let flag = if field("flag").is_empty() { "0" } else { field("flag") };
    same(&what("flag"), &flag, &got.get("flag"))?;
    let user = |fields: &mut dyn Iterator<Item = (String, String)>| -> BTreeMap<String, String> {
        fields
            .filter_map(|(k, v)| k.strip_prefix("p.").map(|k| (k.to_owned(), v.clone())))
            .filter(|(k, _)| !RESERVED.contains(&k.as_str()) && k != "TAGS" && k != "KEYS")
            .collect()
    };
    let expected = user(&mut sent.fields.iter().cloned());
    same(&what("properties"), &expected, &user(&mut got.fields.clone().into_iter()))?;
    if let Some(id) = sent.answer.get("id").filter(|id| !id.contains(',')) {
        same(&what("id"), &id.as_str(), &got.get("id"))?;
    }
    let delayed = !field("delay").is_empty();
    if let (Some(queue), Some(offset), false) = (sent.answer.get("queue"), sent.answer.get("offset"), delayed)
    {
        if !sent.answer.get("id").is_some_and(|id| id.contains(',')) && got.get("times") == "0" {
            same(&what("queue"), &queue.as_str(), &got.get("queue"))?;
            same(&what("offset"), &offset.as_str(), &got.get("offset"))?;
        }
    }
    Ok(())
}

/// Every consumer of this name gets exactly these, each once.
fn all_arrive(cast: &Cast<'_>, consumer: &str, sent: &[Sent]) -> Outcome {
    arrive(cast, consumer, sent)?;
    for member in cast.members {
        let labels: Vec<String> = member.told("got", consumer).iter().map(label).collect();
        same(&format!("{} at {}: messages", member.kind, cast.site), &sent.len(), &labels.len())
            .map_err(|why| format!("{why}: {labels:?}"))?;
    }
    Ok(())
}

/// Every consumer of this name gets these and no others, each at least once.
fn arrive(cast: &Cast<'_>, consumer: &str, sent: &[Sent]) -> Outcome {
    let expected: BTreeSet<String> = sent.iter().map(|sent| sent.label.clone()).collect();
    for member in cast.members {
        let who = format!("{} at {}", member.kind, cast.site);
        eventually(&who, || {
            let found: BTreeSet<String> = member.told("got", consumer).iter().map(label).collect();
            same("missing", &BTreeSet::new(), &expected.difference(&found).collect())
        })?;
        let got = member.told("got", consumer);
        let found: BTreeSet<String> = got.iter().map(label).collect();
        same(
            &format!("{who} got what nobody sent"),
            &BTreeSet::new(),
            &found.difference(&expected).collect(),
        )?;
        for sent in sent {
            let one = got.iter().find(|event| label(event) == sent.label).expect("it is there");
            compare(sent, one, &who)?;
        }
    }
    Ok(())
}

/// A case's name and body.
type Case = (&'static str, fn(&Cast<'_>) -> Outcome);

const CASES: &[Case] = &[
    ("messages", messages),
    ("compressed", compressed),
    ("batch", batch),
    ("order", order),
    ("delay", delay),
    ("retry", retry),
    ("broadcast", broadcast),
    ("tags", tags),
    ("namespace", namespace),
    ("trace", special::trace),
    ("sql", special::sql),
    ("transaction", special::transaction),
    ("request", special::request),
    ("sums", rows::sums),
    ("key", rows::key),
    ("fields", rows::fields),
    ("limits", rows::limits),
];

/// All cases on one cluster, at the same time.
pub fn run(run: &Run, site: &str, maker: Maker, ns: &str) {
    let named: Vec<(String, Case)> = CASES
        .iter()
        .map(|case| (format!("{site}/crossed/{}", case.0), *case))
        .filter(|(name, _)| run.report.wants(name))
        .collect();
    if named.is_empty() {
        return;
    }
    run.report.note(&format!("{site}: crossed clients"));
    let members = match run.members(&format!("-{site}")) {
        Ok(members) => members,
        Err(why) => {
            run.report.outcome(&format!("{site}/crossed/start"), Err(why));
            return;
        }
    };
    let cast = Cast { run, site, maker, ns, members: &members };
    let made = eventually("a producer that makes topics", || {
        members[0].ask("producer", &[("name", "maker"), ("group", "P-maker"), ("ns", ns)]).map(|_| ())
    });
    if let Err(why) = made.and_then(|()| cast.producers("plain", &[])) {
        run.report.outcome(&format!("{site}/crossed/start"), Err(why));
        return;
    }
    std::thread::scope(|threads| {
        for (name, (_, body)) in &named {
            let cast = &cast;
            threads.spawn(move || cast.run.report.case(name, || body(cast)));
        }
    });
}

fn messages(cast: &Cast<'_>) -> Outcome {
    let topic = cast.topic("messages", "8")?;
    cast.consumers("messages", &topic, &[])?;
    let mut sent = Vec::new();
    for member in cast.members {
        let kind = member.kind;
        let to = [("name", "plain"), ("topic", topic.as_str())];
        let mut one = |what: &str, payload: &[u8], more: &[(&str, &str)]| -> Outcome {
            let label = format!("{kind}/{what}");
            sent.push(send(member, "send", &label, payload, &[&to, more].concat())?);
            Ok(())
        };
        one("bare", b"x", &[])?;
        let all = [
            ("tag", "TagÄ"),
            ("keys", "key-1 key-2"),
            ("flag", "7"),
            ("p.colour", "größe = \"5\""),
            ("p.n", "10"),
        ];
        one("all fields", "grüße 你好".as_bytes(), &all)?;
        let bytes: Vec<u8> = (0..=255).collect();
        one("bytes", &bytes, &[("keys", "binary")])?;
        one("async", b"later", &[("mode", "async"), ("tag", "A")])?;
        one("oneway", b"no answer", &[("mode", "oneway")])?;
        for queue in ["0", "7"] {
            one(&format!("queue-{queue}"), b"there", &[("queue", queue)])?;
        }
        one("big", &vec![b'b'; 200_000], &[])?;
    }
    all_arrive(cast, "messages", &sent)
}

/// A body that shrinks: words in an order that a simple generator gives.
fn prose(seed: usize) -> Vec<u8> {
    let words = ["broker ", "queue ", "offset ", "message ", "tag ", "größe "];
    (0..2000).flat_map(|i| words[(i * i + seed) % 6].bytes()).collect()
}

fn compressed(cast: &Cast<'_>) -> Outcome {
    let topic = cast.topic("compressed", "4")?;
    cast.consumers("compressed", &topic, &[])?;
    let mut sent = Vec::new();
    for kind in ["ZLIB", "LZ4", "ZSTD"] {
        let name = format!("pack-{kind}");
        cast.producers(&name, &[("compress", kind), ("over", "4096")])?;
        for (seed, member) in cast.members.iter().enumerate() {
            let label = format!("{}/{kind}", member.kind);
            let to = [("name", name.as_str()), ("topic", &topic), ("keys", &label)];
            sent.push(send(member, "send", &label, &prose(seed), &to)?);
        }
    }
    all_arrive(cast, "compressed", &sent)
}

fn batch(cast: &Cast<'_>) -> Outcome {
    let topic = cast.topic("batch", "4")?;
    cast.consumers("batch", &topic, &[])?;
    let (mut sent, mut places) = (Vec::new(), Vec::new());
    for member in cast.members {
        let labels: Vec<String> = (0..10).map(|i| format!("{}/{i}", member.kind)).collect();
        let bodies: Vec<String> = labels.iter().map(|l| hex(format!("{l}|item").as_bytes())).collect();
        let fields = [
            ("name", "plain"),
            ("topic", &topic),
            ("tag", "B"),
            ("p.of", "a batch"),
            ("hex", &bodies.join(",")),
        ];
        let answer = member.ask("batch", &fields)?;
        let ids: Vec<&str> = answer.get("id").map_or(Vec::new(), |ids| ids.split(',').collect());
        same("ids of a batch", &10, &ids.len())?;
        places.push((labels.clone(), answer.clone()));
        for ((label, body), id) in labels.iter().zip(&bodies).zip(&ids) {
            let fields = [("hex", body.as_str()), ("tag", "B"), ("p.of", "a batch")];
            let fields = fields.map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec();
            // Apache's broker gives the messages of a batch the batch's own id if it has one, as those of Java have.
            let own_id = cast.maker == Maker::Ours || member.kind == Kind::Ours;
            let answer = Some(id)
                .filter(|_| own_id)
                .map(|id| ("id".to_owned(), (*id).to_owned()))
                .into_iter()
                .collect();
            sent.push(Sent { label: label.clone(), fields, answer });
        }
    }
    all_arrive(cast, "batch", &sent)?;
    for member in cast.members {
        let got = member.told("got", "batch");
        for (labels, answer) in &places {
            let first: i64 = answer["offset"].parse().map_err(|e| format!("offset: {e}"))?;
            for (i, wanted) in labels.iter().enumerate() {
                let event = got.iter().find(|event| label(event) == *wanted).expect("it arrived");
                same("queue of a batch", &answer["queue"].as_str(), &event.get("queue"))?;
                same("offset in a batch", &(first + i as i64).to_string().as_str(), &event.get("offset"))?;
            }
        }
    }
    Ok(())
}

/// Equal sharding keys go to equal queues, whoever sends, and each queue's messages come in their order.
fn order(cast: &Cast<'_>) -> Outcome {
    let topic = cast.topic("order", "8")?;
    cast.consumers("order", &topic, &[("orderly", "1")])?;
    let mut sent = Vec::new();
    for step in 0..8 {
        for member in cast.members {
            for key in ["order-1", "order-22", "größe"] {
                let label = format!("{}/{key}/{step}", member.kind);
                let to = [("name", "plain"), ("topic", topic.as_str()), ("sharding", key)];
                sent.push(send(member, "send", &label, b"", &to)?);
            }
        }
    }
    all_arrive(cast, "order", &sent)?;
    for key in ["order-1", "order-22", "größe"] {
        let of_key = |label: &str| label.split('/').nth(1) == Some(key);
        let queues: BTreeSet<&str> =
            sent.iter().filter(|s| of_key(&s.label)).map(|s| s.answer["queue"].as_str()).collect();
        same(&format!("queues of {key}"), &1, &queues.len())?;
        let expected: Vec<&String> = sent.iter().map(|s| &s.label).filter(|l| of_key(l)).collect();
        for member in cast.members {
            let got: Vec<String> =
                member.told("got", "order").iter().map(label).filter(|label| of_key(label)).collect();
            same(&format!("order of {key} at {}", member.kind), &expected, &got.iter().collect())?;
        }
    }
    Ok(())
}

fn delay(cast: &Cast<'_>) -> Outcome {
    let topic = cast.topic("delay", "4")?;
    cast.consumers("delay", &topic, &[])?;
    let start = Instant::now();
    let mut sent = Vec::new();
    for member in cast.members {
        for level in ["1", "2"] {
            let label = format!("{}/{level}", member.kind);
            let to = [
                ("name", "plain"),
                ("topic", topic.as_str()),
                ("delay", level),
                ("tag", "late"),
                ("p.a", "b"),
            ];
            sent.push(send(member, "send", &label, b"", &to)?);
        }
    }
    all_arrive(cast, "delay", &sent)?;
    if start.elapsed() < Duration::from_secs(2) {
        return Err(format!("level 2 took only {:?}", start.elapsed()));
    }
    Ok(())
}

/// The first delivery fails everywhere: every message comes twice, the second time as a retry with the same id.
fn retry(cast: &Cast<'_>) -> Outcome {
    let topic = cast.topic("retry", "4")?;
    cast.consumers("retry", &topic, &[("fail", "1")])?;
    let mut sent = Vec::new();
    for member in cast.members {
        for i in 0..3 {
            let label = format!("{}/{i}", member.kind);
            let to = [("name", "plain"), ("topic", topic.as_str()), ("keys", &label), ("p.a", "b")];
            sent.push(send(member, "send", &label, b"again", &to)?);
        }
    }
    for member in cast.members {
        let got = member.await_told("got", "retry", 2 * sent.len(), PATIENCE)?;
        same("deliveries", &(2 * sent.len()), &got.len())?;
        for sent in &sent {
            for times in ["0", "1"] {
                let of = |event: &&Event| label(event) == sent.label && event.get("times") == times;
                let event = got.iter().find(of).ok_or_else(|| {
                    format!("{}: {} did not come with times {times}", member.kind, sent.label)
                })?;
                compare(sent, event, &format!("{} at {}", member.kind, cast.site))?;
                same("topic of a retry", &topic.as_str(), &event.get("topic"))?;
            }
        }
    }
    Ok(())
}

/// One group, everybody gets everything.
fn broadcast(cast: &Cast<'_>) -> Outcome {
    let topic = cast.topic("broadcast", "4")?;
    cast.consumers("broadcast", &topic, &[("group", "G-x-broadcast"), ("model", "BROADCASTING")])?;
    let mut sent = Vec::new();
    for member in cast.members {
        for i in 0..4 {
            let label = format!("{}/{i}", member.kind);
            sent.push(send(member, "send", &label, b"", &[("name", "plain"), ("topic", &topic)])?);
        }
    }
    all_arrive(cast, "broadcast", &sent)
}

fn tags(cast: &Cast<'_>) -> Outcome {
    let topic = cast.topic("tags", "4")?;
    // AaAa and BBBB have the same hash code.
    cast.consumers("tags", &topic, &[("expr", "AaAa || ünï")])?;
    let mut wanted = Vec::new();
    for member in cast.members {
        for tag in ["AaAa", "BBBB", "ünï", "other", ""] {
            let label = format!("{}/{tag}", member.kind);
            let mut to = vec![("name", "plain"), ("topic", topic.as_str())];
            to.extend((!tag.is_empty()).then_some(("tag", tag)));
            let sent = send(member, "send", &label, b"", &to)?;
            wanted.extend(["AaAa", "ünï"].contains(&tag).then_some(sent));
        }
    }
    all_arrive(cast, "tags", &wanted)
}

/// Topics and groups in a namespace: all clients of it see their short names.
fn namespace(cast: &Cast<'_>) -> Outcome {
    cast.topic("namespace", "4")?;
    let topic = "x-in-namespace";
    cast.members[0]
        .ask("topic", &[("name", "maker"), ("topic", &format!("NS1%{topic}")), ("queues", "4")])?;
    cast.producers("spaced", &[("namespace", "NS1")])?;
    cast.consumers("namespace", topic, &[("namespace", "NS1")])?;
    let mut sent = Vec::new();
    for member in cast.members {
        let label = format!("{}/here", member.kind);
        sent.push(send(member, "send", &label, b"", &[("name", "spaced"), ("topic", topic), ("tag", "A")])?);
    }
    all_arrive(cast, "namespace", &sent)?;
    for member in cast.members {
        let topics: BTreeSet<String> =
            member.told("got", "namespace").iter().map(|event| event.get("topic").to_owned()).collect();
        same(&format!("topics at {}", member.kind), &[topic.to_owned()].into(), &topics)?;
    }
    Ok(())
}
