r"""The patterns of messages: a small regular expression, matched in a time that grows only with the text's length.

In: the text of a pattern, and then any texts. Out: whether a text matches as a whole. Raises ValueError, with the
reason, for a pattern that is wrong. Pure.

    pattern     = alternative { "|" alternative }
    alternative = { item }
    item        = ( "." | character | set ) [ count ]                  ".": any character but a newline
    set         = "[" [ "^" ] { character [ "-" character ] } "]"      such as [a-z_] or [^0-9]
    count       = "?" | "*" | "+" | "{2}" | "{2,}" | "{2,5}"
    character   = itself; after "\" if it has a meaning; \n or \t

All of this means what it means in Python's `re`. But `re` tries one way after another, so a client could send a text
that keeps it busy for ages. This matcher follows all ways at once and reads each character once.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import NamedTuple

MAX_PATTERN = 512  # characters
MAX_TEXT = 4096  # characters of a text that is matched
ALPHABET = 256  # characters; a set that takes more from one range leaves open what is there
MAX_POSITIONS = 1024  # of a pattern: its characters and sets, each as often as it may repeat

_SPECIAL = "()[]{}?*+|^$"  # characters with a meaning outside of a set, or with one in `re`
_SPECIAL_IN_SET = "[]^-"
_ESCAPES = {"n": "\n", "t": "\t"}
_COUNT = re.compile(r"\{([0-9]{1,4})(,?)([0-9]{0,4})\}")


class _Set(NamedTuple):
    """The characters that an item takes."""

    ranges: tuple[tuple[str, str], ...]  # each with its first and its last character
    negated: bool  # takes all characters but those of the ranges

    @property
    def is_one_character(self) -> bool:
        return not self.negated and all(first == last for first, last in self.ranges) and len(set(self.ranges)) == 1

    def takes(self, code: int) -> bool:
        """code: that of a character, or the one after the last of all."""
        return any(ord(first) <= code <= ord(last) for first, last in self.ranges) != self.negated

    @property
    def is_open(self) -> bool:
        """Whether it takes more characters than any alphabet that one names."""
        return self.negated or any(ord(last) - ord(first) > ALPHABET for first, last in self.ranges)


class _Item(NamedTuple):
    """A set, and how often it may repeat. text: as the pattern has it."""

    text: str
    set: _Set
    least: int
    most: int | None  # None: any number

    @property
    def is_one_text(self) -> bool:
        return self.least == self.most and (self.most == 0 or self.set.is_one_character)


class Pattern:
    r"""A pattern that is ready to match.

    Its items are written out in a row of positions, each of which takes one character. A position may be optional, and
    it may repeat. So the pattern a{1,2}[0-9]* has three positions:

        position      0     1           2
        takes         a     a           [0-9]
        is                  optional    optional, repeats

    How far a text has come is a state: in state 1, position 0 is passed and position 1 comes next. State 3 is the end
    of this pattern. An optional position may be passed without a character, so several states are reached at once.
    They are the bits of an integer, and so are all other sets of states and positions here: a step for all states is
    a few operations on integers.

    All alternatives are in the same row, one after another. The position at the end of each takes no character and is
    not optional, so no way leads from there into the next alternative.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.open_items: list[str] = []  # such as .* and [^a], which take nearly any character
        self.is_one_text = True  # whether only one text matches
        self._starts = 0  # the first state of each alternative
        self._ends = 0  # the last state of each
        self._optional = 0  # positions
        self._repeated = 0  # positions
        positions_of: dict[_Set, int] = {}
        at = 0
        for number, items in enumerate(_Parser(text).alternatives()):
            self.is_one_text &= number == 0 and all(item.is_one_text for item in items)
            self._starts |= 1 << at
            for item in items:
                if item.set.is_open and item.text not in self.open_items:
                    self.open_items.append(item.text)
                size = max(item.least, 1) if item.most is None else item.most
                if at + size > MAX_POSITIONS:
                    raise ValueError(
                        f"a pattern matches at most {MAX_POSITIONS} characters, not counting those of * and +, in all "
                        "alternatives together"
                    )
                for index in range(size):
                    position = 1 << (at + index)
                    positions_of[item.set] = positions_of.get(item.set, 0) | position
                    if index >= item.least:
                        self._optional |= position
                at += size
                if item.most is None:
                    self._repeated |= position  # the last one
            self._ends |= 1 << at
            at += 1
        # Clients choose the characters of a text, so which positions take a character is worked out here, for spans of
        # characters: from one edge of a range to the next, no set tells them apart.
        edges = {0}
        for set in positions_of:
            for first, last in set.ranges:
                edges |= {ord(first), ord(last) + 1}
        self._spans = sorted(edges)  # the code of the first character of each
        self._taking = [  # the positions that take the characters of each span; no two sets have the same position
            sum(positions for set, positions in positions_of.items() if set.takes(first)) for first in self._spans
        ]

    @property
    def is_of_one_line(self) -> bool:
        """Whether no text that matches has a newline. Items such as .* take none."""
        return not self._taking[bisect_right(self._spans, ord("\n")) - 1]

    def matches(self, text: str) -> bool:
        states = self._and_beyond(self._starts)
        for character in text:
            taking = self._taking[bisect_right(self._spans, ord(character)) - 1]
            onwards = states & taking  # bit i: position i comes next, and takes the character
            again = states >> 1 & self._repeated & taking  # bit i: position i was passed, and takes it once more
            states = self._and_beyond((onwards | again) << 1)
            if not states:
                return False
        return bool(states & self._ends)

    def _and_beyond(self, states: int) -> int:
        """`states`, and those that they reach over optional positions, without a character.

        The addition does it for all at once. A run of optional positions is a run of ones. Adding a one in it carries
        up to the first bit behind the run, and the bits that change on the way are the states that are reached.
        """
        carried = (states & self._optional) + self._optional
        return states | (carried ^ self._optional)


