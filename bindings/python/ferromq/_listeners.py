"""Functions of the user's, made ready to be called by threads of the library."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import inspect
import logging
import typing

Function = typing.Callable[..., typing.Any]

LOOK = 0.5
"""How often, in seconds, who waits for a coroutine looks whether its loop is closed."""


def adapt(listener: Function) -> tuple[Function, bool]:
    """A function that can be called on any thread, and whether it takes a context as second argument."""
    return blocking(listener), _wants_context(listener)


def _wants_context(listener: Function) -> bool:
    try:
        parameters = inspect.signature(listener).parameters.values()
    except (TypeError, ValueError):
        return False  # Built-in functions such as list.append may not tell.
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    # A second parameter with a default is something of the user's own, such as a bound loop variable.
    needed = [one for one in parameters if one.kind in positional and one.default is one.empty]
    return len(needed) >= 2


def blocking(function: Function) -> Function:
    """A function that waits for a coroutine function, which runs on the loop that runs now; any other as it is."""
    if not callable(function):
        raise TypeError(f"give a function, not {type(function).__name__}")
    call = getattr(function, "__call__", None)
    if not (inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)):
        return function
    loop = asyncio.get_running_loop()

    @functools.wraps(function)
    def wait(*arguments: object) -> object:
        coroutine = function(*arguments)
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        except RuntimeError:
            coroutine.close()  # The loop is closed.
            raise
        return _result(future, loop)

    return wait


def _result(future: concurrent.futures.Future[typing.Any], loop: asyncio.AbstractEventLoop) -> object:
    """What a coroutine returns. A loop that was closed before it came to it never will."""
    while True:
        try:
            return future.result(LOOK)
        except concurrent.futures.TimeoutError:
            if future.done():  # It is the coroutine's own, or has just ended.
                return future.result()
        if loop.is_closed():
            future.cancel()
            raise RuntimeError("the event loop of a listener was closed before the listener ran to its end")


def report(function: Function, error: BaseException) -> None:
    """Logs what a function raised."""
    name = getattr(function, "__qualname__", None) or repr(function)
    logging.getLogger("ferromq.listener").error("%s failed: %r", name, error, exc_info=error)
