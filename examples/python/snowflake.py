"""Numbers that are unique over many machines without asking anyone: time, node and a counter in 64 bits."""

from __future__ import annotations

import threading
import time

BEGIN_MS = 1_704_067_200_000
"""2024-01-01, from which the milliseconds are counted."""


class Snowflakes:
    """Makes up to 4096 numbers a millisecond, each larger than the one before. Up to 1024 nodes make different ones."""

    def __init__(self, node: int) -> None:
        self._node = node & 1023
        self._lock = threading.Lock()
        self._ms, self._count = 0, 0

    def next_id(self) -> int:
        """The next number: 41 bits of milliseconds, 10 of the node, 12 of the counter."""
        with self._lock:
            # A clock that was set back does not matter: the time of the last number goes on counting.
            now = max(time.time_ns() // 1_000_000 - BEGIN_MS, self._ms)
            if now > self._ms:
                self._ms, self._count = now, 0
            elif self._count == 4095:
                self._ms, self._count = now + 1, 0
            else:
                self._count += 1
            return self._ms << 22 | self._node << 12 | self._count
