//! Cases that need nothing but a server: each client line with each header encoding.

use crate::Run;
use ferromq_interop::java::{Driver, Headers, Line};
use ferromq_interop::Outcome;
use std::time::Duration;

/// The case with which a driver makes sure that the broker is registered.
pub const AWAIT: &str = "await";

/// Cases with topics and groups of their own; all run at the same time.
const INDEPENDENT: &[&str] = &[
    "retry.success",
    "retry.levels",
    "retry.dlq",
    "retry.dlq.now",
    "retry.dlq.orderly",
    "retry.sendback",
    "delay.levels",
    "push.share.leave",
    "push.orderly.share",
    "push.concurrent",
    "push.orderly",
    "push.orderly.suspend",
    "push.tags",
    "push.broadcast",
    "push.restart",
    "push.first",
    "crowd",
    "pull.offsets",
    "pull.statuses",
    "pull.block",
    "lite.subscribe",
    "lite.assign",
    "lite.tags",
    "query.offset.id",
    "query.unique.id",
    "query.key",
    "topic.create",
    "send.sync",
    "send.async",
    "send.oneway",
    "send.batch",
    "send.queue",
    "send.unicode",
    "send.big",
    "send.zlib",
    "send.lz4",
    "send.zstd",
    "send.vip",
    "send.oversize",
    "transaction.decided",
    "transaction.checked",
    "sql.push",
    "sql.pull",
    "sql.refused",
    "request",
    "trace",
];

/// Apache's mqadmin; one after the other, as some change what all clients see.
const TOOLS: &[&str] = &[
    "topicList",
    "clusterList",
    "topicRoute",
    "updateTopic",
    "deleteTopic",
    "topicStatus",
    "kvConfig",
    "writePerm",
    "getBrokerConfig",
    "updateBrokerConfig",
    "brokerStatus",
    "namesrvConfig",
    "updateSubGroup",
];

/// More of mqadmin, with one header encoding.
const ADMIN: &[&str] = &[
    "updateTopicList",
    "updateTopicPerm",
    "topicClusterList",
    "topicList-c",
    "updateOrderConf",
    "clusterList-m",
    "noSuchTopic",
    "cleanExpiredCQ",
    "deleteExpiredCommitLog",
    "cleanUnusedTopic",
    "allocateMQ",
    "exportMetadata",
    "exportConfigs",
    "exportMetrics",
    "noController",
    "noContainer",
    "notSupported",
    "getConsumerStatus",
    "resetOffsetByTimeOld",
    "updateTopicPerm-dlq",
    "getConsumerConfig",
    "updateSubGroupList",
    "deleteSubGroup",
    "producerConnection",
    "producer",
    "consumerConnection",
    "consumerProgress",
    "consumerStatus",
    "brokerConsumeStats",
    "cloneGroupOffset",
    "cloneGroupOffset-nobody",
    "resetOffsetByTime",
    "resetOffsetByTime-live",
    "resetOffsetByTime-queue",
    "skipAccumulatedMessage",
    "statsAll",
    "noSuchGroup",
    "queryMsgById",
    "queryMsgById-resend",
    "queryMsgById-consume",
    "queryMsgByKey",
    "queryMsgByUniqueKey",
    "queryMsgByOffset",
    "queryMsgTraceById",
    "printMsg",
    "printMsgByQueue",
    "sendMsgStatus",
    "checkMsgSendRT",
    "clusterRT",
    "sendMessage",
    "consumeMessage",
    "queryCq",
    "brokerStatus-counts",
];

/// Begins all of `cases` that were asked for, then reports each as it ends.
pub fn all_at_once(run: &Run, driver: &Driver, prefix: &str, cases: &[&str], ns: &str) {
    let begun: Vec<(String, u64)> = cases
        .iter()
        .map(|case| (format!("{prefix}{}/{case}", driver.name), case))
        .filter(|(name, _)| run.report.wants(name))
        .map(|(name, case)| (name, driver.begin(case, ns, &[])))
        .collect();
    for (name, id) in begun {
        run.report.outcome(&name, driver.verdict(id, Duration::from_secs(300)));
    }
}

/// The independent cases of all drivers at the same time.
pub fn independent(run: &Run, ns: &str) {
    run.report.note("independent cases");
    std::thread::scope(|threads| {
        for driver in &run.drivers {
            threads.spawn(move || match driver.run(AWAIT, ns, &[]) {
                Ok(_) => all_at_once(run, driver, "", INDEPENDENT, ns),
                Err(why) => {
                    run.report.outcome(&format!("{}/await", driver.name), Err(why));
                }
            });
        }
    });
}

/// Two members of a group in two JVMs; one is killed with SIGKILL.
pub fn killed(run: &Run, ns: &str) {
    run.report.note("killed consumers");
    std::thread::scope(|threads| {
        for (driver, headers) in run.drivers.iter().zip([Headers::Json, Headers::Binary].into_iter().cycle())
        {
            let name = format!("{}/push.share.kill", driver.name);
            if run.report.wants(&name) {
                threads.spawn(move || run.report.case(&name, || kill_one(run, driver, headers, ns)));
            }
        }
    });
}

fn kill_one(run: &Run, survivor: &Driver, headers: Headers, ns: &str) -> Outcome {
    survivor.run("kill.before", ns, &[("step", "start")])?;
    let victim = Driver::start(&run.place, survivor.line, headers, "-victim")?;
    victim.run("kill.join", ns, &[])?;
    survivor.run("kill.before", ns, &[("step", "share")])?;
    victim.kill();
    survivor.run("kill.after", ns, &[]).map(|_| ())
}

/// mqadmin of 5.3.3: first what changes something for all clients, with both header encodings; then the rest, divided
/// among the two.
pub fn tools(run: &Run, ns: &str) {
    run.report.note("tools");
    let drivers: Vec<&Driver> = run.drivers.iter().filter(|d| d.line == Line::V53).collect();
    let one = |driver: &Driver, tool: &str| {
        let name = format!("{}/tools.{tool}", driver.name);
        if run.report.wants(&name) {
            run.report.case(&name, || driver.run(&format!("tools.{tool}"), ns, &[]).map(|_| ()));
        }
    };
    drivers.iter().for_each(|driver| TOOLS.iter().for_each(|tool| one(driver, tool)));
    std::thread::scope(|threads| {
        for (i, driver) in drivers.iter().enumerate() {
            let (one, count) = (&one, drivers.len());
            threads.spawn(move || ADMIN.iter().skip(i).step_by(count).for_each(|tool| one(driver, tool)));
        }
    });
}
