"""What a rule says about messages: a [message NAME] section of the policy, compiled.

In: a Message. Out: an Objection, or None. Raises SettingsError for a section that is wrong. Pure.

A message that is a hash is an order or a transaction elsewhere, so only a section that says `hashes = yes` allows it.
Any other message must be text that an operator reads in the journal as it is, and match the pattern as a whole.

A pattern is a regular expression without groups: characters, "." for any but a newline, sets such as [a-z] or [^0-9],
"\\" before a character that has a meaning, \\n and \\t, each perhaps with ?, *, +, {2}, {2,} or {2,5}; and "|" between
alternatives. It means what it means elsewhere. It is matched by following all ways at once, so the time is linear in
the text's length: a backtracking matcher could be kept busy for ages.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import NamedTuple, Sequence, Tuple

from ordersigner.payloads.messages import Message
from ordersigner.payloads.payload import Payload
from ordersigner.policy.rules import Objection
from ordersigner.policy.settings import SettingsError, Wrong

MAX_PATTERN = 512  # characters
MAX_POSITIONS = 1024  # of a pattern: its characters and sets, each as often as it may repeat
MAX_TEXT = 4096  # characters of a message that a pattern allows

_COUNT = re.compile(r"\{([0-9]{1,4})(,?)([0-9]{0,4})\}")
_SPECIAL = "()[]{}?*+|^$"
_ESCAPES = {"n": "\n", "t": "\t"}


class MessageLimits:
    """The messages that a section allows."""

    def __init__(self, *, pattern: str | None = None, hashes: str = "no") -> None:
        """As the settings say it. hashes: "yes" or "no"."""
        problems: list[Wrong] = []
        self._compiled: _Pattern | None = None
        if pattern is not None:
            try:
                self._compiled = _compile(pattern)
            except ValueError as error:
                problems.append(("pattern", str(error)))
        if hashes not in ("yes", "no"):
            problems.append(("hashes", "this must be yes or no"))
        if pattern is None and hashes == "no":
            problems.append(("pattern", "a message section needs a pattern, or hashes = yes"))
        if problems:
            raise SettingsError(problems)
        self._pattern = pattern
        self._hashes = hashes == "yes"

    def judge(self, payload: Payload, now: float) -> Objection | None:
        assert isinstance(payload, Message)
        if payload.is_hash:
            if self._hashes:
                return None
            return Objection(1, payload.key, "ambiguous", "This message could be an order or a transaction elsewhere.")
        text = payload.text
        if text is None or not payload.is_plain:
            message = "A message must be text without control characters and overrides of the direction."
            return Objection(2, payload.key, "not_allowed", message)
        if self._compiled is None or len(text) > MAX_TEXT or not self._compiled.matches(text):
            return Objection(3, payload.key, "not_allowed", "No rule allows this message.")
        return None

    def permits(self) -> list[str]:
        words = [] if self._pattern is None else [f"messages that match {self._pattern}"]
        return [*words, "messages that are hashes"] if self._hashes else words

    def leaves_open(self) -> list[str]:
        if not self._hashes:
            return []
        return ["what a hash stands for: orders and transactions of venues that take such signatures are signed too"]


_Ranges = Tuple[Tuple[str, str], ...]  # of characters, each with its first and its last


class _Item(NamedTuple):
    """A character or a set of a pattern, and how often it may repeat."""

    ranges: _Ranges
    negated: bool
    least: int
    most: int | None  # None: any number


class _Pattern:
    """Alternatives of items in a row, as an automaton: state i has passed i positions.

    The states that are reached are the bits of an integer, so one step for all of them is a few operations. No way
    leads from the end of an alternative to the start of the next. Which positions take a character is worked out
    beforehand, for each span of characters that no item tells apart: clients choose the characters.
    """

    def __init__(self, alternatives: Sequence[Sequence[_Item]]) -> None:
        self._starts = self._ends = self._optional = self._repeated = 0
        places: dict[tuple[_Ranges, bool], int] = {}  # the positions of equal items, as bits
        at = 0
        for items in alternatives:
            self._starts |= 1 << at
            for item in items:
                size = max(1, item.least) if item.most is None else item.most
                positions = ((1 << size) - 1) << at
                places[item.ranges, item.negated] = places.get((item.ranges, item.negated), 0) | positions
                self._optional |= (positions >> item.least + at) << item.least + at
                if item.most is None:
                    self._repeated |= 1 << (at + size - 1)
                at += size
                if at > MAX_POSITIONS:
                    raise ValueError(
                        f"a pattern matches at most {MAX_POSITIONS} characters, not counting those of * and +, in all "
                        "alternatives together"
                    )
            self._ends |= 1 << at
            at += 1
        edges = {0}
        for ranges, _ in places:
            for first, last in ranges:
                edges |= {ord(first), ord(last) + 1}
        self._spans = sorted(edges)  # the first character of each
        self._masks = [0] * len(self._spans)  # the positions that take the characters of each span, as bits
        for index, character in enumerate(self._spans):
            for (ranges, negated), positions in places.items():
                if any(ord(first) <= character <= ord(last) for first, last in ranges) != negated:
                    self._masks[index] |= positions

    def matches(self, text: str) -> bool:
        states = self._skip(self._starts)
        for character in text:
            mask = self._masks[bisect_right(self._spans, ord(character)) - 1]
            # On to the next state, or back to the one before a position that repeats.
            states = self._skip((states & mask) << 1 | (states >> 1 & self._repeated & mask) << 1)
            if not states:
                return False
        return bool(states & self._ends)

    def _skip(self, states: int) -> int:
        """`states`, and all that follow them over optional positions.

        A state at a run of optional positions reaches all up to its end: the addition carries through the run.
        """
        return states | (((states & self._optional) + self._optional) ^ self._optional)


def _compile(pattern: str) -> _Pattern:
    """Raises ValueError, with the reason."""
    if not pattern:
        raise ValueError("a value is missing")
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"a pattern has at most {MAX_PATTERN} characters")
    alternatives: list[list[_Item]] = [[]]
    at = 0
    while at < len(pattern):
        if pattern[at] == "|":
            alternatives.append([])
            at += 1
            continue
        ranges, negated, at = _read_set(pattern, at)
        least, most, at = _read_count(pattern, at)
        alternatives[-1].append(_Item(ranges, negated, least, most))
    return _Pattern(alternatives)


def _read_set(pattern: str, at: int) -> tuple[_Ranges, bool, int]:
    """The characters that the item at `at` takes or, negated, does not take; and where it ends."""
    if pattern[at] == ".":
        return (("\n", "\n"),), True, at + 1
    if pattern[at] != "[":
        character, at = _read_character(pattern, at, _SPECIAL)
        return ((character, character),), False, at
    negated = pattern[at + 1 : at + 2] == "^"
    at += 2 if negated else 1
    ranges = []
    while pattern[at : at + 1] != "]":
        first, at = _read_character(pattern, at, "[]^-")
        last = first
        if pattern[at : at + 1] == "-":
            last, at = _read_character(pattern, at + 1, "[]^-")
            if last < first:
                raise ValueError("a range in [ ] goes backwards")
        ranges.append((first, last))
    if not ranges:
        raise ValueError("there is nothing in [ ]")
    return tuple(ranges), negated, at + 1


def _read_character(pattern: str, at: int, special: str) -> tuple[str, int]:
    character = pattern[at : at + 1]
    if not character:
        raise ValueError("the pattern ends too early")
    if character == "\\":
        escaped = pattern[at + 1 : at + 2]
        if not escaped or (escaped.isalnum() and escaped not in _ESCAPES):
            raise ValueError(r"\ stands before n, t or a character that is no letter and no digit")
        return _ESCAPES.get(escaped, escaped), at + 2
    if character in special:
        raise ValueError(f"\\ must stand before {character}, which has a meaning; there are no groups and no anchors")
    return character, at + 1


def _read_count(pattern: str, at: int) -> tuple[int, int | None, int]:
    """How often the item before `at` may repeat, and where this ends."""
    simple = {"?": (0, 1), "*": (0, None), "+": (1, None)}.get(pattern[at : at + 1])
    if simple:
        return (*simple, at + 1)
    match = _COUNT.match(pattern, at)
    if not match:
        return 1, 1, at
    least = int(match[1])
    most = int(match[3]) if match[3] else None if match[2] else least
    if (match[3] and not match[2]) or (most is not None and not 1 <= max(least, 1) <= most):
        raise ValueError("a count is {2}, {2,} or {2,5}, and not {0}")
    return least, most, match.end()
