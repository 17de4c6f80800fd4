"""Messages that arrive later: delay level 3 is 10 s with the broker's default table."""

from __future__ import annotations

import queue
import time

import ferromq
from common import PATIENCE, consumer_group, main, producer_group, subscribe


def run(mq: ferromq.Instance, expected: float = 10) -> list[float]:
    """Sends 100 messages with delay level 3, which is `expected` seconds long, and returns how long each took. Fails if
    one came early."""
    mq.create_topic("TestTopic", 4)
    with mq.producer(producer_group("ExampleProducerGroup")) as producer:
        for number in range(100):
            producer.send("TestTopic", f"Hello scheduled message {number}", delay_level=3)

    arrived: queue.Queue[float] = queue.Queue()

    def listen(message: ferromq.StoredMessage) -> None:
        arrived.put(time.time() - message.born_timestamp / 1000)

    delays = []
    with subscribe(mq, consumer_group("ExampleConsumer"), "TestTopic", "*", listen):
        for number in range(100):
            delay = arrived.get(timeout=PATIENCE)
            print(f"message {number} arrived {delay * 1000:.0f} ms after it was sent")
            if delay < expected:
                raise RuntimeError(f"{delay} s is earlier than {expected} s")
            delays.append(delay)
    return delays


if __name__ == "__main__":
    main(run)
