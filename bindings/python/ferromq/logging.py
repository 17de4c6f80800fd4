"""Logging both ways: the library's messages in `logging`, and log records as messages of a topic.

What the library has to say goes to the logger `ferromq` and its children (`ferromq.client`, `ferromq.broker`,
`ferromq.store`...), from warnings on unless `set_log_level` says otherwise.

`TopicHandler` sends the records of a program to a topic:

>>> import logging
>>> mq.create_topic("Logs")
>>> logger = logging.getLogger("shop")
>>> handler = ferromq.logging.TopicHandler(mq, "Logs")
>>> logger.addHandler(handler)
>>> logger.warning("no %s left", "apples")
>>> with mq.consumer("log-readers", consume_from_where="CONSUME_FROM_FIRST_OFFSET") as consumer:
...     consumer.subscribe("Logs", "WARNING || ERROR")
...     message = consumer.poll(60)[0]
>>> message.body, message.tag, message.user_properties["logger"]
(b'no apples left', 'WARNING', 'shop')
>>> logger.removeHandler(handler)
>>> handler.close()
"""

from __future__ import annotations

import logging as _logging

from . import _native

__all__ = ["TRACE", "TopicHandler", "set_log_level"]

TRACE = 5
"""The level below DEBUG: what the library does in detail."""


def set_log_level(level: int | str) -> None:
    """Sets from which level on the library's messages reach `logging`: a number or a name of `logging`, or `"TRACE"`.

    Whether they are shown is up to the loggers: `logging.getLogger("ferromq").setLevel(...)`.
    """
    if isinstance(level, str):
        number = TRACE if level.upper() == "TRACE" else _logging.getLevelName(level.upper())
        if not isinstance(number, int):
            raise ValueError(f"{level!r} is no level; levels are ERROR, WARNING, INFO, DEBUG and TRACE")
        level = number
    _native._set_level(level)


def _write(lines: list[tuple[int, str, str, float]], dropped: int) -> None:
    """Writes lines of the library: level, target, text, time."""
    for level, target, text, time in lines:
        logger = _logging.getLogger(".".join(target.split("::")[:2]))
        if logger.isEnabledFor(level):
            record = logger.makeRecord(logger.name, level, "(ferromq)", 0, text, (), None)
            record.created, record.msecs = time, (time % 1) * 1000
            logger.handle(record)
    if dropped:
        _logging.getLogger("ferromq").warning("%d lines of the log were dropped: too many at once", dropped)


class TopicHandler(_logging.Handler):
    """Sends log records to a topic: the formatted record is the body, its level the tag; the properties `logger`,
    `level`, `thread` and `created` (ms since 1970) say where it is from.

    `target` is an `Instance`, which gets a producer of `group` that is closed with the handler, or a `Producer`. Records
    are sent without waiting, and by default without an answer (`oneway`): a program does not stop because its log cannot
    be sent. Without `oneway` what fails is reported as `logging` does (`handleError`). Records of the library itself are
    passed over: sending them could make others.
    """

    def __init__(
        self,
        target: _native.Instance | _native.Producer,
        topic: str,
        *,
        group: str = "log-producers",
        level: int | str = _logging.NOTSET,
        oneway: bool = True,
    ) -> None:
        super().__init__(level)
        self._own = isinstance(target, _native.Instance)
        self._producer = target.producer(group) if isinstance(target, _native.Instance) else target
        self._topic = topic
        self._oneway = oneway

    def emit(self, record: _logging.LogRecord) -> None:
        """Sends a record."""
        if record.name == "ferromq" or record.name.startswith("ferromq."):
            return
        try:
            message = self.message(record)
            if self._oneway:
                self._producer.send_oneway(message)
            else:
                self._producer.send_callback(message, callback=lambda sent, error: self._told(record, error))
        except Exception:
            self.handleError(record)

    def message(self, record: _logging.LogRecord) -> _native.Message:
        """The message of a record; override it for another form."""
        properties = {
            "logger": record.name,
            "level": record.levelname,
            "thread": record.threadName or str(record.thread),
            "created": str(int(record.created * 1000)),
        }
        return _native.Message(self._topic, self.format(record), tag=record.levelname, properties=properties)

    def _told(self, record: _logging.LogRecord, error: BaseException | None) -> None:
        if error is not None:
            try:
                raise error
            except Exception:
                self.handleError(record)

    def close(self) -> None:
        """Waits for what is under way, and closes the producer if it is the handler's own."""
        if self._own:
            try:
                self._producer.close()
            except Exception as error:
                _logging.getLogger("ferromq").warning("a log handler was closed: %s", error)
        super().close()
