"""A section of the policy file, and the readers of the words in its settings.

In: the settings of a section as text, and for each the reader of its words. Out: addresses, numbers, amounts, and lists
of them. A wrong setting raises nothing: the section collects the mistakes with their lines, so that all of them are
told at once. At the end, raise_if_wrong() raises WrongSection.

A reader of words takes a word and returns its value. It raises ValueError with the reason, which never repeats the
word: it may be a private key. quoted() decides what may be repeated.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Any, Callable, Collection, Iterable, Iterator, Mapping, NamedTuple, TypeVar

from ordersigner.policy.rules import Rate, in_tokens
from ordersigner.text import similar

MAX_RATE = 100_000  # signatures; a rule remembers the time of each
MAX_QUOTED = 64  # characters of a word that may be repeated
MAX_SHOWN_DIGITS = 38  # of an integer that a refusal repeats; a private key has up to 78
MAX_SPLITS = 32  # operators of a line that are looked at
MAX_TOTAL = 2**256 - 1  # in the smallest units; a count stays there
SPANS = {"second": 1, "minute": 60, "hour": 3600}  # of a rate, in seconds
_TOTAL_SPANS = {"hour": 3600, "day": 86400}

PRIVATE_KEY = re.compile(r"(?:0x)?[0-9A-Fa-f]{64}")
AMOUNT = re.compile(r"[0-9]{1,60}(?:\.[0-9]{1,18})?")  # decimal digits with at most one point
_QUARTER_OF_A_KEY = re.compile(r"[0-9A-Fa-f]{16}")
_SHOWN = re.compile(r"[A-Za-z0-9.:_+-]{1,24}").fullmatch
_NAME = re.compile(rf"[A-Za-z0-9_:$ .-]{{1,{MAX_QUOTED}}}").fullmatch
_HALF_OF_A_KEY = re.compile(r"[0-9A-Fa-f]{32,}")  # no word that is repeated contains this much of a key
_ADDRESS = re.compile(r"(?:0x)?([0-9A-Fa-f]{40})")
_NUMBER = re.compile(r"[0-9]{1,10}")
# A word is an operator only between blanks, or at the end of a line.
OPERATOR = re.compile(r"<=|>=|=|(?<=[ \t])(?:within|about|until|matches)(?=[ \t]|$)")
_LETTER = re.compile("[A-Za-z]")
BLANKS = " \t\r"
_RATE = re.compile(r"([0-9]{1,6})/(second|minute|hour)")

T = TypeVar("T")


class Complaint(NamedTuple):
    """What is wrong with a line. Line 0 is the file as a whole."""

    line: int
    reason: str


class WrongSection(Exception):
    """A section has errors, which it has collected."""


class Setting(NamedTuple):
    """A line `PATH OPERATOR VALUE`. PATH is the term of a condition, and a plain word elsewhere.

    text: the line. If it has several operators, the first one is meant, except in a condition whose field has such a
    word in its name: splits() has all ways to read it.
    """

    line: int
    path: str
    operator: str
    value: str
    text: str = ""

    @classmethod
    def of(cls, text: str, line: int) -> Setting | None:
        """The setting that a line is; None if it is none. text: without blanks at both ends."""
        found = OPERATOR.search(text)
        return cls(line, *_split(text, found), text) if found and _LETTER.match(text) else None

    def splits(self) -> Iterator[tuple[str, str, str]]:
        """Each way to read the line as a path, an operator and a value, the one with the longest path first."""
        found = list(islice(OPERATOR.finditer(self.text), MAX_SPLITS))
        return (_split(self.text, operator) for operator in reversed(found))

    @property
    def name(self) -> str:
        """The name under which it may appear once: a path may have one setting for each operator."""
        return self.path if self.operator == "=" else f"{self.path} {self.operator}"

    @property
    def is_total(self) -> bool:
        """Whether it limits all signatures together, so that it needs a place for state."""
        return self.path == "max-total-notional" or self.path.split(None, 1)[0] == "total"

    @property
    def words(self) -> list[str]:
        return self.value.split()


def _split(text: str, operator: re.Match[str]) -> tuple[str, str, str]:
    return text[: operator.start()].rstrip(BLANKS), operator[0], text[operator.end() :].lstrip(BLANKS)


class Section:
    """The settings of a section by their names, its conditions, and what is wrong with them.

    conditions: the lines that are no settings, in a section of a kind that has conditions. conditions.py reads them.
    """

    def __init__(self, line: int, kind: str, name: str) -> None:
        self.line = line
        self.kind = kind
        self.name = name
        self.settings: dict[str, Setting] = {}
        self.conditions: list[Setting] = []
        self.errors: list[Complaint] = []
        self.warnings: list[Complaint] = []

    def wrong(self, reason: str, setting: str = "") -> None:
        """setting: the name of the one that is wrong; without it, the section as a whole is."""
        self.wrong_at(self._line(setting), reason)

    def wrong_at(self, line: int, reason: str) -> None:
        self.errors.append(Complaint(line, _HALF_OF_A_KEY.sub("(a long word)", reason)))

    def warn(self, reason: str, setting: str) -> None:
        self.warnings.append(Complaint(self._line(setting), reason))

    def raise_if_wrong(self) -> None:
        if self.errors:
            raise WrongSection

    def _line(self, setting: str) -> int:
        return self.settings[setting].line if setting in self.settings else self.line

    # Each of these reads a setting. One that is absent, or wrong, has no value.
    def text(self, name: str, read: Callable[[str], T]) -> T | None:
        """The value of a setting that is the rest of its line, blanks included."""
        if name not in self.settings:
            return None
        try:
            return read(self.settings[name].value)
        except ValueError as error:
            self.wrong(f"{quoted(name)}: {error}", name)
            return None

    def one(self, name: str, read: Callable[..., T], size: int | range = 1, form: str = "") -> T | None:
        """The one value of a setting. read: takes `size` words, and form says which. No reader takes a blank."""

        def read_words(text: str) -> T:
            words = text.split()
            if size != 1 and len(words) not in (size if isinstance(size, range) else (size,)):
                raise ValueError(f"expected {form or f'{size} words'}")
            return read(text) if size == 1 else read(*words)

        return self.text(name, read_words)

    def all(self, name: str, read: Callable[[str], T]) -> list[T]:
        """The values of a setting that is a list, without those that are wrong."""
        values: list[T] = []
        if name not in self.settings:
            return values
        words = self.settings[name].words
        if not words:
            self.wrong(f"{name}: a value is missing", name)
        before: set[str] = set()  # words
        found: set[T] = set()
        for number, word in enumerate(words, 1):
            is_repeated = word in before
            before.add(word)
            try:
                value = read(word)
                if is_repeated or (value is not None and value in found):
                    raise ValueError("it is there twice")
                found.add(value)
                values.append(value)
            except ValueError as error:
                place = f", word {number}" if len(words) > 1 else ""
                self.wrong(f"{name}{place}: {error}", name)
        return values

    def is_any(self, name: str) -> bool:
        """Whether a list says "any" in place of its words."""
        return name in self.settings and self.settings[name].words == ["any"]

    def in_order(self, least: str, most: str, values: Mapping[str, Any]) -> None:
        """A lower limit above the upper one is wrong. values: of settings by their names."""
        if least in values and most in values and values[least] > values[most]:
            self.wrong(f"{least}: this is above {most}, so no value could be allowed", least)

    def no_others(self, known: Collection[str]) -> None:
        """Settings of other names are wrong."""
        for name in self.settings.keys() - set(known):
            word = name.partition(" ")[0]
            hint = f'; {word} takes "="' if word in known else did_you_mean(name, known) or f": {', '.join(known)}"
            self.wrong(f"a [{self.kind}] section has no setting {quoted(name)}{hint}", name)


# Readers of words.
def address(word: str) -> bytes:
    match = _ADDRESS.fullmatch(word)
    if match:
        return bytes.fromhex(match[1])
    if PRIVATE_KEY.fullmatch(word):
        raise ValueError("this may be a private key, which must not be here; an address has 40 hexadecimal digits")
    if word.endswith(","):
        raise ValueError("blanks separate the values of a list, not commas")
    raise ValueError("this is not an address of 40 hexadecimal digits, such as 0x2222…2222")


def number(least: int, most: int, what: str) -> Callable[[str], int]:
    def read(word: str) -> int:
        if not _NUMBER.fullmatch(word) or not least <= int(word) <= most:
            raise ValueError(f"{what} must be a whole number from {least} to {most}")
        return int(word)

    return read


class Amount(NamedTuple):
    """A number of whole tokens, exactly: numerator / denominator."""

    text: str
    numerator: int
    denominator: int

    @classmethod
    def of(cls, text: str) -> Amount:
        """text: matches AMOUNT."""
        whole, _, fraction = text.partition(".")
        return cls(text, int(whole + fraction), 10 ** len(fraction))


def amount(word: str) -> Amount:
    if not AMOUNT.fullmatch(word):
        raise ValueError("an amount is decimal digits with at most one point and 18 digits after it, such as 1500.25")
    return Amount.of(word)


def amount_in_span(word: str) -> tuple[Amount, int]:
    """The limit of a total, and its span in seconds."""
    limit, _, span = word.partition("/")
    if span not in _TOTAL_SPANS or not AMOUNT.fullmatch(limit):
        raise ValueError("a total is AMOUNT/hour or AMOUNT/day, such as 500/day")
    amount = Amount.of(limit)
    if not amount.numerator:
        raise ValueError("a total must be more than 0, or it would allow nothing")
    return amount, _TOTAL_SPANS[span]


def rate(word: str) -> Rate:
    match = _RATE.fullmatch(word)
    if not match or not 1 <= int(match[1]) <= MAX_RATE:
        raise ValueError(f"a rate is N/second, N/minute or N/hour, with N from 1 to {MAX_RATE}")
    return Rate(int(match[1]), SPANS[match[2]])


def choice(choices: Collection[str]) -> Callable[[str], str]:
    def read(word: str) -> str:
        if word not in choices:
            raise ValueError(f"valid words are {', '.join(choices)}{did_you_mean(word, choices)}")
        return word

    return read


def section_of(kind: str, sections: Mapping[str, T]) -> Callable[[str], T]:
    """sections: those of this kind, by name."""

    def read(word: str) -> T:
        if word not in sections:
            raise ValueError(f"there is no section [{kind} {quoted(word)}]{did_you_mean(word, sections)}")
        return sections[word]

    return read


# Words for people.
def did_you_mean(word: str, known: Iterable[str], closeness: float = 0.7) -> str:
    """What to add to a complaint about a word that is close to a known one; "" for others."""
    meant = similar(word, known, closeness)
    return f"; did you mean {quoted(meant)}?" if meant not in ("", word) else ""


def shown_value(value: object, *, type: str = "", digits: int = 0) -> str:
    """A value that a client sent, as a refusal may repeat it; "" for one that may be a key or a part of one.

    Shown are bools, integers of at most 38 digits, addresses in fields of that type, and short words. digits: of an
    integer, how many are after the point.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return in_tokens(value, digits) if abs(value) < 10**MAX_SHOWN_DIGITS else ""
    if isinstance(value, bytes):
        return f"0x{value.hex()}" if type == "address" else ""
    return value if isinstance(value, str) and _SHOWN(value) and not _QUARTER_OF_A_KEY.search(value) else ""


def shown_name(name: str) -> str:
    """The name that a client gave to a type or a field, as a refusal may repeat it; "" for one that may be a key."""
    return name if _NAME(name) and not _QUARTER_OF_A_KEY.search(name) else ""


def quoted(word: str) -> str:
    """`word`, unless it may be a key or a part of one."""
    if len(word) <= MAX_QUOTED and word.isprintable() and not _HALF_OF_A_KEY.search(word):
        return word
    return "(a long word)"