class _Parser:
    """Reads a pattern from left to right. Each method reads one thing, and stands behind it afterwards."""

    def __init__(self, text: str) -> None:
        if not text:
            raise ValueError("a value is missing")
        if len(text) > MAX_PATTERN:
            raise ValueError(f"a pattern has at most {MAX_PATTERN} characters")
        self._text = text
        self._at = 0

    def alternatives(self) -> list[list[_Item]]:
        found: list[list[_Item]] = [[]]
        while self._next():
            if self._took("|"):
                found.append([])
            else:
                start, set, (least, most) = self._at, self._set(), self._count()
                found[-1].append(_Item(self._text[start : self._at], set, least, most))
        return found

    def _set(self) -> _Set:
        if self._took("."):
            return _Set((("\n", "\n"),), negated=True)
        if not self._took("["):
            character = self._character(_SPECIAL)
            return _Set(((character, character),), negated=False)
        negated = self._took("^")
        ranges = []
        while not self._took("]"):
            first = last = self._character(_SPECIAL_IN_SET)
            if self._took("-"):
                last = self._character(_SPECIAL_IN_SET)
                if last < first:
                    raise ValueError("a range in [ ] goes backwards")
            ranges.append((first, last))
        if not ranges:
            raise ValueError("there is nothing in [ ]")
        return _Set(tuple(ranges), negated)

    def _character(self, special: str) -> str:
        """special: the characters that must have a backslash before them."""
        if self._took("\\"):
            escaped = self._next()
            if not escaped or (escaped.isalnum() and escaped not in _ESCAPES):
                raise ValueError(r"\ stands before n, t or a character that is no letter and no digit")
            self._at += 1
            return _ESCAPES.get(escaped, escaped)
        character = self._next()
        if not character:
            raise ValueError("the pattern ends too early")
        if character in special:
            raise ValueError(
                f"write \\ before {character}, which has a meaning; there are no groups, and no anchors are needed"
            )
        self._at += 1
        return character

    def _count(self) -> tuple[int, int | None]:
        """How often the set before may repeat: at least and at most."""
        for sign, least, most in (("?", 0, 1), ("*", 0, None), ("+", 1, None)):
            if self._took(sign):
                return least, most
        match = _COUNT.match(self._text, self._at)
        if match is None:
            return 1, 1
        self._at = match.end()
        first, comma, second = match.groups()
        least = int(first)
        most = least if not comma else int(second) if second else None
        is_too_long = second and not comma  # a number of more than four digits
        if is_too_long or (most is not None and most < max(least, 1)):
            raise ValueError("a count is {2}, {2,} or {2,5}, and not {0}")
        return least, most

    def _next(self) -> str:
        """The character here; "" at the end."""
        return self._text[self._at : self._at + 1]

    def _took(self, character: str) -> bool:
        """Read the next character if it is `character`; returns whether it was."""
        taken = self._next() == character
        self._at += taken
        return taken
