"""The three ways to send, each with what it is for."""

from __future__ import annotations

import queue

import ferromq
from common import PATIENCE, main, producer_group


def run(mq: ferromq.Instance) -> dict[str, int]:
    """Sends three kinds of messages and returns how many of each."""
    mq.create_topic("Notices", 4)
    counts = {"sync": 0, "async": 0, "oneway": 0}
    with mq.producer(producer_group("senders")) as producer:
        # Mails and short messages to customers are important: wait until each is stored, and look how safe it is.
        for customer in ["ann", "bob"]:
            sent = producer.send("Notices", f"mail to {customer}", tag="mail")
            if sent.status is not ferromq.SendStatus.OK:
                print(f"stored, but not as safe as it could be: {sent}")
            print(f"sync: {sent}")
            counts["sync"] += 1

        # After an upload a video is converted, which takes long, and the uploader must not wait: the callback hears how
        # the send went. It may send again if it failed and `is_retriable`.
        heard: queue.Queue[tuple[ferromq.Sent | None, ferromq.Error | None]] = queue.Queue()
        for video in range(3):
            producer.send_callback(
                "Notices", f"convert video {video}", tag="video", callback=lambda *result: heard.put(result)
            )
        for _ in range(3):
            sent_or_none, error = heard.get(timeout=PATIENCE)
            if error is not None:
                raise error
            print(f"async: {sent_or_none}")
            counts["async"] += 1

        # Log lines are many, and one lost is no harm: do not ask for an answer.
        for line in range(100):
            producer.send_oneway("Notices", f"log line {line}", tag="log")
            counts["oneway"] += 1
        print(f"oneway: {counts['oneway']} log lines")
    return counts


if __name__ == "__main__":
    main(run)
