"""A table of the messages that were worked on. The entry and the result of the work appear in one transaction: killed
at any moment, the program goes on at its next start, and every message counts once."""

from __future__ import annotations

import os
import queue
import sqlite3
import threading
import time

import ferromq
from common import PATIENCE, consumer_group, main, producer_group, subscribe

MESSAGES = 50
"""Messages, each of which is sent twice."""

TABLES = """
    create table if not exists processed(message_key text primary key);
    create table if not exists result(message_key text, amount integer);
    create table if not exists produced(done integer);
"""


def run(mq: ferromq.Instance, path: str = ":memory:", pause: float = 0) -> int:
    """Sends every message twice unless an earlier run has, works on all, and returns the sum of their amounts. `path` is an
    SQLite file; `pause` seconds lie between two steps, for whoever wants to kill the program there."""
    database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    database.executescript(TABLES)
    one_at_a_time = threading.Lock()
    mq.create_topic("Deduplicated", 4)
    produce(mq, database)

    arrived: queue.Queue[None] = queue.Queue()

    def listen(message: ferromq.StoredMessage) -> ferromq.Action:
        key = message.keys[0]
        with one_at_a_time:
            work(database, key, int(message.body), pause)
        arrived.put(None)
        return ferromq.Action.COMMIT

    with subscribe(mq, consumer_group("CID_DEDUP"), "Deduplicated", "*", listen):
        while count(database, one_at_a_time) < MESSAGES:
            arrived.get(timeout=PATIENCE)
    (total,) = database.execute("select sum(amount) from result").fetchone()
    database.close()
    return int(total)


def produce(mq: ferromq.Instance, database: sqlite3.Connection) -> None:
    """Sends every message twice, unless that was done."""
    if database.execute("select done from produced").fetchone():
        return
    with mq.producer(producer_group("dedup-producers")) as producer:
        for number in range(MESSAGES):
            message = ferromq.Message("Deduplicated", str(number), keys=f"ID_{number}")
            producer.send(message)
            producer.send(message)
        # Killed before this, the next run sends once more: that is harmless here.
        database.execute("insert into produced values (1)")


def work(database: sqlite3.Connection, key: str, amount: int, pause: float) -> None:
    """The work and the note about it: both, or neither."""
    print(f"begin {key}", flush=True)
    database.execute("begin")
    try:
        if is_processed(database, key):
            print(f"again {key}", flush=True)
            database.execute("rollback")
            return
        time.sleep(pause)
        process(database, key, amount)
        print(f"worked {key}", flush=True)
        time.sleep(pause)
        mark_as_processed(database, key)
        print(f"marked {key}", flush=True)
        time.sleep(pause)
        database.execute("commit")
    except BaseException:
        if database.in_transaction:
            database.execute("rollback")
        raise
    print(f"done {key}", flush=True)


def is_processed(database: sqlite3.Connection, key: str) -> bool:
    """Whether a message was worked on."""
    return database.execute("select 1 from processed where message_key = ?", (key,)).fetchone() is not None


def process(database: sqlite3.Connection, key: str, amount: int) -> None:
    """The work itself. What is not in the database, such as a call to another service, needs a key there as well."""
    database.execute("insert into result values (?, ?)", (key, amount))


def mark_as_processed(database: sqlite3.Connection, key: str) -> None:
    """Notes that a message was worked on."""
    database.execute("insert into processed values (?)", (key,))


def count(database: sqlite3.Connection, one_at_a_time: threading.Lock) -> int:
    """How many were worked on."""
    with one_at_a_time:
        return int(database.execute("select count(*) from processed").fetchone()[0])


if __name__ == "__main__":
    # The database and the pause between two steps come from the environment, so that it can be killed in between.
    file = os.environ.get("DEDUP_DATABASE", ":memory:")
    ms = float(os.environ.get("DEDUP_PAUSE_MS", 0))
    main(lambda mq: run(mq, file, ms / 1000))
