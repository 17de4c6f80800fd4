"""What is open, so that it is closed when the interpreter ends."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import typing
import weakref

from . import _native

CLOSE_WITHIN = 10.0
"""Seconds that all instances together may take at the end: a listener that hangs does not keep the process."""

_live: weakref.WeakSet[_native.Instance] = weakref.WeakSet()
_ends_in = 0


def add(instance: _native.Instance) -> _native.Instance:
    """Remembers an instance for the end."""
    _live.add(instance)
    _end_with_multiprocessing()
    return instance


def _end_with_multiprocessing() -> None:
    """Children of multiprocessing end without atexit, but have an end of their own."""
    global _ends_in
    process: typing.Any = sys.modules.get("multiprocessing.process")
    if process is None or process.parent_process() is None or _ends_in == os.getpid():
        return
    from multiprocessing import util

    util.Finalize(None, close_all, exitpriority=10)
    _ends_in = os.getpid()


def close_all() -> None:
    """Closes what is open, and ends the native threads that use the interpreter."""
    instances = list(_live)
    try:
        for instance in instances:
            try:
                instance.close(CLOSE_WITHIN / len(instances))
            except Exception as error:  # The others are to be closed all the same.
                logging.getLogger("ferromq").warning("at the end of the process: %s", error)
    finally:
        # Also when somebody is impatient (Ctrl-C).
        _native._stop()


def _in_child() -> None:
    """After fork: what is open is the parent's."""
    _native._after_fork()
    _live.clear()


atexit.register(close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_native._before_fork, after_in_parent=_native._after_fork, after_in_child=_in_child
    )
