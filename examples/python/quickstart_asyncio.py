"""The first program for asyncio: nothing blocks the loop."""

from __future__ import annotations

import asyncio

import ferromq
from common import PATIENCE, consumer_group, main, producer_group


async def greet(mq: ferromq.Instance) -> list[str]:
    """Sends ten messages at once and returns what was consumed."""
    # What an operator does waits; it goes to a thread.
    await asyncio.to_thread(mq.create_topic, "AsyncGreetings", 4)

    async with mq.producer(producer_group("async-greeters")) as producer:
        for sent in await asyncio.gather(*(producer.send_async("AsyncGreetings", f"hello {n}") for n in range(10))):
            print(f"sent: {sent}")

    bodies = []
    group = consumer_group("async-listeners")
    async with mq.consumer(group, consume_from_where=ferromq.StartFrom.FIRST) as consumer:
        consumer.subscribe("AsyncGreetings")
        async for message in consumer:
            print(f"received: {message.body.decode()} ({message.message_id})")
            bodies.append(message.body.decode())
            if len(bodies) == 10:
                break
    return bodies


def run(mq: ferromq.Instance) -> list[str]:
    """As `greet`."""
    return asyncio.run(asyncio.wait_for(greet(mq), PATIENCE))


if __name__ == "__main__":
    main(run)
