"""Logging both ways."""

from __future__ import annotations

import logging

import pytest

import ferromq
from conftest import FIRST, PATIENCE, Inbox, eventually


def test_the_library_writes_to_logging(caplog):
    with ferromq.open(memory=True) as mq:
        mq.create_topic("T", 1)
        consumer = mq.push_consumer("G", **FIRST)
        consumer.subscribe("NoSuchTopic")
        consumer.listen(lambda messages: None)
        consumer.start()
        eventually(lambda: any("NoSuchTopic" in record.getMessage() for record in caplog.records))
    record = next(record for record in caplog.records if "NoSuchTopic" in record.getMessage())
    assert record.levelno == logging.WARNING and record.name == "ferromq.client"


def test_levels(caplog):
    caplog.set_level(1, "ferromq")
    try:
        ferromq.set_log_level("INFO")
        with ferromq.open(memory=True):
            pass
        eventually(lambda: any(record.levelno == logging.INFO for record in caplog.records))
        assert all(record.levelno >= logging.INFO for record in caplog.records if record.name.startswith("ferromq"))
        for level in ("nonsense", "NOTHING"):
            with pytest.raises(ValueError):
                ferromq.set_log_level(level)
    finally:
        ferromq.set_log_level(logging.WARNING)


@pytest.mark.parametrize("oneway", [True, False])
def test_records_become_messages(mq, oneway):
    mq.create_topic("Logs", 1)
    logger = logging.getLogger(f"shop.{oneway}")
    logger.setLevel(logging.DEBUG)
    handler = ferromq.logging.TopicHandler(mq, "Logs", oneway=oneway)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.debug("a %d", 1)
    logger.error("b")
    logging.getLogger("ferromq.own").error("not this")
    try:
        raise KeyError("lost")
    except KeyError:
        logger.exception("c")
    logger.removeHandler(handler)
    handler.close()
    inbox = Inbox()
    consumer = mq.push_consumer("G", **FIRST)
    consumer.subscribe("Logs")
    consumer.listen_one(inbox)
    consumer.start()
    bodies = inbox.expect(3)
    assert bodies[:2] == ["DEBUG a 1", "ERROR b"] and bodies[2].startswith("ERROR c\nTraceback")
    properties = [message.user_properties for message in inbox.messages]
    assert {one["logger"] for one in properties} == {logger.name} and {one["level"] for one in properties} == {"DEBUG", "ERROR"}


def test_a_log_that_cannot_be_sent_does_not_stop_the_program(mq, monkeypatch):
    handled = []
    producer = mq.producer("P")
    handler = ferromq.logging.TopicHandler(producer, "Logs", level="INFO", oneway=False)
    monkeypatch.setattr(handler, "handleError", handled.append)
    producer.close()
    logger = logging.getLogger("shop.failing")
    logger.addHandler(handler)
    logger.warning("into the void")
    logger.removeHandler(handler)
    eventually(lambda: handled)
    handler.close()
