"""Totals, rates and freezes of one process that has no place to keep them: they end with it.

In: the keys of totals and rates, and the names of rules. Out: whether they have room, and whether they are frozen. It
raises nothing. Knows no policy and no requests.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Callable, NamedTuple, Sequence

BUCKETS = {3600: 60, 86400: 144}  # of a total, by its seconds


class _Window:
    """What was signed of a total, by buckets of time."""

    def __init__(self) -> None:
        self.buckets: dict[int, int] = {}

    def used(self, seconds: int, now: float) -> int:
        """At `now` in bucket k, buckets k - 60 (or k - 144) to k count, and later ones, if the clock went back."""
        number = BUCKETS[seconds]
        oldest = self.bucket(seconds, now) - number
        self.buckets = {bucket: amount for bucket, amount in self.buckets.items() if bucket >= oldest}
        return sum(self.buckets.values())

    def add(self, seconds: int, now: float, amount: int) -> None:
        bucket = self.bucket(seconds, now)
        self.buckets[bucket] = self.buckets.get(bucket, 0) + amount

    @staticmethod
    def bucket(seconds: int, now: float) -> int:
        return int(now // (seconds // BUCKETS[seconds]))


class Frozen(NamedTuple):
    """Since when a rule is frozen, in seconds since 1970, and by which user."""

    since: float
    uid: int


class Memory:
    """A Ledger. Safe for use by many threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: seconds."""
        self._clock = clock
        self._lock = threading.Lock()
        self._windows: dict[tuple[str, int], _Window] = {}
        self._rates: dict[str, deque[float]] = {}
        self.frozen: dict[str, Frozen] = {}

    def enter(self, rule: str) -> bool:
        return rule not in self.frozen

    def leave(self, rule: str) -> None:
        pass

    def reserve(
        self, totals: Sequence[tuple[str, int, int, int]], rate: tuple[str, int, int] | None
    ) -> tuple[int, int] | None:
        """As Ledger.reserve()."""
        with self._lock:
            now = self._clock()
            windows = [self._windows.setdefault((key, seconds), _Window()) for key, seconds, _, _ in totals]
            for index, (window, (_, seconds, limit, amount)) in enumerate(zip(windows, totals)):
                used = window.used(seconds, now)
                if used + amount > limit:
                    return index, max(limit - used, 0)
            if rate is not None and not self._take(rate, now):
                return len(totals), 0
            for window, (_, seconds, _, amount) in zip(windows, totals):
                window.add(seconds, now, amount)
        return None

    def _take(self, rate: tuple[str, int, int], now: float) -> bool:
        key, number, seconds = rate
        times = self._rates.get(key)
        if times is None or times.maxlen != number:  # another number than before a reload
            times = self._rates[key] = deque(times or (), maxlen=number)
        if len(times) == number and now - times[0] < seconds:
            return False
        times.append(now)
        return True
