//! Three groups consume the same payments: points, activity, coupons. When one of them fails, the message comes again for
//! this group alone; the others are not charged twice.

use std::collections::BTreeMap;
use std::sync::mpsc;

use ferromq::{Action, Instance, Message};

use crate::{subscribe, text, Failure, PATIENCE};

/// Sends three payments; the points group fails once for each. Returns the deliveries of each group.
pub fn run(mq: &Instance) -> Result<BTreeMap<&'static str, usize>, Failure> {
    mq.create_topic("Payments", 4)?;
    let producer = mq.producer("payers")?;
    for order in 0..3 {
        producer.send(&Message::new("Payments", format!("order {order}")))?;
    }

    let (seen, arrived) = mpsc::channel();
    let mut consumers = Vec::new();
    for group in ["points", "activity", "coupons"] {
        let seen = seen.clone();
        consumers.push(subscribe(mq, group, "Payments", "*", move |message| {
            let fails = group == "points" && message.reconsume_times == 0;
            println!("{group}: {} {}", text(message), if fails { "fails" } else { "booked" });
            // Nobody listens any more when the program is about to end.
            let _ = seen.send((group, fails));
            if fails {
                Action::Later
            } else {
                Action::Commit
            }
        })?);
    }
    let mut deliveries = BTreeMap::new();
    let mut booked = 0;
    while booked < 9 {
        let (group, failed) = arrived.recv_timeout(PATIENCE)?;
        *deliveries.entry(group).or_insert(0) += 1;
        booked += usize::from(!failed);
    }
    for consumer in consumers {
        consumer.close()?;
    }
    // One that came once more would be here by now.
    for (group, _) in arrived.try_iter() {
        *deliveries.entry(group).or_insert(0) += 1;
    }
    Ok(deliveries)
}
