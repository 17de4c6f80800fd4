//! What a broker takes on at a time: beyond that it says SYSTEM_BUSY, which limit is reached, and how far.
//!
//! Connections bound what each of them has under way ([`crate::net::Limits`]); here is what is bounded for all together.
//! Apache's name: BrokerFastFailure, and the capacities of its pools.

use crate::wire::ResponseCode;

use super::errands::Errands;
use super::handler::{refuse, Refusal};
use super::Broker;

const BUSY: &str = "[OVERLOAD]system busy, start flow control for a while";

/// Refuses a send when too many wait for the disk already.
pub(crate) fn admit_send(broker: &Broker) -> Result<(), Refusal> {
    let (waiting, most) = (broker.store.waiting_for_flush(), broker.config().send_thread_pool_queue_capacity);
    if waiting < most {
        return Ok(());
    }
    let longest = broker.store.longest_wait_for_flush_ms();
    let remark = format!(
        "{BUSY}: {waiting} messages wait for the disk, the first for {longest} ms \
         (sendThreadPoolQueueCapacity={most})"
    );
    Err(refuse(ResponseCode::SYSTEM_BUSY, remark))
}

/// Refuses to let one more pull wait when too many do already.
pub(crate) fn admit_wait(broker: &Broker) -> Result<(), Refusal> {
    let (waiting, most) = (broker.waiters.len(), broker.config().max_held_pulls);
    if waiting < most {
        return Ok(());
    }
    let remark = format!("{BUSY}: {waiting} pulls wait for messages (maxHeldPulls={most})");
    Err(refuse(ResponseCode::SYSTEM_BUSY, remark))
}

/// Requests that wait for one thread at most; each is small, and those before it may take long.
const MOST_ERRANDS: usize = 10_000;

/// Refuses what is to be done apart from the event loops when too much of it waits already.
pub(crate) fn admit_errand(errands: &Errands) -> Result<(), Refusal> {
    let waiting = errands.waiting();
    if waiting < MOST_ERRANDS {
        return Ok(());
    }
    let remark = format!(
        "{BUSY}: {waiting} requests that may wait for the disk are before this one, at most {MOST_ERRANDS} may be"
    );
    Err(refuse(ResponseCode::SYSTEM_BUSY, remark))
}
