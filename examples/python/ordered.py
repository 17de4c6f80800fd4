"""The steps of an order in their order, while different orders go side by side: all steps of an order go to one queue,
one after the other, and a queue is consumed by one thread at a time."""

from __future__ import annotations

import collections
import queue

import ferromq
from common import PATIENCE, consumer_group, main, producer_group

STEPS = ["created", "paid", "pushed", "completed"]
ORDERS = 100


def run(mq: ferromq.Instance) -> int:
    """Sends the steps of 100 orders and returns how many were consumed. Fails if one order is out of step."""
    mq.create_topic("OrderSteps", 4)
    with mq.producer(producer_group("order-producers")) as producer:
        for step in STEPS:
            for number in range(ORDERS):
                producer.send("OrderSteps", step, keys=str(number), sharding_key=str(number))

    arrived: queue.Queue[tuple[str, str | None]] = queue.Queue()
    reached: collections.Counter[str] = collections.Counter()
    group = consumer_group("order-consumers")
    with mq.push_consumer(group, consume_from_where=ferromq.StartFrom.FIRST) as consumer:
        consumer.subscribe("OrderSteps")

        @consumer.listen_orderly
        def listen(messages: list[ferromq.StoredMessage]) -> None:
            for message in messages:
                order, step = message.keys[0], STEPS.index(message.body.decode())
                # A step that was seen before is a second delivery, which may happen; one that comes early must not.
                wrong = f"order {order}: {STEPS[step]} came at step {reached[order]}" if step > reached[order] else None
                reached[order] = max(step + 1, reached[order])
                arrived.put((order, wrong))

        consumer.start()
        consumed = 0
        while consumed < ORDERS * len(STEPS):
            order, wrong = arrived.get(timeout=PATIENCE)
            if wrong:
                raise RuntimeError(wrong)
            print(f"a step of order {order}")
            consumed += 1
    return consumed


if __name__ == "__main__":
    main(run)
