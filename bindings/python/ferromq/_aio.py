"""The parts of asyncio that are nicer in Python."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import typing

from . import errors

if typing.TYPE_CHECKING:
    from ._native import Consumer, StoredMessage

T = typing.TypeVar("T")


async def value(one: T) -> T:
    """What `async with` enters."""
    return one


async def in_thread(call: typing.Callable[..., T], *arguments: object, **keywords: object) -> T:
    """Runs a call that waits on a thread of the loop's executor."""
    context = contextvars.copy_context()
    run = functools.partial(context.run, call, *arguments, **keywords)
    return await asyncio.get_running_loop().run_in_executor(None, run)


async def poll(consumer: Consumer, timeout: float | None, count: int | None) -> list[StoredMessage]:
    """The next messages. They are taken when this coroutine goes on and has them at once: a task that is cancelled while
    it waits has taken none."""
    loop = asyncio.get_running_loop()
    if not consumer._started:
        await in_thread(consumer.start)
    polling = consumer._polling(count)
    until = None if timeout is None else loop.time() + timeout
    try:
        while True:
            worth_looking = loop.create_future()
            messages = polling.step(worth_looking)
            if messages is not None:
                return messages
            if until is None:
                await worth_looking
            elif not await _done(worth_looking, until - loop.time()):
                return []
    finally:
        polling.end()


async def _done(future: asyncio.Future[None], timeout: float) -> bool:
    """Whether a future is done in time."""
    if timeout <= 0:
        return False
    done, _ = await asyncio.wait((future,), timeout=timeout)
    return bool(done)


async def next_message(consumer: Consumer) -> StoredMessage:
    """One step of `async for`, which ends when the consumer is closed."""
    try:
        while True:
            messages = await poll(consumer, None, 1)
            if messages:
                return messages[0]
    except errors.ClosedError:
        raise StopAsyncIteration from None
