"""What a rule says about messages: a [message NAME] section of the policy, compiled.

In: a Message. Out: an Objection, or None. Raises WrongSection for a section that is wrong. Pure.

A message that is a hash is an order or a transaction elsewhere, so only a section that says `hashes = yes` allows it.
Any other message must be text that an operator reads in the journal as it is, and match the pattern as a whole.
"""

from __future__ import annotations

from ordersigner.payloads.messages import Message
from ordersigner.payloads.payload import Payload
from ordersigner.policy.limits import Limits
from ordersigner.policy.pattern import Pattern
from ordersigner.policy.rules import Objection
from ordersigner.policy.settings import Section, choice

_HASH = "This message could be an order or a transaction elsewhere. Only a section with hashes = yes allows it."
MAX_TEXT = 4096  # characters of a message that a pattern allows
_HASHES = "what a hash stands for: orders and transactions of venues that take such signatures are signed too"


class MessageLimits(Limits):
    """The messages that a section allows."""

    kind = "message"
    settings = ("pattern", "hashes")
    listed_by = "messages"

    def __init__(self, section: Section) -> None:
        self._pattern = section.text("pattern", Pattern)
        self._hashes = section.one("hashes", choice(("yes", "no"))) == "yes"
        if not (section.errors or self._pattern or self._hashes):
            section.wrong("pattern: a message section needs a pattern, or hashes = yes")
        section.no_others(self.settings)
        section.raise_if_wrong()

    def judge(self, payload: Payload, now: float) -> Objection | None:
        assert isinstance(payload, Message)
        if payload.is_hash:
            if self._hashes:
                return None
            return Objection(1, payload.key, "ambiguous", _HASH)
        text = payload.text
        if text is None or not payload.is_plain:
            message = "A message must be text without characters that are not shown or that change the direction."
            return Objection(2, payload.key, "not_allowed", message)
        if self._pattern is None or len(text) > MAX_TEXT or not self._pattern.matches(text):
            lines = self._pattern is not None and self._pattern.is_of_one_line and "\n" in text
            return Objection(
                3,
                payload.key,
                "not_allowed",
                f"No rule allows {'a message of several lines' if lines else 'this message'}.",
            )
        return None

    def permits(self) -> list[str]:
        words = []
        if self._pattern is not None:
            one_line = " of one line" if self._pattern.is_of_one_line else ""
            words.append(f"messages{one_line} that match {self._pattern.text}")
        return [*words, "messages that are hashes"] if self._hashes else words

    def leaves_open(self) -> list[str]:
        pattern = self._pattern
        words = [] if pattern is None else [f"what is at {item} in {pattern.text}" for item in pattern.open_items]
        if self._hashes:
            words.append(_HASHES)
        return words
