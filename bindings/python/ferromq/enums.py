"""The words of the library. Each is a `str` with Apache's word as its value, so either can be given."""

from __future__ import annotations

import enum

__all__ = [
    "Action",
    "AllocationStrategy",
    "CompressionType",
    "ConsumeStatus",
    "MessageModel",
    "OrderlyStatus",
    "PullStatus",
    "SendStatus",
    "StartFrom",
    "TransactionState",
]


class SendStatus(str, enum.Enum):
    """What became of a message that is stored."""

    OK = "SEND_OK"
    """As safe as the broker's modes promise."""
    FLUSH_TIMED_OUT = "FLUSH_DISK_TIMEOUT"
    """With SYNC_FLUSH: not known to be on disk in time."""
    SLAVE_TIMED_OUT = "FLUSH_SLAVE_TIMEOUT"
    """With SYNC_MASTER: not known to be at a slave in time."""
    NO_SLAVE = "SLAVE_NOT_AVAILABLE"
    """With SYNC_MASTER: there is no slave that could have it."""


class ConsumeStatus(str, enum.Enum):
    """How a concurrent listener ended."""

    SUCCESS = "CONSUME_SUCCESS"
    """The messages are consumed."""
    LATER = "RECONSUME_LATER"
    """They come again later."""


class OrderlyStatus(str, enum.Enum):
    """How an ordered listener ended."""

    SUCCESS = "SUCCESS"
    """The messages are consumed."""
    SUSPEND_CURRENT_QUEUE = "SUSPEND_CURRENT_QUEUE_A_MOMENT"
    """They come again after a pause, and nothing else of the queue before them."""


class Action(str, enum.Enum):
    """How a listener for single messages ended."""

    COMMIT = "CommitMessage"
    """The message is consumed."""
    LATER = "ReconsumeLater"
    """It comes again later."""


class TransactionState(str, enum.Enum):
    """How a local transaction ended."""

    COMMIT = "COMMIT_MESSAGE"
    """It is done: consumers get the message."""
    ROLLBACK = "ROLLBACK_MESSAGE"
    """It is not done and never will be: nobody gets the message."""
    UNKNOWN = "UNKNOW"
    """Not known yet: the broker asks again."""


class PullStatus(str, enum.Enum):
    """How a single pull ended."""

    FOUND = "FOUND"
    """There are messages."""
    NO_NEW_MESSAGES = "NO_NEW_MSG"
    """The queue ends at the offset."""
    NO_MATCHED = "NO_MATCHED_MSG"
    """There are messages, and none that is wanted up to `Pulled.next`."""
    OFFSET_ILLEGAL = "OFFSET_ILLEGAL"
    """The queue has no such offset; `Pulled.next` is the nearest that it has."""


class MessageModel(str, enum.Enum):
    """Who of a group gets a message (`message_model`)."""

    CLUSTERING = "CLUSTERING"
    """One of its members."""
    BROADCASTING = "BROADCASTING"
    """Every member; there are no retries."""


class StartFrom(str, enum.Enum):
    """Where a group begins that has not consumed yet (`consume_from_where`)."""

    FIRST = "CONSUME_FROM_FIRST_OFFSET"
    """With the first message there is."""
    LAST = "CONSUME_FROM_LAST_OFFSET"
    """With messages that are sent from now on."""
    TIMESTAMP = "CONSUME_FROM_TIMESTAMP"
    """With the first message stored at `consume_timestamp` or later."""


class AllocationStrategy(str, enum.Enum):
    """How the members of a group share its queues (`allocate_message_queue_strategy`); all need the same."""

    AVERAGELY = "AVG"
    BY_CIRCLE = "AVG_BY_CIRCLE"
    CONFIG = "CONFIG"
    MACHINE_ROOM = "MACHINE_ROOM"
    NEARBY = "MACHINE_ROOM_NEARBY"
    CONSISTENT_HASH = "CONSISTENT_HASH"


class CompressionType(str, enum.Enum):
    """How bodies are compressed (`compress_type`)."""

    ZLIB = "ZLIB"
    LZ4 = "LZ4"
    ZSTD = "ZSTD"
