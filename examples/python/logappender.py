"""The log of a program as messages of a topic: others can watch it, count it, keep it."""

from __future__ import annotations

import logging

import ferromq
import ferromq.logging
from common import PATIENCE, consumer_group, main, producer_group


def run(mq: ferromq.Instance) -> list[str]:
    """Logs three lines and returns those that somebody who wants warnings and errors got."""
    mq.create_topic("AppLog", 1)
    logger = logging.getLogger("example.shop")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    handler = ferromq.logging.TopicHandler(mq, "AppLog", group=producer_group("app-log"))
    handler.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))
    logger.addHandler(handler)

    logger.info("the shop is open")
    logger.warning("%d apples left", 3)
    logger.error("no pears left")
    logger.removeHandler(handler)
    handler.close()

    lines: list[str] = []
    with mq.consumer(consumer_group("log-watchers"), consume_from_where=ferromq.StartFrom.FIRST) as consumer:
        consumer.subscribe("AppLog", "WARNING || ERROR")
        while len(lines) < 2:
            for message in consumer.poll(PATIENCE):
                print(f"{message.get('logger')}: {message.body.decode()}")
                lines.append(message.body.decode())
    return lines


if __name__ == "__main__":
    main(run)
