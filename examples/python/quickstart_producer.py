"""A producer as a service has it: made once from settings, used for all messages, closed at the end."""

from __future__ import annotations

import sys

import ferromq
from common import main, producer_group

SETTINGS = {
    "retryTimesWhenSendFailed": 3,
    "retryTimesWhenSendAsyncFailed": 3,
    "retryAnotherBrokerWhenNotStoreOK": True,
}
"""As they would stand in a file: Apache's keys."""


def run(mq: ferromq.Instance) -> int:
    """Sends 10,001 messages and returns how many were stored."""
    stored = 0
    with mq.producer(producer_group("group_example_java"), **SETTINGS) as producer:
        for number in range(10_001):
            try:
                sent = producer.send("topic_example_java", f"Hello Java Demo RocketMQ:{number}", tag="TagA")
            except ferromq.Error as error:
                print(f"not sent: {error}", file=sys.stderr)
            else:
                stored += 1
                print(f"result of the send: {sent}")
    return stored


if __name__ == "__main__":
    main(run)
