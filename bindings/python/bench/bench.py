"""Messages a second of the embedded library in Python: `python bench.py DIRECTORY SECONDS`.

Opens the directory with default settings, runs each case for about so long, and prints a line a case: its name, a tab,
messages a second. put-128-1 is sends of 128 bytes one by one, each waited for; put-128-100 batches of 100; put-128-async
sends by asyncio with 1000 under way; get-128 polls what was put; listen-1k is a listener of a push consumer.
"""

from __future__ import annotations

import asyncio
import collections
import itertools
import sys
import threading
import time
import typing

import ferromq

SIZES = {"128": 128, "1k": 1024}
UNDER_WAY = 1000
FIRST = {"consume_from_where": ferromq.StartFrom.FIRST}


def rate(seconds: float, step: typing.Callable[[], int]) -> float:
    """Repeats a step for so long; it returns how many messages it moved."""
    begun = time.perf_counter()
    moved = 0
    while (passed := time.perf_counter() - begun) < seconds or not moved:
        for _ in range(16):
            moved += step()
    return moved / passed


def put_one(producer: ferromq.Producer, topic: str, body: bytes) -> typing.Callable[[], int]:
    def step() -> int:
        producer.send(topic, body)
        return 1

    return step


def put_batch(producer: ferromq.Producer, topic: str, body: bytes) -> typing.Callable[[], int]:
    bodies = [body] * 100

    def step() -> int:
        producer.send_batch(topic, bodies)
        return 100

    return step


async def put_async(producer: ferromq.Producer, topic: str, body: bytes, seconds: float) -> float:
    begun, sent = time.perf_counter(), 0
    under_way: collections.deque[asyncio.Future[ferromq.Sent]] = collections.deque()
    while time.perf_counter() - begun < seconds:
        for _ in range(100):
            under_way.append(producer.send_async(topic, body))
            sent += 1
        while len(under_way) >= UNDER_WAY:
            await under_way.popleft()
    while under_way:
        await under_way.popleft()
    return sent / (time.perf_counter() - begun)


def get(mq: ferromq.Instance, topic: str, seconds: float) -> float:
    """Polls until the topic's end; goes on from its beginning if that comes too early."""
    moved, begun = 0, time.perf_counter()
    for group in itertools.count():
        with mq.consumer(f"get-{topic}-{group}", **FIRST) as consumer:
            consumer.subscribe(topic)
            while messages := consumer.poll(1):
                for message in messages:
                    message.body
                moved += len(messages)
                last = time.perf_counter()
                if last - begun > seconds:
                    return moved / (last - begun)
            begun += time.perf_counter() - last  # What was waited for at the end does not count.
    raise AssertionError


def listen(mq: ferromq.Instance, topic: str, seconds: float) -> float:
    ended, counted = threading.Event(), itertools.count(1)
    most = sum(mq.max_offset(queue) for queue in mq.queues(topic))
    seen = 0

    def one(message: ferromq.StoredMessage) -> None:
        nonlocal seen
        message.body
        seen = next(counted)
        if seen == most:
            ended.set()

    consumer = mq.push_consumer("listeners", **FIRST)
    consumer.subscribe(topic)
    consumer.listen_one(one)
    begun = time.perf_counter()
    consumer.start()
    ended.wait(seconds)
    result = seen / (time.perf_counter() - begun)
    consumer.close()
    return result


def main() -> None:
    directory, seconds = sys.argv[1], float(sys.argv[2])
    with ferromq.open(directory) as mq:
        with mq.producer("bench") as producer:
            for name, size in SIZES.items():
                topic, body = f"Bench-{name}", b"x" * size
                mq.create_topic(topic, 1)
                figures = {
                    f"put-{name}-1": rate(seconds, put_one(producer, topic, body)),
                    f"put-{name}-100": rate(seconds, put_batch(producer, topic, body)),
                }
                if name == "128":
                    figures["put-128-async"] = asyncio.run(put_async(producer, topic, body, seconds))
                figures[f"get-{name}"] = get(mq, topic, seconds)
                if name == "1k":
                    figures["listen-1k"] = listen(mq, topic, seconds)
                for case, figure in figures.items():
                    print(f"{case}\t{figure:.0f}", flush=True)


if __name__ == "__main__":
    main()
