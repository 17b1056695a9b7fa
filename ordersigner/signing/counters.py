"""What one process of the daemon has done since its start, for the status line and for monitoring.

In: each signature, refusal and failure. Out: numbers; and for each rule those that the sums over all processes lack.
Knows no requests, no clients and no keys.
"""

from __future__ import annotations

import threading
from collections import Counter
from time import time
from typing import Callable, Collection, Mapping


class Counters:
    """Written by the thread that works and read by any thread, so dicts are copied before they are summed."""

    def __init__(self) -> None:
        self.started = time()  # seconds since 1970, like the next one
        self.last_signed: float | None = None
        self.signed_by_type: Counter[str] = Counter()
        self.signed_by_rule: Counter[str] = Counter()  # of held keys
        self.refused_by_code: Counter[str] = Counter()
        self._unshared: tuple[Counter[str], Counter[str]] = Counter(), Counter()  # signed and refused, by rule
        self._sharing = threading.Lock()
        self.failed = 0
        self.connections = 0  # that are open

    @property
    def signed(self) -> int:
        return sum(list(self.signed_by_type.values()))

    @property
    def refused(self) -> int:
        return sum(list(self.refused_by_code.values()))

    def count(self, type: str, rule: str) -> None:
        """Count a signature of this type. rule: the one that allowed it, empty for a key of the client's."""
        self.signed_by_type[type] += 1
        if rule:
            self.signed_by_rule[rule] += 1
            with self._sharing:
                self._unshared[0][rule] += 1
        self.last_signed = time()

    def count_refusal(self, code: str, rule: str) -> None:
        """Count a refusal. rule: the one that came closest, empty if none did."""
        self.refused_by_code[code] += 1
        if rule:
            with self._sharing:
                self._unshared[1][rule] += 1

    def share(self, add: Callable[[Mapping[str, tuple[int, int]]], None]) -> None:
        """Call `add` with how often each rule has signed and refused since the last call. If it raises, so does this,
        and the next call has them again."""
        with self._sharing:  # not while `add` works: it may wait, and requests would wait with it
            (signed, refused), self._unshared = self._unshared, (Counter(), Counter())
        try:
            if signed or refused:
                add({rule: (signed[rule], refused[rule]) for rule in {**signed, **refused}})
        except BaseException:
            with self._sharing:
                self._unshared[0].update(signed)
                self._unshared[1].update(refused)
            raise

    def forget_rules_except(self, names: Collection[str]) -> None:
        """Rules that are no longer in the policy have no count."""
        self.signed_by_rule = Counter({name: number for name, number in self.signed_by_rule.items() if name in names})

    def line(self) -> str:
        """The totals, for people."""
        return f"{self.signed} signed, {self.refused} refused, {self.failed} failed"

    def numbers(self) -> dict[str, object]:
        """Everything, for monitoring."""
        return {
            "started": self.started,
            "last_signed": self.last_signed,
            "signed": self.signed,
            "signed_by_type": dict(self.signed_by_type),
            "signed_by_rule": dict(self.signed_by_rule),
            "refused": self.refused,
            "refused_by_code": dict(self.refused_by_code),
            "failed": self.failed,
            "connections": self.connections,
        }
