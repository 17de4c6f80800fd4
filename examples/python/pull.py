"""Reads one queue to its end, at the program's own pace and with its own offsets: nothing is fetched without a call, and
no group keeps anything."""

from __future__ import annotations

import ferromq
from common import main, producer_group


def run(mq: ferromq.Instance) -> list[str]:
    """Sends 100 messages to one queue and returns the bodies that were read."""
    mq.create_topic("Pulled", 2)
    with mq.producer(producer_group("pull-producers")) as producer:
        queue = producer.queues("Pulled")[0]
        for number in range(100):
            producer.send("Pulled", str(number), queue=queue)

    bodies: list[str] = []
    offset = 0
    with mq.consumer() as consumer:
        while True:
            # Waits for nothing: the queue ends where there are no new messages.
            pulled = consumer.pull(queue, offset, count=32)
            print(f"{len(pulled.messages)} messages from offset {offset}, the queue ends at {pulled.max}")
            bodies += [message.body.decode() for message in pulled.messages]
            offset = pulled.next
            if pulled.status is ferromq.PullStatus.NO_NEW_MESSAGES:
                return bodies


if __name__ == "__main__":
    main(run)
