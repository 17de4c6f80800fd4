"""A server in this process that others can join: clients of this library, and Apache's in any language."""

from __future__ import annotations

import queue
import sys

import ferromq
from common import PATIENCE, consumer_group, producer_group, subscribe


def run(directory: str | None = None) -> str:
    """Opens a server in a directory (in memory without), lets another client send to it, and returns what was consumed
    here."""
    # Free ports, as this is an example; `listen=True` has Apache's 9876 and 10911.
    with ferromq.open(directory, memory=directory is None, listen="free") as mq:
        print(f"name server at {mq.name_servers}")
        mq.create_topic("Served", 4)
        arrived: queue.Queue[str] = queue.Queue()

        def listen(message: ferromq.StoredMessage) -> None:
            arrived.put(message.body.decode())

        with subscribe(mq, consumer_group("CID_SERVED"), "Served", "*", listen):
            # As another process would.
            with ferromq.connect(mq.name_servers) as other, other.producer(producer_group("visitors")) as producer:
                print(f"sent: {producer.send('Served', 'over the network')}")
            body = arrived.get(timeout=PATIENCE)
            print(f"received: {body}")
            return body


if __name__ == "__main__":
    run(sys.argv[1] if len(sys.argv) > 1 else None)
