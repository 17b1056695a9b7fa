"""What one process of the daemon has done since its start, for the status line and for monitoring.

In: each signature, refusal and failure. Out: numbers. Knows no requests, no clients and no keys.
"""

from __future__ import annotations

from collections import Counter
from time import time
from typing import Collection


class Counters:
    """Written by the thread that works and read by any thread, so dicts are copied before they are summed."""

    def __init__(self) -> None:
        self.started = time()  # seconds since 1970, like the next one
        self.last_signed: float | None = None
        self.signed_by_type: Counter[str] = Counter()
        self.signed_by_rule: Counter[str] = Counter()  # of held keys
        self.refused_by_code: Counter[str] = Counter()
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
        self.last_signed = time()

    def forget_rules_except(self, names: Collection[str]) -> None:
        """Rules that are no longer in force have no count."""
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
