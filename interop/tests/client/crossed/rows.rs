//! Single requirements that need Apache's tools or clients beside ours.

use super::*;

/// The member of Java 5.3.3, which has mqadmin too.
fn mqadmin(cast: &Cast<'_>, args: &str) -> Outcome<String> {
    let args = format!("{args} -n {}", cast.ns);
    Ok(cast.members[0].ask("mqadmin", &[("args", &args)])?.remove("text").unwrap_or_default())
}

/// The sum of the ends of a topic's queues, as mqadmin prints them.
fn total(cast: &Cast<'_>, topic: &str) -> Outcome<usize> {
    let text = mqadmin(cast, &format!("topicStatus -t {topic}"))?;
    let mut sum = 0;
    for line in text.lines() {
        // Broker, queue, its first offset, its end, the time of the last message.
        let columns: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| columns.get(at).and_then(|text| text.parse::<usize>().ok());
        if let (Some(_), Some(_), Some(end)) = (number(1), number(2), number(3)) {
            sum += end;
        }
    }
    Ok(sum)
}

/// Requirement producer-08: a producer sends to three topics, several producers send to one.
pub fn sums(cast: &Cast<'_>) -> Outcome {
    let mut topics = Vec::new();
    for what in ["sums-1", "sums-2", "sums-3"] {
        topics.push(cast.topic(what, "3")?);
    }
    let (all, one) = (cast.members, cast.members.last().expect("there are members"));
    let send_to = |member: &Member, topic: &str, count: usize| -> Outcome {
        (0..count).try_for_each(|i| {
            let to = [("name", "plain"), ("topic", topic)];
            send(member, "send", &format!("{}/{i}", member.kind), b"", &to).map(|_| ())
        })
    };
    for (topic, count) in topics.iter().zip([4, 5, 6]) {
        send_to(one, topic, count)?;
    }
    for member in all {
        send_to(member, &topics[2], 7)?;
    }
    for (topic, count) in topics.iter().zip([4, 5, 6 + 7 * all.len()]) {
        seldom("all counted", || same(topic, &count, &total(cast, topic)?))?;
    }
    Ok(())
}

/// Requirement producer-19: a message is found by its business key, and its consumer reads the key.
pub fn key(cast: &Cast<'_>) -> Outcome {
    let topic = cast.topic("key", "2")?;
    cast.consumers("key", &topic, &[])?;
    let mut sent = Vec::new();
    for member in cast.members {
        let to = [("name", "plain"), ("topic", topic.as_str()), ("keys", "ORDERID_100")];
        sent.push(send(member, "send", &format!("{}/order", member.kind), b"", &to)?);
        let to = [("name", "plain"), ("topic", topic.as_str()), ("keys", "ORDERID_101")];
        sent.push(send(member, "send", &format!("{}/other", member.kind), b"", &to)?);
    }
    all_arrive(cast, "key", &sent)?;
    seldom("found by the key", || {
        let text = mqadmin(cast, &format!("queryMsgByKey -t {topic} -k ORDERID_100"))?;
        for sent in &sent {
            let wanted = sent.label.ends_with("/order");
            let found = text.contains(&sent.answer["id"]);
            same(&format!("{} is in {text}", sent.label), &wanted, &found)?;
        }
        Ok(())
    })
}

/// Requirement consumer-52: what a consumer can read of one message, with ours as with Apache's.
pub fn fields(cast: &Cast<'_>) -> Outcome {
    let topic = cast.topic("fields", "2")?;
    cast.consumers("fields", &topic, &[])?;
    let mut sent = Vec::new();
    for member in cast.members {
        let more = [
            ("name", "plain"),
            ("topic", topic.as_str()),
            ("tag", "T"),
            ("keys", "k1 k2"),
            ("flag", "9"),
            ("p.colour", "blue"),
            ("p.größe", "\u{fc}5"),
        ];
        sent.push(send(member, "send", &format!("{}/all", member.kind), b"body", &more)?);
        let more = [("name", "plain"), ("topic", topic.as_str())];
        sent.push(send(member, "send", &format!("{}/none", member.kind), b"", &more)?);
    }
    all_arrive(cast, "fields", &sent)?;
    // What clients put there of their own pulls is theirs.
    let shown = |event: &Event| {
        let mut fields = event.fields.clone();
        fields.retain(|key, _| {
            !["p.MIN_OFFSET", "p.MAX_OFFSET", "p.CONSUME_START_TIME"].contains(&key.as_str())
        });
        fields
    };
    for sent in &sent {
        let all: Vec<(Kind, Fields)> = cast
            .members
            .iter()
            .filter_map(|member| {
                let got = member.told("got", "fields");
                Some((member.kind, shown(got.iter().find(|event| label(event) == sent.label)?)))
            })
            .collect();
        let (_, java) = all.iter().find(|(kind, _)| *kind == Kind::Java(Line::V53)).expect("it got all");
        for field in ["log", "offsetid", "sysflag", "born", "bornhost", "stored", "times", "id"] {
            same("a field that Java shows", &true, &java.contains_key(field))?;
        }
        for (kind, fields) in &all {
            same(&format!("{} as {kind} shows it", sent.label), java, fields)?;
        }
    }
    Ok(())
}

/// Requirement consumer-41: the members of a group have different limits of retries. Each send-back carries its own member's,
/// so it depends on who has the queue of retries; the group's own, which is in force for members without one, stays.
pub fn limits(cast: &Cast<'_>) -> Outcome {
    let topic = cast.topic("limits", "1")?;
    let group = "G-limits";
    let member = cast.members.last().expect("there are members");
    let start = |name: &str, retries: &str| {
        // Ids of clients in this order: the first has the only queue of retries, as it has the topic's.
        let fields = [
            ("name", name),
            ("ns", cast.ns),
            ("topic", &topic),
            ("group", group),
            ("fail", "1000"),
            ("retries", retries),
        ];
        member.ask("consumer", &fields).map(|_| ())
    };
    start("limits-a5", "5")?;
    start("limits-b20", "20")?;
    eventually("the first has the queues", || {
        let has = |name: &str| -> Outcome<bool> {
            let fields = [("name", name), ("topic", topic.as_str())];
            Ok(!member.ask("assigned", &fields)?["queues"].is_empty())
        };
        same("who has the queue", &(true, false), &(has("limits-a5")?, has("limits-b20")?))
    })?;
    let dead = |count: usize| -> Outcome {
        // One delivery and all retries, a second apart.
        every(Duration::from_millis(800), 2 * PATIENCE, "dead letters", || {
            same("dead letters", &count, &total(cast, &format!("%DLQ%{group}"))?)
        })
    };
    let times = |name: &str, label: &str| {
        let got = member.told("got", name);
        got.iter().filter(|event| super::label(event) == label).count()
    };
    let to = [("name", "plain"), ("topic", topic.as_str())];
    send(member, "send", "with 5", b"", &to)?;
    dead(1)?;
    same("deliveries with 5", &(6, 0), &(times("limits-a5", "with 5"), times("limits-b20", "with 5")))?;
    // The member with 20 has the queues now, and its limit is in force.
    member.ask("stop", &[("name", "limits-a5")])?;
    send(member, "send", "with 20", b"", &to)?;
    dead(2)?;
    same("deliveries with 20", &21, &times("limits-b20", "with 20"))?;
    let text = mqadmin(cast, &format!("getConsumerConfig -g {group}"))?;
    let line = text.lines().find(|line| line.contains("retryMaxTimes")).unwrap_or_default();
    same(&format!("the group's limit in {text}"), &Some("16"), &line.split_whitespace().last())
}
