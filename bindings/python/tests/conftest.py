"""Where the scenarios run: within the process, over TCP against a server of this process, and against a cluster that
`FERROMQ_SCENARIO_ADDR` names."""

from __future__ import annotations

import collections
import itertools
import os
import subprocess
import sys
import threading
import time
import uuid

import pytest

import ferromq

PATIENCE = 60
"""Seconds after which what is sure to happen has not."""

FIRST = {"consume_from_where": ferromq.StartFrom.FIRST}


def eventually(condition, what="it"):
    """Waits until a condition holds."""
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, f"{what} did not happen within {PATIENCE} s"
        time.sleep(0.005)


class Inbox:
    """What a listener got."""

    def __init__(self):
        self.messages = []
        self.arrived = threading.Condition()

    def __call__(self, message):
        with self.arrived:
            self.messages.append(message)
            self.arrived.notify_all()

    def expect(self, count):
        """The bodies, sorted, as soon as there are so many."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.messages) >= count, PATIENCE), self.messages
            return sorted(message.body.decode() for message in self.messages)


class Stage:
    """A place, and names that no other test uses there."""

    def __init__(self, mq, connect):
        self.mq = mq
        self.connect = connect
        self.names = collections.defaultdict(lambda: f"py-{uuid.uuid4().hex[:12]}")

    def topic(self, queues=4):
        """A new topic."""
        name = f"T{uuid.uuid4().hex[:12]}"
        eventually(lambda: self._made(name, queues), f"topic {name} made")
        # A cluster may take a moment to tell its name servers.
        eventually(lambda: self._known(name), f"topic {name}")
        return name

    def _made(self, name, queues):
        try:
            self.mq.create_topic(name, queues)
            return True
        except ferromq.errors.TimeoutError:
            # A cluster that has just started is slow.
            return False

    def _known(self, name):
        try:
            return bool(self.mq.queues(name))
        except (ferromq.errors.NotFoundError, ferromq.errors.TimeoutError):
            return False

    def group(self, name="G"):
        """A group; the same for the same name."""
        return self.names[name]


LEVELS = " ".join(["1s"] * 18)
QUICK = {"message_delay_level": LEVELS, "transaction_check_interval": 1000}
PLACES = ["embedded", "tcp"] + (["cluster"] if os.environ.get("FERROMQ_SCENARIO_ADDR") else [])


@pytest.fixture(params=PLACES)
def stage(request):
    """The scenario list runs at each place."""
    if request.param == "cluster":
        address = os.environ["FERROMQ_SCENARIO_ADDR"]
        with ferromq.connect(address) as mq:
            yield Stage(mq, lambda: ferromq.connect(address))
        return
    listen = {"embedded": None, "tcp": "free"}[request.param]
    with ferromq.open(memory=True, listen=listen, **QUICK) as server:
        if request.param == "embedded":
            yield Stage(server, lambda: server)
        else:
            with ferromq.connect(server.name_servers) as mq:
                yield Stage(mq, lambda: ferromq.connect(server.name_servers))


@pytest.fixture
def mq():
    """An instance in memory."""
    with ferromq.open(memory=True, **QUICK) as mq:
        yield mq


numbers = itertools.count()


@pytest.fixture
def script(tmp_path):
    """Runs a program in a process of its own; returns what it wrote. It must end by itself, orderly."""

    def run(text, *arguments, timeout=PATIENCE, returncode=0, **environment):
        path = tmp_path / f"script{next(numbers)}.py"
        path.write_text(text)
        command = [sys.executable, "-X", "faulthandler", str(path), *map(str, arguments)]
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, cwd=tmp_path, env={**os.environ, **environment}
        )
        assert ended.returncode == returncode, f"{ended.returncode}\n{ended.stdout}\n{ended.stderr}"
        return ended.stdout, ended.stderr

    return run
