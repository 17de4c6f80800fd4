"""Fixtures for pytest: a broker of one's own for each test, in memory.

    def test_orders(ferromq_broker):
        with ferromq.connect(ferromq_broker.name_servers) as mq:
            mq.producer("shop").send("Orders", b"two apples")

Settings of the broker come from a marker: `@pytest.mark.ferromq(message_delay_level="1s 2s")`.
"""

from __future__ import annotations

import typing

import pytest

if typing.TYPE_CHECKING:
    import ferromq

__all__ = ["ferromq_broker", "ferromq_mq"]


def pytest_configure(config: pytest.Config) -> None:
    """Makes the marker known."""
    line = "ferromq(**options): settings of the broker of the fixtures ferromq_broker and ferromq_mq"
    config.addinivalue_line("markers", line)


def _options(request: pytest.FixtureRequest) -> dict[str, typing.Any]:
    options: dict[str, typing.Any] = {}
    # The nearest marker counts most.
    for marker in reversed(list(request.node.iter_markers("ferromq"))):
        options.update(marker.kwargs)
    return options


@pytest.fixture
def ferromq_mq(request: pytest.FixtureRequest) -> typing.Iterator[ferromq.Instance]:
    """An instance in memory, for this process alone."""
    import ferromq

    with ferromq.open(memory=True, **_options(request)) as mq:
        yield mq


@pytest.fixture
def ferromq_broker(request: pytest.FixtureRequest) -> typing.Iterator[ferromq.Instance]:
    """An instance in memory that listens on free ports: clients connect to its `name_servers`."""
    import ferromq

    with ferromq.open(memory=True, **{"listen": "free", **_options(request)}) as mq:
        yield mq
