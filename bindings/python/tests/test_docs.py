"""The examples in the docstrings, and the package's README."""

from __future__ import annotations

import doctest
import importlib
import pathlib
import re

import pytest

import ferromq

# What is re-exported from the native module says that it is of `ferromq`.
MODULES = ["ferromq", "ferromq.errors", "ferromq.logging"]


def examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    tests = [test for name in MODULES for test in finder.find(importlib.import_module(name), name)]
    return [pytest.param(test, id=test.name) for test in tests if test.examples]


@pytest.mark.parametrize("test", examples())
def test_docstring(test, mq):
    mq.create_topic("Orders")
    test.globs = {"ferromq": ferromq, "mq": mq}
    told = []
    results = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=told.append)
    assert results.failed == 0 and results.attempted > 0, "".join(told)


def test_the_classes_have_examples():
    names = {parameter.id.split(".")[-1] for parameter in examples()}
    assert {"Producer", "Consumer", "PushConsumer", "TransactionProducer", "Message", "open", "connect"} <= names


def test_everything_public_is_documented():
    bare = []
    for name in ferromq.__all__:
        one = getattr(ferromq, name)
        if isinstance(one, str):
            continue
        for part in [one, *(value for key, value in vars(one).items() if not key.startswith("_") and isinstance(one, type))]:
            if not isinstance(part, (int, str, tuple, type(None))) and not (getattr(part, "__doc__", None) or "").strip():
                bare.append(f"{name}: {part}")
    assert bare == []


def test_the_readme_runs_as_printed(tmp_path, script):
    readme = pathlib.Path(__file__).parent.parent / "README.md"
    (text,) = re.findall(r"```python\n(.*?)```", readme.read_text(), re.S)
    written, _ = script(text)
    assert written.splitlines()[0].startswith("SEND_OK") and written.splitlines()[1] == "b'two apples' ['order-1']"
