"""Every member of a group gets every message: caches to clear, settings to reload. Each member keeps how far it has
come in a file of its own, and a message that fails does not come again."""

from __future__ import annotations

import os
import queue
import sys
import tempfile

import ferromq
from common import PATIENCE, consumer_group, producer_group, subscribe


def run(place: str | None = None) -> list[tuple[int, str]]:
    """Sends five messages to two members, and returns the ten deliveries: member and body."""
    # Two clients, as two processes would be. A server in this process listens so that the second can join.
    first = ferromq.connect(place) if place else ferromq.open(memory=True, listen="free")
    with first, ferromq.connect(first.name_servers) as second, tempfile.TemporaryDirectory() as files:
        first.create_topic("Broadcast", 4)
        arrived: queue.Queue[tuple[int, str]] = queue.Queue()
        for number, mq in enumerate([first, second]):

            def listen(message: ferromq.StoredMessage, number: int = number) -> None:
                print(f"member {number}: {message.body.decode()}")
                arrived.put((number, message.body.decode()))

            # A real program keeps the files: with them it goes on where it stopped.
            subscribe(
                mq,
                consumer_group("CID_BROADCAST"),
                "Broadcast",
                "*",
                listen,
                message_model=ferromq.MessageModel.BROADCASTING,
                offset_store_dir=os.path.join(files, str(number)),
            )
        with first.producer(producer_group("broadcasters")) as producer:
            for number in range(5):
                producer.send("Broadcast", f"reload {number}")
        deliveries = sorted(arrived.get(timeout=PATIENCE) for _ in range(10))
        second.close()
        first.close()
    return deliveries


if __name__ == "__main__":
    run(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("NAMESRV_ADDR"))
