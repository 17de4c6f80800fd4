//! Apache's master and slave: reads go on at the slave while the master is gone, and come back; writes go to masters only;
//! what a master that waits for its slave answers.

use crate::{eventually, every, same, seldom, Run, PATIENCE};
use ferromq_interop::java::Line;
use ferromq_interop::member::{hex, Kind, Member};
use ferromq_interop::process::{free_port, Process};
use ferromq_interop::server::{set, settings, start_broker, start_namesrv, Maker};
use ferromq_interop::Outcome;
use std::path::PathBuf;
use std::time::Duration;

/// A master and a slave of one name, and their name server.
struct Pair<'a> {
    run: &'a Run,
    line: Line,
    name: &'static str,
    ns: String,
    _namesrv: Process,
    ports: [u16; 2],
    stores: [PathBuf; 2],
    role: &'static str,
    brokers: [Option<Process>; 2],
}

/// Pause between looks for something that takes long.
const SYNC: Duration = Duration::from_millis(200);
const MASTER: usize = 0;
const SLAVE: usize = 1;

impl<'a> Pair<'a> {
    fn new(run: &'a Run, line: Line, name: &'static str, role: &'static str) -> Outcome<Pair<'a>> {
        let port = free_port()?;
        let namesrv = start_namesrv(&run.place, Maker::Apache(Line::V53), name, port)?;
        let store = |which: &str| run.place.subdir(&format!("data-{name}-{which}"));
        Ok(Pair {
            run,
            line,
            name,
            ns: format!("127.0.0.1:{port}"),
            _namesrv: namesrv,
            ports: [free_port()?, free_port()?],
            stores: [store("master")?, store("slave")?],
            role,
            brokers: [None, None],
        })
    }

    fn start(&mut self, which: usize) -> Outcome {
        let mut all = settings("1s");
        let role = if which == MASTER { self.role } else { "SLAVE" };
        let id = which.to_string();
        for (key, value) in [
            ("brokerName", self.name),
            ("brokerRole", role),
            ("brokerId", &id),
            ("slaveTimeout", "700"),
            ("syncFlushTimeout", "700"),
            ("slaveReadEnable", "true"),
            // A slave learns where its master is when it registers.
            ("registerNameServerPeriod", "10000"),
        ] {
            set(&mut all, key, value);
        }
        let name = format!("{}-{}", self.name, ["master", "slave"][which]);
        let (port, store) = (self.ports[which], &self.stores[which]);
        let maker = Maker::Apache(self.line);
        self.brokers[which] = Some(start_broker(&self.run.place, maker, &name, port, &self.ns, store, &all)?);
        Ok(())
    }

    fn kill(&mut self, which: usize) {
        self.brokers[which].take().expect("it runs").kill();
    }

    fn address(&self, which: usize) -> String {
        format!("127.0.0.1:{}", self.ports[which])
    }
}

pub fn run(run: &Run) {
    if run.report.wants("slave/reads") {
        run.report.case("slave/reads", || reads(run));
    }
    if run.report.wants("slave/statuses") {
        run.report.case("slave/statuses", || statuses(run));
    }
}

fn maker(run: &Run, pair: &Pair<'_>, topic: &str, timeout_ms: u32) -> Outcome<(Member, Member)> {
    let admin = run.member(Kind::Java(Line::V53), &format!("-{}-admin", pair.name))?;
    let ours = run.member(*run.kinds.last().expect("there are kinds"), &format!("-{}", pair.name))?;
    eventually("a producer that makes topics", || {
        admin.ask("producer", &[("name", "maker"), ("group", "P-maker"), ("ns", &pair.ns)]).map(|_| ())
    })?;
    eventually("a topic", || {
        admin.ask("topic", &[("name", "maker"), ("topic", topic), ("queues", "2")]).map(|_| ())
    })?;
    let timeout = timeout_ms.to_string();
    ours.ask(
        "producer",
        &[("name", "sends"), ("group", "P-slave"), ("ns", &pair.ns), ("timeout", &timeout)],
    )?;
    Ok((admin, ours))
}

fn send(member: &Member, topic: &str, numbers: std::ops::Range<usize>) -> Outcome<Vec<String>> {
    let one = |number: usize| {
        let body = hex(number.to_string().as_bytes());
        let sent = member.ask("send", &[("name", "sends"), ("topic", topic), ("hex", &body)])?;
        Ok(sent.get("status").cloned().unwrap_or_default())
    };
    numbers.map(one).collect()
}

fn got(member: &Member, name: &str, numbers: std::ops::Range<usize>) -> Outcome {
    let expected: std::collections::BTreeSet<Vec<u8>> = numbers.map(|n| n.to_string().into_bytes()).collect();
    // Apache's clients come back from the slave only when it has answered, which takes it up to 25 s.
    every(SYNC, PATIENCE, &format!("{name} got all"), || {
        same("messages", &expected, &member.told("got", name).iter().map(|event| event.body()).collect())
    })
}

/// The slave has as much of the log as the master.
fn synced(admin: &Member, pair: &Pair<'_>) -> Outcome {
    let end = |which: usize| -> Outcome<String> {
        let args = format!("brokerStatus -b {} -n {}", pair.address(which), pair.ns);
        let text = admin.ask("mqadmin", &[("args", &args)])?.remove("text").unwrap_or_default();
        let line = text.lines().find(|line| line.contains("commitLogMaxOffset")).unwrap_or_default();
        Ok(line.split_whitespace().last().unwrap_or_default().to_owned())
    };
    seldom("the slave has everything", || same("ends of the logs", &end(MASTER)?, &end(SLAVE)?))
}

fn reads(run: &Run) -> Outcome {
    let mut pair = Pair::new(run, Line::V53, "slave-reads", "ASYNC_MASTER")?;
    pair.start(MASTER)?;
    let topic = "slave";
    let (admin, ours) = maker(run, &pair, topic, 20_000)?;
    // Now: it asks for topics soon after its start, and then rarely.
    pair.start(SLAVE)?;
    let consumer = |name: &str| {
        let group = format!("G-{name}");
        ours.ask("consumer", &[("name", name), ("group", &group), ("ns", &pair.ns), ("topic", topic)])
    };
    let ns = pair.ns.clone();
    let client = consumer("before")?.get("client").cloned().unwrap_or_default();
    send(&ours, topic, 0..20)?;
    got(&ours, "before", 0..20)?;
    // A member of its group at both.
    for which in [MASTER, SLAVE] {
        let args = format!("consumerConnection -g G-before -b {} -n {ns}", pair.address(which));
        seldom("a heartbeat", || {
            let text = admin.ask("mqadmin", &[("args", &args)])?.remove("text").unwrap_or_default();
            same(&format!("{client} at {which}: {text}"), &true, &text.contains(&client))
        })?;
    }
    synced(&admin, &pair)?;
    // Which it learns after it has learnt where its master is, from the name server's answer to one of its registrations.
    every(SYNC, 3 * PATIENCE, "the slave knows the topic", || {
        let file = pair.stores[SLAVE].join("config").join("topics.json");
        same(
            "topic at the slave",
            &true,
            &std::fs::read_to_string(file).unwrap_or_default().contains("\"slave\""),
        )
    })?;
    pair.kill(MASTER);
    // A group that comes now reads what the slave has.
    let fields = [("name", "during"), ("group", "G-during"), ("ns", &ns), ("topic", topic)];
    ours.ask("consumer", &fields)?;
    got(&ours, "during", 0..20)?;
    // Nobody can be sent to, least of all the slave.
    let body = hex(b"lost");
    if let Ok(sent) = ours.ask("send", &[("name", "sends"), ("topic", topic), ("hex", &body)]) {
        return Err(format!("a send without master went somewhere: {sent:?}"));
    }
    pair.start(MASTER)?;
    eventually("sends again", || send(&ours, topic, 20..21).map(|_| ()))?;
    send(&ours, topic, 21..30)?;
    for name in ["before", "during"] {
        // What was not committed when the master died may come twice, but nothing is missing.
        got(&ours, name, 0..30)?;
    }
    // Back at the master: the slave is not needed any more.
    pair.kill(SLAVE);
    send(&ours, topic, 30..40)?;
    got(&ours, "before", 0..40)?;
    got(&ours, "during", 0..40)
}

/// A master that waits for its slave: without one, with one, with one that does not answer.
fn statuses(run: &Run) -> Outcome {
    let mut pair = Pair::new(run, Line::V49, "slave-statuses", "SYNC_MASTER")?;
    pair.start(MASTER)?;
    let topic = "statuses";
    let (_admin, ours) = maker(run, &pair, topic, 4_000)?;
    same("without slave", &vec!["SLAVE_NOT_AVAILABLE".to_owned()], &send(&ours, topic, 0..1)?)?;
    pair.start(SLAVE)?;
    eventually("with slave", || same("status", &vec!["SEND_OK".to_owned()], &send(&ours, topic, 0..1)?))?;
    pair.brokers[SLAVE].as_ref().expect("it runs").freeze(true);
    let frozen = send(&ours, topic, 0..1);
    pair.brokers[SLAVE].as_ref().expect("it runs").freeze(false);
    same("with a slave that does not answer", &vec!["FLUSH_SLAVE_TIMEOUT".to_owned()], &frozen?)?;
    // Stored all the same.
    ours.ask("consumer", &[("name", "all"), ("group", "G-all"), ("ns", &pair.ns), ("topic", topic)])?;
    ours.await_told("got", "all", 3, PATIENCE).map(|_| ())
}
