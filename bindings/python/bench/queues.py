"""The same of other durable queues for Python, one by one with their default settings:
`python queues.py litequeue|persist-queue DIRECTORY SECONDS`. `persist-queue` is its SQLite queue with `auto_commit`, which
is on disk like the others after each put; `persist-queue-file` its queue of files."""

from __future__ import annotations

import pathlib
import sys
import time
import typing


class Queue(typing.NamedTuple):
    """How to put and to get; `get` returns None at the end."""

    put: typing.Callable[[bytes], object]
    get: typing.Callable[[], object]


def litequeue(directory: pathlib.Path) -> Queue:
    import litequeue

    queue = litequeue.LiteQueue(str(directory / "lite.sqlite"))

    def get() -> object:
        message = queue.pop()
        if message is not None:
            queue.done(message.message_id)
        return message

    # It takes texts.
    return Queue(lambda body: queue.put(body.decode()), get)


def persist_queue(directory: pathlib.Path) -> Queue:
    import persistqueue

    queue = persistqueue.SQLiteQueue(str(directory / "persist"), auto_commit=True)

    def get() -> object:
        return queue.get(block=False) if queue.size else None

    return Queue(queue.put, get)


def persist_queue_file(directory: pathlib.Path) -> Queue:
    import persistqueue

    queue = persistqueue.Queue(str(directory / "persist-file"), autosave=True)

    def get() -> object:
        return queue.get_nowait() if queue.qsize() else None

    return Queue(queue.put, get)


QUEUES = {"litequeue": litequeue, "persist-queue": persist_queue, "persist-queue-file": persist_queue_file}


def rate(seconds: float, step: typing.Callable[[], object]) -> float:
    """Repeats a step for so long, or until it has nothing any more."""
    begun = time.perf_counter()
    moved = 0
    while time.perf_counter() - begun < seconds and step() is not None:
        moved += 1
    return moved / (time.perf_counter() - begun)


def main() -> None:
    name, directory, seconds = sys.argv[1], pathlib.Path(sys.argv[2]), float(sys.argv[3])
    for size, length in {"128": 128, "1k": 1024}.items():
        place = directory / size
        place.mkdir(parents=True, exist_ok=True)
        queue = QUEUES[name](place)
        body = b"x" * length
        print(f"put-{size}-1\t{rate(seconds, lambda: queue.put(body) or True):.0f}", flush=True)
        print(f"get-{size}\t{rate(seconds, queue.get):.0f}", flush=True)


if __name__ == "__main__":
    main()
