"""A flag for each business key, in a store that forgets after some time (Redis in many systems, a dict here). Cheap, and
weaker than a table in the database of the work: work and flag do not appear together, so a crash between them lets the
work be done twice. The flag is set only after the work, never before, or a failure would lose the message."""

from __future__ import annotations

import queue
import threading
import time

import ferromq
from common import PATIENCE, consumer_group, main, producer_group, subscribe


class Flags:
    """Keys that are known for some time, seconds: longer than the same message can come again, such as 72 h."""

    def __init__(self, keep: float) -> None:
        self._keep = keep
        self._until: dict[str, float] = {}

    def is_set(self, key: str) -> bool:
        """Whether the flag is set and not forgotten."""
        return self._until.get(key, 0) > time.monotonic()

    def set(self, key: str) -> None:
        """Sets the flag, and forgets those whose time has come."""
        now = time.monotonic()
        self._until = {one: until for one, until in self._until.items() if until > now}
        self._until[key] = now + self._keep


def run(mq: ferromq.Instance, keep: float = 72 * 3600) -> int:
    """Sends three messages twice, and returns how often work was done."""
    mq.create_topic("Flagged", 1)
    with mq.producer(producer_group("flag-producers")) as producer:
        for number in range(3):
            message = ferromq.Message("Flagged", "work", keys=f"KEY_{number}")
            producer.send(message)
            producer.send(message)

    flags = Flags(keep)
    arrived: queue.Queue[bool] = queue.Queue()
    # Two deliveries of one key at the same time would both find no flag.
    one_at_a_time = threading.Lock()

    def listen(message: ferromq.StoredMessage) -> ferromq.Action:
        key = message.keys[0]
        with one_at_a_time:
            is_new = not flags.is_set(key)
            if is_new:
                work(key)
                flags.set(key)
            else:
                print(f"{key} is done already")
        arrived.put(is_new)
        return ferromq.Action.COMMIT

    with subscribe(mq, consumer_group("CID_FLAG"), "Flagged", "*", listen):
        return sum(arrived.get(timeout=PATIENCE) for _ in range(6))


def work(key: str) -> None:
    """What is to be done once."""
    print(f"working on {key}")


if __name__ == "__main__":
    main(run)
