//! Figures of the broker for operators: the table of its state (28) and single counters over time (315).

use std::collections::BTreeMap;

use crate::store::WriteState;
use crate::wire::body::{BrokerStatsData, KvTable};
use crate::wire::{self, Response, ResponseCode};

use super::handler::{json, refused};
use super::stats::Measure;
use super::Broker;

/// VIEW_BROKER_STATS_DATA (315): what happened in the last minute, hour and day with a topic, a group in a topic, or all.
pub(crate) fn view(broker: &Broker, request: &wire::ViewBrokerStatsData<'_>) -> Response {
    let (name, key) = (&*request.stats_name, &*request.stats_key);
    match find(broker, name, key) {
        Some(data) => json(&data),
        None => refused(ResponseCode::SYSTEM_ERROR, format!("The stats <{name}> <{key}> not exist")),
    }
}

fn find(broker: &Broker, name: &str, key: &str) -> Option<BrokerStatsData> {
    let now = broker.clock.now_ms();
    let measure = if name.ends_with("_SIZE") { Measure::Bytes } else { Measure::Messages };
    match name {
        "TOPIC_PUT_NUMS" | "TOPIC_PUT_SIZE" => Some(broker.topics.find(key)?.puts.view(measure, now)),
        "GROUP_GET_NUMS" | "GROUP_GET_SIZE" | "SNDBCK_PUT_NUMS" => {
            let (topic, group) = key.split_once('@')?;
            // What is there and did nothing yet counts as 0.
            let (_, group) = (broker.topics.find(topic)?, broker.groups.find(group)?);
            let Some(consumed) = group.consumed(topic) else { return Some(BrokerStatsData::default()) };
            let counter = if name == "SNDBCK_PUT_NUMS" { &consumed.sent_back } else { &consumed.got };
            Some(counter.view(measure, now))
        }
        _ if key == broker.config().broker_cluster_name => Some(broker.stats.named(name)?.view(measure, now)),
        _ => None,
    }
}

/// GET_BROKER_RUNTIME_INFO (28): figures as text, under the names that Apache's tools print.
pub(crate) fn runtime_info(broker: &Broker) -> Response {
    let mut table = BTreeMap::new();
    let mut put = |name: &str, value: String| {
        table.insert(name.to_owned(), value);
    };
    let now = broker.clock.now_ms();
    let minutes = (now - broker.started_ms) / 60_000;
    put("brokerVersionDesc", format!("FerroMQ {}", env!("CARGO_PKG_VERSION")));
    put("brokerVersion", wire::VERSION.to_string());
    put("bootTimestamp", broker.started_ms.to_string());
    put(
        "runtime",
        format!("[ {} days, {} hours, {} minutes ]", minutes / 1440, minutes / 60 % 24, minutes % 60),
    );
    put("startAcceptSendRequestTimeStamp", broker.config().start_accept_send_request_time_stamp.to_string());
    let (producers, consumers) = broker.clients.counts();
    put("producerCount", producers.to_string());
    put("consumerCount", consumers.to_string());
    put("heldPulls", broker.waiters.len().to_string());
    let inconsistent = broker.clients.inconsistent_groups();
    put("inconsistentSubscriptionGroups", inconsistent.len().to_string());
    put("inconsistentSubscriptionGroupNames", inconsistent.join(","));
    traffic(broker, now, &mut put);
    storage(broker, &mut put);
    // Handlers answer on the event loops; what there is of queues are sends that wait for the disk.
    put("sendThreadPoolQueueSize", broker.store.waiting_for_flush().to_string());
    put("sendThreadPoolQueueCapacity", broker.config().send_thread_pool_queue_capacity.to_string());
    put("sendThreadPoolQueueHeadWaitTimeMills", broker.store.longest_wait_for_flush_ms().to_string());
    for pool in ["pull", "query", "litePull", "ack"] {
        put(&format!("{pool}ThreadPoolQueueSize"), "0".into());
        put(&format!("{pool}ThreadPoolQueueCapacity"), "0".into());
        put(&format!("{pool}ThreadPoolQueueHeadWaitTimeMills"), "0".into());
    }
    put("EndTransactionQueueSize", "0".into());
    put("EndTransactionThreadPoolQueueCapacity", "0".into());
    // Messages for arbitrary times are not taken.
    for figure in ["ReadBehind", "OffsetBehind", "CongestNum"] {
        put(&format!("timer{figure}"), "0".into());
    }
    for rate in ["timerEnqueueTps", "timerDequeueTps"] {
        put(rate, "0.0".into());
    }
    put("pageCacheLockTimeMills", broker.store.log_stuck_for_ms().to_string());
    json(&KvTable { table })
}

fn traffic(broker: &Broker, now: i64, put: &mut impl FnMut(&str, String)) {
    let (totals, mornings) = (broker.stats.totals(), broker.stats.mornings());
    let rates = broker.stats.rates(now);
    put("msgPutTotalYesterdayMorning", mornings.yesterday[0].to_string());
    put("msgPutTotalTodayMorning", mornings.today[0].to_string());
    put("msgPutTotalTodayNow", totals.put_messages.to_string());
    put("msgGetTotalYesterdayMorning", mornings.yesterday[1].to_string());
    put("msgGetTotalTodayMorning", mornings.today[1].to_string());
    put("msgGetTotalTodayNow", totals.got_messages.to_string());
    put("putMessageTimesTotal", totals.put_messages.to_string());
    put("putMessageSizeTotal", totals.put_bytes.to_string());
    put("putMessageFailedTimes", totals.put_failures.to_string());
    put("putMessageAverageSize", (totals.put_bytes as f64 / totals.put_messages.max(1) as f64).to_string());
    put("putTps", rates.put);
    put("getTransferredTps", rates.got.clone());
    put("getTransferedTps", rates.got);
    put("getTotalTps", rates.pulls);
    put("getFoundTps", rates.found);
    put("getMissTps", rates.missed);
}

fn storage(broker: &Broker, put: &mut impl FnMut(&str, String)) {
    let store = &broker.store;
    put("commitLogMinOffset", store.min_physical_offset().to_string());
    put("commitLogMaxOffset", store.max_physical_offset().to_string());
    put("dispatchBehindBytes", store.dispatch_behind().to_string());
    let unflushed = store.max_physical_offset() - store.flushed_offset();
    put("remainHowManyDataToCommit", "0 B".into());
    put("remainTransientStoreBufferNumbs", "0".into());
    if let Some([total, free]) = store.disk_space() {
        put("commitLogDirCapacity", format!("Total : {}, Free : {}.", readable(total), readable(free)));
    }
    put("remainHowManyDataToFlush", format!("{unflushed} B"));
    let [log, queues] = store.disk_use_percent().map(|percent| (percent / 100.0).to_string());
    put("commitLogDiskRatio", log);
    put("consumeQueueDiskRatio", queues);
    put("earliestMessageTimeStamp", store.earliest_store_time().to_string());
    put("brokerActive", matches!(store.state(), WriteState::Writable).to_string());
}

/// Bytes in the largest unit that leaves a number of at least 1.
fn readable(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut unit = 0;
    let mut number = bytes as f64;
    while number >= 1024.0 && unit + 1 < UNITS.len() {
        (number, unit) = (number / 1024.0, unit + 1);
    }
    format!("{number:.1} {}", UNITS[unit])
}
