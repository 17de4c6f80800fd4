"""Counts what quickstart_producer has sent, asking for it."""

from __future__ import annotations

import ferromq
from common import PATIENCE, consumer_group, main


def run(mq: ferromq.Instance) -> int:
    """Polls until 10,001 messages have come, and returns how many did."""
    counted = 0
    with mq.consumer(consumer_group("counters"), consume_from_where=ferromq.StartFrom.FIRST) as consumer:
        consumer.subscribe("topic_example_java", "TagA")
        while counted < 10_001:
            messages = consumer.poll(PATIENCE)
            if not messages:
                raise SystemExit(f"{counted} came")
            assert all(message.body.startswith(b"Hello Java Demo RocketMQ:") for message in messages)
            counted += len(messages)
    print(f"counted: {counted}")
    return counted


if __name__ == "__main__":
    main(run)
