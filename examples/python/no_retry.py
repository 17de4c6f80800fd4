"""A listener that never wants a message again: it handles every failure itself and commits. What it cannot do is lost
then, so this is rarely right."""

from __future__ import annotations

import queue

import ferromq
from common import PATIENCE, consumer_group, main, producer_group, subscribe

GROUP = "CID_NO_RETRY"
"""The group; its retry topic stays empty."""


def run(mq: ferromq.Instance) -> int:
    """Sends five messages that cannot be worked on, and returns how many were delivered."""
    mq.create_topic("Hopeless", 4)
    with mq.producer(producer_group("no-retry-producers")) as producer:
        for number in range(5):
            producer.send("Hopeless", f"not a number: {number}")

    arrived: queue.Queue[None] = queue.Queue()

    def listen(message: ferromq.StoredMessage) -> ferromq.Action:
        try:
            int(message.body)
        except ValueError as error:
            print(f'"{message.body.decode()}" is given up: {error}')
        arrived.put(None)
        return ferromq.Action.COMMIT

    with subscribe(mq, consumer_group(GROUP), "Hopeless", "*", listen):
        return len([arrived.get(timeout=PATIENCE) for _ in range(5)])


if __name__ == "__main__":
    main(run)
