"""What is wrong with the settings of a section of the policy, for sections whose settings are read together."""

from __future__ import annotations

from typing import Sequence, Tuple

Wrong = Tuple[str, str]  # a setting, as it stands left of its value ("message.sellAmount <="), and the reason


class SettingsError(ValueError):
    """Settings are wrong. A reason never repeats a value, which may be a private key."""

    def __init__(self, problems: Sequence[Wrong]) -> None:
        super().__init__("; ".join(f"{setting}: {reason}" for setting, reason in problems))
        self.problems = problems
