"""Every example is run: within this process on a server in memory whose delay levels are short, and as a program."""

from __future__ import annotations

import concurrent.futures
import importlib
import os
import pathlib
import sqlite3
import subprocess
import sys

import pytest

import ferromq
from conftest import PATIENCE

EXAMPLES = pathlib.Path(__file__).parents[3] / "examples" / "python"
HELPERS = {"common", "snowflake"}


@pytest.fixture(autouse=True)
def path(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    for name in ("NAMESRV_ADDR", "PRODUCER_GROUP", "CONSUMER_GROUP"):
        monkeypatch.delenv(name, raising=False)


def example(name):
    return importlib.import_module(name)


EXPECTED = {
    "quickstart": lambda bodies: sorted(bodies) == [f"hello {number}" for number in range(10)],
    "quickstart_asyncio": lambda bodies: sorted(bodies) == [f"hello {number}" for number in range(10)],
    "quickstart_producer": lambda count: count == 10_001,
    "producer": lambda counts: counts == {"sync": 2, "async": 3, "oneway": 100},
    "retry": lambda deliveries: sorted(deliveries)
    == [(body, times) for body in ("answer False", "answer later", "raise") for times in (0, 1)],
    "no_retry": lambda count: count == 5,
    "idempotent": lambda outcome: outcome
    == {"money": 900, "orders": 1, "stock": 49, "tasks_done": 1, "t1_money": 150, "points": 30, "duplicates": 24},
    "dedup": lambda total: total == sum(range(50)),
    "flag_ttl": lambda worked: worked == 3,
    "filter_tag": lambda tags: tags == ["TAGA", "TAGB", "TAGC"],
    "filter_sql": lambda values: values == ["0", "1", "2", "3"],
    "ordered": lambda count: count == 400,
    "order_timeout": lambda stock: stock == 8,
    "transaction": lambda cleared: cleared == {"order 1", "order 3 with a slow answer"},
    "points": lambda deliveries: deliveries == {"points": 6, "activity": 3, "coupons": 3},
    "pull": lambda bodies: bodies == [str(number) for number in range(100)],
    "logappender": lambda lines: lines
    == ["example.shop WARNING 3 apples left", "example.shop ERROR no pears left"],
}
APART = {"consumer", "delay", "broadcast", "embed_and_serve"}


@pytest.mark.parametrize("name", EXPECTED)
def test_example(name, mq, capsys):
    result = example(name).run(mq)
    assert EXPECTED[name](result), result
    if name == "quickstart_producer":
        assert sum(mq.max_offset(queue) for queue in mq.queues("topic_example_java")) == 10_001
        assert capsys.readouterr().out.count("result of the send: SEND_OK") == 10_001
        assert example("consumer").run(mq) == 10_001
    if name == "no_retry":
        assert not any("%RETRY%" in topic and mq.admin().topic(topic)["messages"] for topic in mq.admin().all_topics())


def test_delay(mq):
    assert len(example("delay").run(mq, expected=1)) == 100


def test_a_flag_is_forgotten(mq):
    assert example("flag_ttl").run(mq, keep=0) == 6


def test_broadcast():
    assert example("broadcast").run() == [(member, f"reload {n}") for member in (0, 1) for n in range(5)]


def test_embed_and_serve(tmp_path):
    assert example("embed_and_serve").run() == "over the network"
    assert example("embed_and_serve").run(str(tmp_path / "data")) == "over the network"


def test_all_examples_are_here():
    names = {file.stem for file in EXAMPLES.glob("*.py")} - HELPERS
    assert names == set(EXPECTED) | APART
    rust = EXAMPLES.parent / "rust" / "src"
    assert {file.stem for file in rust.glob("*.rs")} - {"lib", "main", "snowflake"} <= names


def test_snowflakes():
    nodes = [example("snowflake").Snowflakes(node) for node in (1, 2)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        made = pool.map(lambda node: [nodes[node].next_id() for _ in range(5_000)], [0, 0, 1, 1])
        assert len({one for ids in made for one in ids}) == 20_000


def program(name, *arguments, **environment):
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})


def test_as_a_program_with_a_directory_and_with_a_cluster(tmp_path):
    for end in (100, 200):
        # The second run finds what the first one left.
        with program("pull", tmp_path / "data") as child:
            written, _ = child.communicate(timeout=PATIENCE)
        assert child.returncode == 0 and f"the queue ends at {end}" in written
    with ferromq.open(memory=True, listen="free") as server:
        settings = {"NAMESRV_ADDR": server.name_servers, "CONSUMER_GROUP": "mine", "PRODUCER_GROUP": "ours"}
        with program("quickstart", **settings) as child:
            written, _ = child.communicate(timeout=PATIENCE)
        assert child.returncode == 0 and written.count("received: hello") == 10
        assert server.admin().groups() == ["mine"]


def test_dedup_killed_between_its_steps_neither_doubles_nor_drops(tmp_path):
    database = tmp_path / "dedup.sqlite"
    settings = {"DEDUP_DATABASE": str(database)}
    for step in ["begin", "worked", "marked", "done", "worked"]:
        # With pauses that leave something to do for the next run, however late this one is killed.
        with program("dedup", tmp_path / "data", DEDUP_PAUSE_MS="100", **settings) as child:
            assert any(line.startswith(step) for line in child.stdout), f"it ended before {step}"
            child.kill()
    with program("dedup", tmp_path / "data", **settings) as child:
        child.communicate(timeout=PATIENCE)
    assert child.returncode == 0
    found = sqlite3.connect(database).execute("select count(*), count(distinct message_key), sum(amount) from result")
    assert found.fetchone() == (50, 50, sum(range(50)))
