"""Three groups consume the same payments: points, activity, coupons. When one of them fails, the message comes again for
this group alone; the others are not charged twice."""

from __future__ import annotations

import collections
import contextlib
import queue

import ferromq
from common import PATIENCE, main, producer_group, subscribe


def run(mq: ferromq.Instance) -> dict[str, int]:
    """Sends three payments; the points group fails once for each. Returns the deliveries of each group."""
    mq.create_topic("Payments", 4)
    with mq.producer(producer_group("payers")) as producer:
        for order in range(3):
            producer.send("Payments", f"order {order}")

    arrived: queue.Queue[tuple[str, bool]] = queue.Queue()
    deliveries: collections.Counter[str] = collections.Counter()
    with contextlib.ExitStack() as consumers:
        for group in ["points", "activity", "coupons"]:

            def listen(message: ferromq.StoredMessage, group: str = group) -> bool:
                fails = group == "points" and message.reconsume_times == 0
                print(f"{group}: {message.body.decode()} {'fails' if fails else 'booked'}")
                arrived.put((group, fails))
                return not fails

            consumers.enter_context(subscribe(mq, group, "Payments", "*", listen))
        booked = 0
        while booked < 9:
            group, failed = arrived.get(timeout=PATIENCE)
            deliveries[group] += 1
            booked += not failed
    # One that came once more would be here by now.
    while not arrived.empty():
        deliveries[arrived.get()[0]] += 1
    return dict(deliveries)


if __name__ == "__main__":
    main(run)
