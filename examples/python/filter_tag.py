"""A consumer that wants messages with some tags only. The broker filters, so the others do not travel."""

from __future__ import annotations

import queue

import ferromq
from common import PATIENCE, consumer_group, main, producer_group, subscribe


def run(mq: ferromq.Instance) -> list[str]:
    """Sends messages with four tags, wants three, and returns the tags that came."""
    mq.create_topic("Tagged", 1)
    with mq.producer(producer_group("tag-producers")) as producer:
        for tag in ["TAGD", "TAGA", "TAGB", "TAGD", "TAGC"]:
            producer.send("Tagged", "body", tag=tag)

    arrived: queue.Queue[str] = queue.Queue()

    def listen(message: ferromq.StoredMessage) -> None:
        print(f"tag {message.tag}")
        arrived.put(message.tag or "")

    with subscribe(mq, consumer_group("CID_EXAMPLE"), "Tagged", "TAGA || TAGB || TAGC", listen):
        tags = [arrived.get(timeout=PATIENCE) for _ in range(3)]
    # One that was not wanted would have come by now.
    while not arrived.empty():
        tags.append(arrived.get())
    return sorted(tags)


if __name__ == "__main__":
    main(run)
