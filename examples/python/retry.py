"""Three ways in which a listener asks for a message again. It comes again after 10 s, 30 s, 1 min and so on, 16 times by
default, and then becomes a dead letter."""

from __future__ import annotations

import queue

import ferromq
from common import PATIENCE, consumer_group, main, producer_group, subscribe


def run(mq: ferromq.Instance) -> list[tuple[str, int]]:
    """Sends three messages whose first delivery fails, and returns each delivery: what, and how often it had failed."""
    mq.create_topic("Retried", 4)
    with mq.producer(producer_group("retry-producers")) as producer:
        for body in ["answer later", "answer False", "raise"]:
            producer.send("Retried", body)

    arrived: queue.Queue[tuple[str, int]] = queue.Queue()

    def listen(message: ferromq.StoredMessage) -> ferromq.Action | bool:
        body = message.body.decode()
        print(f'delivery {message.reconsume_times + 1} of "{body}"')
        arrived.put((body, message.reconsume_times))
        if message.reconsume_times == 0:
            # The work failed: the message comes again.
            if body == "answer later":
                return ferromq.Action.LATER
            if body == "answer False":
                return False
            # An exception counts as the same, is logged, and ends nothing but this call.
            raise RuntimeError("this example raises to be called again")
        return ferromq.Action.COMMIT

    with subscribe(mq, consumer_group("CID_RETRY"), "Retried", "*", listen):
        return [arrived.get(timeout=PATIENCE) for _ in range(6)]


if __name__ == "__main__":
    main(run)
