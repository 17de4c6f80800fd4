"""What the programs share: where messages go, and a consumer with one call.

    python quickstart.py                    # everything in this process, in memory
    python quickstart.py ./data             # the same, kept in a directory
    python quickstart.py 127.0.0.1:9876     # a cluster, FerroMQ's or Apache's

Without an argument NAMESRV_ADDR names the cluster, if it is set. PRODUCER_GROUP and CONSUMER_GROUP stand in place of the
programs' own groups.
"""

from __future__ import annotations

import os
import sys
import typing

import ferromq

PATIENCE = 60
"""Seconds that the programs wait for messages that are sure to come."""


def instance(place: str | None = None) -> ferromq.Instance:
    """A cluster whose name servers `place` is (`host:port`), a directory, or memory without it."""
    place = place or os.environ.get("NAMESRV_ADDR")
    if place is None:
        return ferromq.open(memory=True)
    return ferromq.connect(place) if ":" in place else ferromq.open(place)


def producer_group(name: str) -> str:
    """The group of a program's producer."""
    return os.environ.get("PRODUCER_GROUP", name)


def consumer_group(name: str) -> str:
    """The group of a program's consumer."""
    return os.environ.get("CONSUMER_GROUP", name)


def subscribe(
    mq: ferromq.Instance,
    group: str,
    topic: str,
    expression: str,
    listener: typing.Callable[[ferromq.StoredMessage], typing.Any],
    **options: typing.Any,
) -> ferromq.PushConsumer:
    """A consumer that calls `listener` with each message of a topic whose tag the expression names, from the topic's
    beginning if the group is new. It runs until it is closed."""
    consumer = mq.push_consumer(group, consume_from_where=ferromq.StartFrom.FIRST, **options)
    consumer.subscribe(topic, expression)
    consumer.listen_one(listener)
    consumer.start()
    return consumer


def main(run: typing.Callable[[ferromq.Instance], object]) -> None:
    """Runs a program at the place that the command line names."""
    with instance(sys.argv[1] if len(sys.argv) > 1 else None) as mq:
        run(mq)
