"""The limits of a rule on messages: a [message NAME] section of the policy, compiled.

In: a Message and the time. Out: an Objection, or None. Raises WrongSection for a section that is wrong. Pure.

A message that is a hash can be an order or a transaction elsewhere, so only a section that says `hashes = yes` allows
it. Any other message must be text that an operator reads in the journal as it is. It must match the pattern as a whole,
and meet the conditions, for which the whole text is one number.
"""

from __future__ import annotations

from functools import partial
from typing import Sequence

from ordersigner.payloads.messages import Message
from ordersigner.payloads.payload import Payload
from ordersigner.policy.conditions import COMPARISONS, TIMES, Conditions, Field
from ordersigner.policy.limits import Limits
from ordersigner.policy.pattern import MAX_TEXT, Pattern
from ordersigner.policy.rules import Objection
from ordersigner.policy.settings import Section, choice, did_you_mean
from ordersigner.policy.terms import Term
from ordersigner.text import counted, listed

_HASHES = "what a hash stands for: orders and transactions of venues that take such signatures are signed too"
_WHEN = "when such a text may be used, because no condition such as text(3) about 60 says when it was made"
_TEXT = "text"


class _Text:
    """The one field for conditions: "text", the text as a number."""

    type = "string"
    array = ""

    def field(self, path: str) -> _Text:
        if path != _TEXT:
            known = (*MessageLimits.settings, _TEXT)
            hint = did_you_mean(path, known)
            raise ValueError(f"a message section has pattern, hashes, and conditions on text, such as text(3){hint}")
        return self

    def counted(self, path: str) -> _Text:
        self.field(path)
        raise ValueError("the length of a message is limited by its pattern")

    def check(self, term: Term, operator: str) -> None:
        if operator not in (*TIMES, *COMPARISONS) or term.is_total or term.divisor:
            raise ValueError(f"a text takes {listed((*TIMES, *COMPARISONS))}, as in text(3) about 60")

    def fields(self) -> Sequence[Field]:
        return ()

    def values(self, payload: Message) -> Sequence[str]:
        return (payload.text or "",)

    def place(self, payload: Message, number: int) -> str:
        return payload.key


class MessageLimits(Limits):
    """The messages that a section allows."""

    kind = "message"
    settings = ("pattern", "hashes")
    listed_by = "messages"
    has_conditions = True

    def __init__(self, section: Section) -> None:
        self._section = section.name
        self._pattern = section.text("pattern", Pattern)
        self._hashes = section.one("hashes", choice(("yes", "no"))) == "yes"
        section.no_others(self.settings)
        has_error = bool(section.errors)
        self._conditions = Conditions(section, _Text(), "")
        if not (has_error or self._pattern or self._hashes or self._conditions.compiled):
            section.wrong(
                "pattern: a message section needs a pattern, a condition such as text(3) about 60, or hashes = yes"
            )
        section.raise_if_wrong()

    def judge(self, payload: Payload, now: float) -> Objection | None:
        assert isinstance(payload, Message)
        if payload.is_hash:
            if self._hashes:
                return None
            hint = f'{self._refused(payload)} It needs a section with "hashes = yes".'
            return Objection(1, payload.key, "ambiguous", hint, self._section)
        text = payload.text
        if text is None or not payload.is_plain:
            message = "A message must be text without characters that are not shown or that change the direction."
            return Objection(2, payload.key, "not_allowed", message, self._section)
        if len(text) > MAX_TEXT or not self._allows(text):
            return Objection(3, payload.key, "not_allowed", partial(self._refused, payload), self._section)
        return self._conditions.objection(payload, now, 4)

    def _allows(self, text: str) -> bool:
        if self._pattern is None:
            return bool(self._conditions.compiled)
        return self._pattern.matches(text)

    def _refused(self, payload: Message) -> str:
        text = payload.text
        if text is None:
            return f"No message section of yours allows a message of {counted(len(payload.content), 'byte')}."
        lines = f" in {text.count(chr(10)) + 1} lines" if "\n" in text else ""
        return f"No message section of yours allows this text of {counted(len(text), 'character')}{lines}."

    def permits(self) -> list[str]:
        words = []
        if self._pattern is not None:
            one_line = " of one line" if self._pattern.is_of_one_line else ""
            words.append(f"messages{one_line} that match {self._pattern.text}")
        elif self._conditions.compiled:
            words.append("messages that are a number")
        words += self._conditions.permits()
        return [*words, "messages that are hashes"] if self._hashes else words

    def leaves_open(self) -> list[str]:
        words = []
        operators = {condition.operator for condition in self._conditions.compiled}
        if self._pattern is not None and not operators - {">="} and not self._pattern.is_one_text:
            words.append(f"any text that matches {self._pattern.text}")
            words += [f"what is at {item} in {self._pattern.text}" for item in self._pattern.open_items]
        if operators == {">="}:
            words.append(f"how high {_TEXT} may be")
        if not operators.intersection(TIMES) and (operators or self._pattern is not None):
            words.append(_WHEN)
        if self._hashes:
            words.append(_HASHES)
        return words
