"""Every message may be delivered more than once, so what it causes must be the same however often it is. A message
carries a key of the business (never rely on the message id), and the database decides: six ways to let it."""

from __future__ import annotations

import queue
import sqlite3
import threading

import ferromq
from common import PATIENCE, consumer_group, main, producer_group, subscribe
from snowflake import Snowflakes

TABLES = """
    create table account(id integer primary key, money integer not null);
    create table paid(order_id text primary key);
    create table t_order(id integer primary key autoincrement, order_id text not null unique, status text);
    create table stock(id integer primary key, amount integer not null, version integer not null);
    create table task(id integer primary key, status text not null);
    create table t1(id integer primary key, money integer not null);
    create table points(user text primary key, amount integer not null);
    insert into account values (1, 1000);
    insert into stock values (1, 50, 7);
    insert into task values (1, 'new');
    insert into t1 values (1, 100);
"""

COPIES = 5
"""How often each message is delivered."""

OUTCOME = {
    "money": "select money from account where id = 1",
    "orders": "select count(*) from t_order",
    "stock": "select amount from stock where id = 1",
    "tasks_done": "select count(*) from task where status = 'done'",
    "t1_money": "select money from t1 where id = 1",
    "points": "select amount from points where user = 'ann'",
}


def run(mq: ferromq.Instance) -> dict[str, int]:
    """Delivers each message five times, and returns what became of the database."""
    # Transactions begin and end where the functions below say so.
    database = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
    database.executescript(TABLES)
    one_at_a_time = threading.Lock()

    mq.create_topic("ons_test", 4)
    ids = Snowflakes(1)
    with mq.producer(producer_group("payments")) as producer:
        for way in WAYS:
            # The same order sent again and again, as a producer does that did not hear the answer.
            message = ferromq.Message("ons_test", way, keys=f"ORDERID_{ids.next_id()}")
            for _ in range(COPIES):
                producer.send(message)

    arrived: queue.Queue[bool] = queue.Queue()

    def listen(message: ferromq.StoredMessage) -> ferromq.Action:
        order_id, way = message.keys[0], message.body.decode()
        with one_at_a_time:
            was_new = WAYS[way](database, order_id)
        print(f"{order_id} {way}: {'done' if was_new else 'was done already'}")
        arrived.put(was_new)
        return ferromq.Action.COMMIT

    with subscribe(mq, consumer_group("CID_IDEMPOTENT"), "ons_test", "*", listen):
        duplicates = [arrived.get(timeout=PATIENCE) for _ in range(len(WAYS) * COPIES)].count(False)
    outcome = {name: database.execute(sql).fetchone()[0] for name, sql in OUTCOME.items()}
    database.close()
    return {**outcome, "duplicates": duplicates}


def debit(database: sqlite3.Connection, order_id: str) -> bool:
    """100 yuan, once: the note that the order is paid and the payment stand in one transaction."""
    database.execute("begin")
    noted = database.execute("insert into paid values (?) on conflict do nothing", (order_id,)).rowcount
    if noted == 1:
        database.execute("update account set money = money - 100 where id = 1")
    database.execute("commit")
    return noted == 1


def insert(database: sqlite3.Connection, order_id: str) -> bool:
    """The unique key refuses the second insert, which means that the first was done."""
    try:
        database.execute("insert into t_order(order_id, status) values (?, 'new')", (order_id,))
    except sqlite3.IntegrityError:
        return False
    return True


def optimistic(database: sqlite3.Connection, order_id: str) -> bool:
    """The message was made from version 7; whoever comes second finds another version and changes nothing."""
    sql = "update stock set amount = amount - 1, version = version + 1 where id = 1 and version = 7"
    return database.execute(sql).rowcount == 1


def pessimistic(database: sqlite3.Connection, order_id: str) -> bool:
    """The row is locked before it is looked at: `select ... for update` elsewhere, an immediate transaction in SQLite."""
    database.execute("begin immediate")
    (status,) = database.execute("select status from task where id = 1").fetchone()
    if status == "new":
        database.execute("update task set status = 'done' where id = 1")
    database.execute("commit")
    return bool(status == "new")


def set_value(database: sqlite3.Connection, order_id: str) -> bool:
    """The old value stands in the condition: the second time no row has it."""
    return database.execute("update t1 set money = 150 where id = 1 and money = 100").rowcount == 1


def upsert(database: sqlite3.Connection, order_id: str) -> bool:
    """Sets what is to be, whatever was there: doing it again changes nothing."""
    sql = (
        "insert into points values ('ann', 30) on conflict(user) do update set amount = excluded.amount"
        " where amount <> excluded.amount"
    )
    return database.execute(sql).rowcount == 1


WAYS = {
    "debit": debit,
    "insert": insert,
    "optimistic": optimistic,
    "pessimistic": pessimistic,
    "set": set_value,
    "upsert": upsert,
}

if __name__ == "__main__":
    main(run)
