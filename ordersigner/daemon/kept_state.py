"""Where the state of all processes is kept, and the substitute if it cannot be.

In: --state, or the directory that systemd names. Out: a ledger: that of the file there; without a directory, one that
ends with this process; and if the file cannot be used, one that refuses what it would have to know. Raises nothing.
"""

from __future__ import annotations

import argparse
import os
import time
from typing import Sequence

from ordersigner.signing.journal import Journal
from ordersigner.state.memory import Frozen, Memory, Outdated
from ordersigner.state.state_file import State, raise_generation, read_frozen, read_generation


def directory(arguments: argparse.Namespace) -> str | None:
    """--state, or the first directory of StateDirectory= in the unit; None without either."""
    given: str | None = arguments.state
    return given or os.environ.get("STATE_DIRECTORY", "").partition(":")[0] or None


def ledger(directory: str | None, journal: Journal) -> Memory | State:
    """The ledger in a directory. ORDERSIGNER_BOOT is the boot's id for units that the kernel's is hidden from."""
    if directory is None:
        return Memory()
    try:
        return State(directory, os.environ.get("ORDERSIGNER_BOOT", "").replace("-", ""))
    except OSError as error:
        reason = f"The state in {directory} cannot be used: {error}"
    unusable = Unusable(directory, reason)
    journal.say("err", f"{reason.rstrip('.')}. {unusable.consequence}")
    return unusable


class Unusable(Memory):
    """Stands in for a file that cannot be used. Rules frozen here stay so until this process ends. A rule that needs
    the file refuses: each rule with a total or a rate and, if it is not known which rules are frozen, every rule. So
    this looks into the file each time, which another process may still use and which has the generation of the policy.
    """

    def __init__(self, directory: str, reason: str) -> None:
        super().__init__()
        self._directory = directory
        self._reason = reason

    @property
    def frozen(self) -> dict[str, Frozen]:
        os.stat(self._directory)  # without it, nobody knows what is frozen: it may be on a disk that is not mounted
        return {**read_frozen(self._directory), **self._frozen_here}

    @frozen.setter
    def frozen(self, value: dict[str, Frozen]) -> None:
        self._frozen_here = value

    @property
    def generation(self) -> int:
        return read_generation(self._directory)

    def raise_generation(self) -> int:
        return raise_generation(self._directory)

    @property
    def consequence(self) -> str:
        """For the administrator."""
        try:
            return f"Rules with a total or a rate allow nothing. Frozen: {', '.join(sorted(self.frozen)) or 'none'}"
        except OSError:
            return "Which rules are frozen is not known, so no held key can be used"

    def enter(self, rule: str, generation: int | None = None) -> bool:
        if generation is not None and generation != self.generation:
            raise Outdated
        return super().enter(rule)

    def freeze(self, rules: Sequence[str], uid: int) -> bool:
        with self._lock:
            self._frozen_here.update({rule: Frozen(time.time(), uid) for rule in rules})
            return self._is_idle(rules)

    def has_frozen(self, rules: Sequence[str]) -> bool:
        with self._lock:
            return self._frozen_here.keys() >= set(rules)

    def thaw(self, rules: Sequence[str]) -> list[str]:
        with self._lock:
            return [rule for rule in rules if self._frozen_here.pop(rule, None)]

    def reserve(
        self,
        totals: Sequence[tuple[str, int, int, int]],
        rate: tuple[str, int, int] | None,
        generation: int | None = None,
    ) -> tuple[int, int] | None:
        raise OSError(self._reason)

    def used(self, key: str, seconds: int) -> int:
        raise OSError(self._reason)
