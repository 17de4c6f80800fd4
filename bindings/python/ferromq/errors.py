"""What calls raise: one class a kind of error, all of them an `Error`.

Where Python has an exception for the same thing, the class is one of these, too: a `TimeoutError` of this module is
caught by `except TimeoutError`, an `InvalidArgumentError` by `except ValueError`.

>>> try:
...     mq.queues("NoSuchTopic")
... except ferromq.errors.NotFoundError as error:
...     print(error.kind.name, error.is_retriable)
NOT_FOUND False
"""

from __future__ import annotations

import builtins
import enum
import typing

__all__ = [
    "ClosedError",
    "ConnectionError",
    "CorruptError",
    "Error",
    "ErrorKind",
    "ForkedError",
    "InUseError",
    "InternalError",
    "InvalidArgumentError",
    "IoError",
    "LimitExceededError",
    "NoPermissionError",
    "NotFoundError",
    "NotWritableError",
    "RemoteError",
    "TimeoutError",
    "UnsupportedError",
]


class ErrorKind(enum.IntEnum):
    """What kind of failure an error is. The numbers are fixed."""

    INVALID_ARGUMENT = 1
    IO = 2
    CORRUPT = 3
    TIMEOUT = 4
    CONNECTION = 5
    CLOSED = 6
    NOT_FOUND = 7
    NO_PERMISSION = 8
    LIMIT_EXCEEDED = 9
    IN_USE = 10
    NOT_WRITABLE = 11
    REMOTE = 12
    UNSUPPORTED = 13
    INTERNAL = 14
    FORKED = 15


class Error(Exception):
    """What went wrong, on what, and the way out. The classes below say what kind of failure it is."""

    kind: ErrorKind = ErrorKind.INTERNAL
    """What kind of failure it is."""
    operation: str | None = None
    """What was being done."""
    context: str | None = None
    """The thing, the value, and the way out; without operation and cause."""
    code: int | None = None
    """The response code of the protocol, where a broker or name server answered with one."""
    is_retriable: bool = False
    """Whether the same call may succeed when repeated, perhaps on another broker."""
    topic: str | None = None
    """Of a failed send: the message's topic."""
    message_id: str | None = None
    """Of a failed send: the message's unique id, under which it can be looked up; of a batch those of all, joined by
    commas."""
    broker: str | None = None
    """Of a failed send: the broker that was tried last."""
    attempts: int = 0
    """Of a failed send: how often it was tried."""

    def __reduce__(self) -> tuple[typing.Any, ...]:
        return _restore, (type(self), self.args, self.__dict__)


class InvalidArgumentError(Error, ValueError):
    """An argument or setting is not usable as given."""

    kind = ErrorKind.INVALID_ARGUMENT


class IoError(Error, OSError):
    """The operating system refused: file, socket, disk full."""

    kind = ErrorKind.IO


class CorruptError(Error):
    """Bytes do not have the form they should: a frame, a record, a file."""

    kind = ErrorKind.CORRUPT


class TimeoutError(Error, builtins.TimeoutError):
    """The call did not end within its time."""

    kind = ErrorKind.TIMEOUT


class ConnectionError(Error, builtins.ConnectionError):
    """The peer could not be reached, or the connection broke while waiting."""

    kind = ErrorKind.CONNECTION


class ClosedError(Error):
    """The object was closed."""

    kind = ErrorKind.CLOSED


class NotFoundError(Error, LookupError):
    """The thing asked for does not exist: topic, route, group, message."""

    kind = ErrorKind.NOT_FOUND


class NoPermissionError(Error, PermissionError):
    """Permission missing."""

    kind = ErrorKind.NO_PERMISSION


class LimitExceededError(Error):
    """A limit was reached: frame size, memory, connections."""

    kind = ErrorKind.LIMIT_EXCEEDED


class InUseError(Error):
    """The data directory or the port is in use by another process."""

    kind = ErrorKind.IN_USE


class NotWritableError(Error):
    """The store does not take writes: disk full, failed write, shutting down."""

    kind = ErrorKind.NOT_WRITABLE


class RemoteError(Error):
    """The peer answered with an error code of the protocol, which is `code`."""

    kind = ErrorKind.REMOTE


class UnsupportedError(Error, NotImplementedError):
    """The peer does not support the request."""

    kind = ErrorKind.UNSUPPORTED


class InternalError(Error):
    """A defect of the library itself."""

    kind = ErrorKind.INTERNAL


class ForkedError(Error):
    """The process was made by fork from the one that this object belongs to: open or connect anew."""

    kind = ErrorKind.FORKED


_CLASSES: dict[int, type[Error]] = {
    one.kind: one
    for one in (
        InvalidArgumentError,
        IoError,
        CorruptError,
        TimeoutError,
        ConnectionError,
        ClosedError,
        NotFoundError,
        NoPermissionError,
        LimitExceededError,
        InUseError,
        NotWritableError,
        RemoteError,
        UnsupportedError,
        InternalError,
        ForkedError,
    )
}


def _restore(kind: type[Error], args: tuple[object, ...], state: dict[str, object]) -> Error:
    error = kind(*args)
    error.__dict__.update(state)
    return error


def _from_native(
    kind: int,
    text: str,
    operation: str,
    context: str,
    code: int | None,
    is_retriable: bool,
    send: tuple[str | None, str | None, str | None, int],
) -> Error:
    error = _CLASSES.get(kind, Error)(text)
    error.operation = operation
    error.context = context
    error.code = code
    error.is_retriable = is_retriable
    error.topic, error.message_id, error.broker, error.attempts = send
    return error
