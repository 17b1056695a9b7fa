"""Totals, rates and freezes of one process that has no place to keep them: they end with it.

In: the keys of totals and rates, and the names of rules. Out: whether they have room, and whether they are frozen. It
raises nothing. Knows no policy and no requests.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from typing import Callable, Mapping, NamedTuple, Sequence

BUCKETS = {3600: 60, 86400: 144}  # of a total, by its seconds


class _Window:
    """What was signed of a total, by buckets of time."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        self.buckets: dict[int, int] = {}

    def used(self, seconds: int, now: float) -> int:
        """At `now` in bucket k, buckets k - 60 (or k - 144) to k count, and later ones, if the clock went back."""
        oldest = self._bucket(now) - BUCKETS[self.seconds]
        self.buckets = {bucket: amount for bucket, amount in self.buckets.items() if bucket >= oldest}
        used = sum(self.buckets.values())
        if seconds != self.seconds:  # another span than before a reload: everything spent so far counts as spent now
            self.seconds = seconds
            self.buckets = {self._bucket(now): used}
        return used

    def copy(self) -> _Window:
        other = _Window(self.seconds)
        other.buckets = dict(self.buckets)
        return other

    def add(self, now: float, amount: int) -> None:
        bucket = self._bucket(now)
        self.buckets[bucket] = self.buckets.get(bucket, 0) + amount

    def _bucket(self, now: float) -> int:
        return int(now // (self.seconds // BUCKETS[self.seconds]))


class Frozen(NamedTuple):
    """Since when a rule is frozen, in seconds since 1970, and by which user."""

    since: float
    uid: int


class Outdated(Exception):
    """The policy has another generation by now, so it must be read again before anything is decided."""


class Memory:
    """A Ledger, with the other methods that the daemon calls. Safe for use by many threads. state_file.State describes
    the methods.
    """

    is_kept = False  # whether it outlasts the process, and all processes share it

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: seconds."""
        self._clock = clock
        self._lock = threading.Lock()
        self._windows: dict[str, _Window] = {}
        self._rates: dict[str, deque[float]] = {}
        self._inside: Counter[str] = Counter()  # threads, by rule
        self._counts: dict[str, tuple[int, int]] = {}
        self.frozen: dict[str, Frozen] = {}

    def copy(self) -> Memory:
        """A new Memory with the same totals and rates, in which no rule is frozen and no request was counted."""
        other = Memory(self._clock)
        with self._lock:
            other._windows = {key: window.copy() for key, window in self._windows.items()}
            other._rates = {key: times.copy() for key, times in self._rates.items()}
        return other

    def enter(self, rule: str, generation: int | None = None) -> bool:
        with self._lock:
            if rule in self.frozen:
                return False
            self._inside[rule] += 1
            return True

    def leave(self, rule: str) -> None:
        with self._lock:
            self._inside[rule] -= 1

    def reserve(
        self,
        totals: Sequence[tuple[str, int, int, int]],
        rate: tuple[str, int, int] | None,
        generation: int | None = None,
    ) -> tuple[int, int] | None:
        with self._lock:
            now = self._clock()
            windows = [self._windows.setdefault(key, _Window(seconds)) for key, seconds, _, _ in totals]
            for index, (window, (_, seconds, limit, amount)) in enumerate(zip(windows, totals)):
                used = window.used(seconds, now)
                if used + amount > limit:
                    return index, max(limit - used, 0)
            if rate is not None and not self._take(rate, now):
                return len(totals), 0
            for window, (_, _, _, amount) in zip(windows, totals):
                window.add(now, amount)
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

    def used(self, key: str, seconds: int) -> int:
        with self._lock:
            window = self._windows.get(key)
            return window.used(seconds, self._clock()) if window else 0

    @property
    def generation(self) -> int:
        return 0

    def raise_generation(self) -> int:
        """Nothing to do: there is no other process."""
        return self.generation

    def freeze(self, rules: Sequence[str], uid: int) -> bool:
        with self._lock:
            since = time.time()
            for rule in rules:
                self.frozen.setdefault(rule, Frozen(since, uid))
            return self._is_idle(rules)

    def has_frozen(self, rules: Sequence[str]) -> bool:
        with self._lock:
            return self.frozen.keys() >= set(rules)

    def is_idle(self, rules: Sequence[str]) -> bool:
        with self._lock:
            return self._is_idle(rules)

    def _is_idle(self, rules: Sequence[str]) -> bool:
        return not any(self._inside[rule] for rule in rules)

    def thaw(self, rules: Sequence[str]) -> list[str]:
        with self._lock:
            thawed = [rule for rule in dict.fromkeys(rules) if rule in self.frozen]
            for rule in thawed:
                del self.frozen[rule]
            return thawed

    def add_counts(self, counts: Mapping[str, tuple[int, int]]) -> None:
        with self._lock:
            for rule, (signed, refused) in counts.items():
                before = self._counts.get(rule, (0, 0))
                self._counts[rule] = before[0] + signed, before[1] + refused

    def counts(self) -> dict[str, tuple[int, int]]:
        with self._lock:
            return dict(self._counts)

    def close(self) -> None:
        pass
