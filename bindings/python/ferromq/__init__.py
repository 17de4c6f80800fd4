"""A durable message queue in your process, and a client of clusters: Apache RocketMQ's and FerroMQ's.

>>> mq = ferromq.open(memory=True)                   # or a directory: ferromq.open("./data")
>>> mq.create_topic("Orders")
>>> with mq.producer("shop") as producer:
...     sent = producer.send("Orders", b"two apples", keys="order-1")
>>> with mq.consumer("billing", consume_from_where="CONSUME_FROM_FIRST_OFFSET") as consumer:
...     consumer.subscribe("Orders")
...     for message in consumer:
...         print(message.body, message.keys)
...         break
b'two apples' ['order-1']
>>> mq.close()

`open` has name server, broker and client in this process; no socket is opened unless it is told to listen.
`connect` makes a client of a cluster. All that follows is the same for both: `Instance.producer`,
`Instance.transaction_producer`, `Instance.push_consumer` (calls a listener), `Instance.consumer` (is asked, or iterated
over). With asyncio, `send_async`, `poll_async`, `async for` and `async with` are on the same objects.

Every call that can fail raises an `Error`, by its kind one of `ferromq.errors`. What is not used any more is closed by
`close` or a `with` block; what is left is closed when the interpreter ends. After `os.fork` the child opens or connects
anew.
"""

from __future__ import annotations

import os as _os
import typing as _t

from . import _lifetime, _native, errors, logging
from ._native import (
    Admin,
    ConsumeContext,
    Consumer,
    Instance,
    Message,
    MessageQueue,
    OrderlyContext,
    Producer,
    Pulled,
    PushConsumer,
    Sent,
    StoredMessage,
    Subscription,
    TransactionProducer,
    TransactionSent,
    __version__,
)
from .enums import (
    Action,
    AllocationStrategy,
    CompressionType,
    ConsumeStatus,
    MessageModel,
    OrderlyStatus,
    PullStatus,
    SendStatus,
    StartFrom,
    TransactionState,
)
from .errors import Error, ErrorKind
from .logging import set_log_level

__all__ = [
    "Action",
    "Admin",
    "AllocationStrategy",
    "CompressionType",
    "ConsumeContext",
    "ConsumeStatus",
    "Consumer",
    "Error",
    "ErrorKind",
    "Instance",
    "Message",
    "MessageModel",
    "MessageQueue",
    "OrderlyContext",
    "OrderlyStatus",
    "Producer",
    "PullStatus",
    "Pulled",
    "PushConsumer",
    "SendStatus",
    "Sent",
    "StartFrom",
    "StoredMessage",
    "Subscription",
    "TransactionProducer",
    "TransactionSent",
    "TransactionState",
    "__version__",
    "connect",
    "errors",
    "logging",
    "open",
    "set_log_level",
]


def open(
    path: str | _os.PathLike[str] | None = None,
    *,
    memory: bool = False,
    listen: bool | str | tuple[str, int, int] | None = None,
    **options: _t.Any,
) -> Instance:
    """Opens a durable message queue in a directory, or one in memory: name server, broker and client in this process.

    The directory is a store of Apache RocketMQ's format and is made if missing; no other process can have it meanwhile.

    No socket is opened unless `listen` says so: `True` at 127.0.0.1 with Apache's ports 9876 and 10911, `"free"` with free
    ports, or host, port of the name server and port of the broker, as a tuple or as `"host:port:port"`; port 0 is a free
    one. Then other processes can join by `connect(mq.name_servers)`, Apache's clients too.

    Options are those of broker, name server and client, in snake_case or as Apache writes them:
    `flush_disk_type="SYNC_FLUSH"` or `flushDiskType=...`; times are milliseconds or a `timedelta`. `docs/settings.md` and
    `docs/client.md` list them.

    >>> with ferromq.open(memory=True, listen="free", message_delay_level="1s 2s") as mq:
    ...     mq.name_servers == f"127.0.0.1:{mq.listening[0]}"
    True
    """
    if (path is None) == (not memory):
        raise errors.InvalidArgumentError("open: give a directory or memory=True, one of them")
    if isinstance(listen, tuple):
        listen = ":".join(map(str, listen))
    options["listen"] = listen
    return _lifetime.add(_native._open(path, options))


def connect(name_servers: str = "", **options: _t.Any) -> Instance:
    """A client of a cluster, FerroMQ's or Apache's, by its name servers: `host:port`, several separated by `;`.

    Without any, those of the environment variable `NAMESRV_ADDR`. Connects when first needed. Options are those of the
    client, as with `open`.

    >>> mq = ferromq.connect("127.0.0.1:9876;127.0.0.2:9876", instance_name="reports")
    >>> mq.name_servers
    '127.0.0.1:9876;127.0.0.2:9876'
    """
    return _lifetime.add(_native._connect(name_servers, options))
