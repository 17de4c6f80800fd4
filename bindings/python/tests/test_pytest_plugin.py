"""The fixtures that users of the package get."""

from __future__ import annotations

pytest_plugins = ["pytester"]

TEST = """
import pytest, ferromq

def test_broker(ferromq_broker):
    with ferromq.connect(ferromq_broker.name_servers) as mq:
        assert mq.producer("P").send("Orders", b"x").status is ferromq.SendStatus.OK

def test_each_test_has_its_own(ferromq_broker):
    with pytest.raises(ferromq.errors.NotFoundError):
        ferromq_broker.queues("Orders")

@pytest.mark.ferromq(message_delay_level="1s", auto_create_topic_enable=False)
def test_options(ferromq_mq):
    assert ferromq_mq.listening is None
    with pytest.raises(ferromq.Error):
        ferromq_mq.producer("P").send("Orders", b"x")
"""


def test_fixtures(pytester):
    pytester.makepyfile(TEST)
    pytester.runpytest_subprocess("--strict-markers", "-p", "no:cacheprovider").assert_outcomes(passed=3)
