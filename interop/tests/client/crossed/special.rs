//! What brokers do more than store and hand out: traces, SQL92, transactions, requests and their replies.

use super::*;

/// Producers and consumers with tracing: everybody's traces have the same parts, and mqadmin reads them.
pub fn trace(cast: &Cast<'_>) -> Outcome {
    let topic = cast.topic("trace", "4")?;
    let traces = "RMQ_SYS_TRACE_TOPIC";
    cast.members[0].ask(
        "consumer",
        &[("name", "traces"), ("ns", cast.ns), ("topic", traces), ("group", "G-x-traces")],
    )?;
    cast.producers("traced", &[("trace", "1")])?;
    cast.consumers("trace", &topic, &[("trace", "1")])?;
    let mut sent = Vec::new();
    for member in cast.members {
        let label = format!("{}/traced", member.kind);
        let to = [("name", "traced"), ("topic", topic.as_str()), ("tag", "A"), ("keys", "k-traced")];
        sent.push(send(member, "send", &label, b"", &to)?);
    }
    all_arrive(cast, "trace", &sent)?;
    eventually("traces of all", || {
        let lines: Vec<String> = cast.members[0]
            .told("got", "traces")
            .iter()
            .flat_map(|event| {
                let text = String::from_utf8_lossy(&event.body()).into_owned();
                text.split('\u{2}').map(str::to_owned).collect::<Vec<_>>()
            })
            .collect();
        for sent in &sent {
            let of = |kind: &str| {
                let of = |line: &&String| line.starts_with(kind) && line.contains(&sent.answer["id"]);
                lines.iter().filter(of).collect::<Vec<_>>()
            };
            let (publishes, befores, afters) = (of("Pub\u{1}"), of("SubBefore\u{1}"), of("SubAfter\u{1}"));
            let counts = (publishes.len(), befores.len(), afters.len());
            same(
                &format!("traces of {}", sent.label),
                &(1, cast.members.len(), cast.members.len()),
                &counts,
            )?;
            same("parts of Pub", &14, &publishes[0].split('\u{1}').count())?;
        }
        Ok(())
    })?;
    for sent in &sent {
        let args = format!("queryMsgTraceById -i {} -t {traces} -n {}", sent.answer["id"], cast.ns);
        seldom("mqadmin reads the traces", || {
            let text = cast.members[0].ask("mqadmin", &[("args", &args)])?.remove("text").unwrap_or_default();
            match text.contains("Pub") && text.contains("Sub") && text.contains("success") {
                true => Ok(()),
                false => Err(format!("queryMsgTraceById of {} prints {text}", sent.label)),
            }
        })?;
    }
    Ok(())
}

pub fn sql(cast: &Cast<'_>) -> Outcome {
    let topic = cast.topic("sql", "4")?;
    let expression = "a BETWEEN 1 AND 3 AND colour = 'blue' AND missing IS NULL";
    cast.consumers("sql", &topic, &[("sql", expression)])?;
    let mut wanted = Vec::new();
    for member in cast.members {
        for (a, colour) in [("1", "blue"), ("3", "blue"), ("4", "blue"), ("2", "red")] {
            let label = format!("{}/{a}-{colour}", member.kind);
            let to = [("name", "plain"), ("topic", topic.as_str()), ("p.a", a), ("p.colour", colour)];
            let sent = send(member, "send", &label, b"", &to)?;
            wanted.extend((a != "4" && colour == "blue").then_some(sent));
        }
    }
    all_arrive(cast, "sql", &wanted)
}

pub fn transaction(cast: &Cast<'_>) -> Outcome {
    let topic = cast.topic("transaction", "4")?;
    let decisions =
        [("commit", "unknown"), ("rollback", "unknown"), ("unknown", "commit"), ("unknown", "rollback")];
    for (i, (now, later)) in decisions.iter().enumerate() {
        cast.producers(&format!("tx-{i}"), &[("transaction", now), ("check", later)])?;
    }
    cast.consumers("transaction", &topic, &[])?;
    let mut wanted = Vec::new();
    for member in cast.members {
        for (i, (now, later)) in decisions.iter().enumerate() {
            let label = format!("{}/{now}-{later}", member.kind);
            let name = format!("tx-{i}");
            let to =
                [("name", name.as_str()), ("topic", &topic), ("tag", "T"), ("keys", &label), ("p.a", "b")];
            let mut sent = send(member, "transact", &label, b"", &to)?;
            // The place is that of the half message.
            sent.answer.remove("queue");
            wanted.extend((*now == "commit" || *later == "commit").then_some(sent));
        }
    }
    // Whoever answers a check late answers it twice, and the message comes twice.
    arrive(cast, "transaction", &wanted)?;
    for member in cast.members {
        for i in [2, 3] {
            let checks = member.await_told("check", &format!("tx-{i}"), 1, PATIENCE)?;
            let asked: BTreeSet<String> = checks.iter().map(label).collect();
            let now = decisions[i];
            same("checked", &[format!("{}/{}-{}", member.kind, now.0, now.1)].into(), &asked)?;
        }
    }
    Ok(())
}

/// Everybody asks everybody.
pub fn request(cast: &Cast<'_>) -> Outcome {
    for answering in cast.members {
        let topic = cast.topic(&format!("request-{}", answering.kind), "2")?;
        let group = format!("G-{topic}");
        let answer = format!("{} says ", answering.kind);
        let fields = [
            ("name", topic.as_str()),
            ("ns", cast.ns),
            ("topic", &topic),
            ("group", &group),
            ("answer", &answer),
        ];
        answering.ask("consumer", &fields)?;
        // Apache's client 5.3.3 gives up with a time-out as soon as its request is stored, long before the time is over.
        for asking in cast.members.iter().filter(|member| member.kind != Kind::Java(Line::V53)) {
            let question = format!("hello from {}", asking.kind);
            let body = hex(question.as_bytes());
            let to = [("name", "plain"), ("topic", topic.as_str()), ("hex", &body), ("timeout", "20000")];
            let reply = asking.ask("request", &to)?;
            same(
                &format!("answer to {}", asking.kind),
                &hex(format!("{answer}{question}").as_bytes()),
                &reply["hex"],
            )?;
        }
        answering.ask("stop", &[("name", &topic)])?;
    }
    Ok(())
}
