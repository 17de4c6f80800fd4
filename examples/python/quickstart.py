"""The first program: send some messages and consume them."""

from __future__ import annotations

import queue

import ferromq
from common import PATIENCE, consumer_group, main, producer_group


def run(mq: ferromq.Instance) -> list[str]:
    """Sends ten messages and returns what was consumed."""
    mq.create_topic("Greetings", 4)

    with mq.producer(producer_group("greeters")) as producer:
        for number in range(10):
            sent = producer.send("Greetings", f"hello {number}")
            print(f"sent: {sent}")

    arrived: queue.Queue[str] = queue.Queue()
    with mq.push_consumer(consumer_group("listeners"), consume_from_where=ferromq.StartFrom.FIRST) as consumer:
        consumer.subscribe("Greetings", "*")

        @consumer.listen
        def listen(messages: list[ferromq.StoredMessage]) -> None:
            for message in messages:
                print(f"received: {message.body.decode()} ({message.message_id})")
                arrived.put(message.body.decode())

        consumer.start()
        return [arrived.get(timeout=PATIENCE) for _ in range(10)]


if __name__ == "__main__":
    main(run)
