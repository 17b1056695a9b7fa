"""What a rule says about receipts: a [receipt NAME] section.

In: a Receipt. Out: an Objection, or None. Raises WrongSection for a section that is wrong.
"""

from __future__ import annotations

from ordersigner.payloads.payload import Payload
from ordersigner.policy.limits import Limits
from ordersigner.policy.rules import Objection
from ordersigner.policy.settings import Section, number
from support.receipts.payload import Receipt


class ReceiptLimits(Limits):
    """The receipts that a section allows."""

    kind = "receipt"
    settings = ("max-amount",)
    listed_by = "receipts"

    def __init__(self, section: Section) -> None:
        self._max_amount = section.one("max-amount", number(1, 10**9, "the amount"))
        section.no_others(self.settings)
        section.raise_if_wrong()

    def judge(self, payload: Payload, now: float) -> Objection | None:
        assert isinstance(payload, Receipt)
        if self._max_amount is not None and payload.amount > self._max_amount:
            return Objection(1, "receipt.amount", "over_limit", "This amount is above the limit.")
        return None

    def permits(self) -> list[str]:
        return ["receipts", *([f"of at most {self._max_amount} tokens"] if self._max_amount else [])]

    def leaves_open(self) -> list[str]:
        return [] if self._max_amount else ["the amount"]
