"""The text of a condition: the term on the left of its operator, and the numbers on the right.

In: text from the policy. Out: a Term; a number as an integer of the smallest units. Raises ValueError, with a text for
people that repeats no value. Knows no fields and no payloads: conditions.py gives the terms their meaning.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ordersigner.policy.settings import BLANKS

MAX_TERM = 2048  # characters; paths in use have at most 60
MAX_DECIMALS = 36
MAX_WORD = 1023  # the last 32 bytes that word() reads
BITS = 256  # of the widest integer

_MARK = re.compile("([(),/])")
_TOTAL = re.compile(r"total[ \t]+(?=\S)")
# Of an amount, without the blanks around its marks. A path has no mark.
_FUNCTION = re.compile(r"(sum|count)\((.*)\)")
_NUMBER = re.compile(r"(?:(bits|word)\(([^(),/]+),([^(),/]+)(?:,([^(),/]+))?\)|([^(),/]+))(?:\(([^(),/]*)\))?")
_WHOLE = re.compile("0|[1-9][0-9]{0,3}")
_DECIMAL = re.compile(r"-?[0-9]{1,78}(?:\.[0-9]{1,36})?")
_SPAN = re.compile(r"([^/ \t]+)[ \t]*/[ \t]*([a-z]+)")
_SPANS = {"hour": 3600, "day": 86400}  # seconds

_TERMS = "sum(PATH), count(PATH), bits(PATH, FIRST, SIZE) and word(PATH, INDEX)"


class Amount(NamedTuple):
    """One side of a term, as it was written."""

    path: str
    decimals: int | None = None
    function: str = ""  # "sum" or "count"
    part: tuple[str, int, int] | None = None  # ("bits", FIRST, SIZE) or ("word", INDEX, 0)

    def __str__(self) -> str:
        text = self.path
        if self.part is not None:
            name, first, size = self.part
            text = f"bits({text}, {first}, {size})" if name == "bits" else f"word({text}, {first})"
        if self.decimals is not None:
            text += f"({self.decimals})"
        return f"{self.function}({text})" if self.function else text


class Term(NamedTuple):
    """The left side of a condition."""

    amount: Amount
    divisor: Amount | None = None
    is_total: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether it is only a path."""
        return self == Term(Amount(self.amount.path))

    def __str__(self) -> str:
        """As people write it."""
        text = str(self.amount) if self.divisor is None else f"{self.amount} / {self.divisor}"
        return f"total {text}" if self.is_total else text


def parse(text: str) -> Term:
    """The term that `text` is."""
    if len(text) > MAX_TERM:
        raise ValueError(f"what stands left of the operator has more than {MAX_TERM:,} characters")
    total = _TOTAL.match(text)
    if total:
        text = text[total.end() :]
    text = "".join(part.strip(BLANKS) for part in _MARK.split(text))
    sides = text.split("/")
    if len(sides) > 2:
        raise ValueError("a price has two sides, as in A / B")
    if total and len(sides) > 1:
        raise ValueError("a price has no total")
    return Term(_amount(sides[0]), _amount(sides[1]) if len(sides) > 1 else None, bool(total))


def _amount(text: str) -> Amount:
    called = _FUNCTION.fullmatch(text)
    if called is None:
        return _number(text)
    name, inner = called.groups()
    amount = _number(inner)
    if name == "count" and amount != Amount(inner):
        raise ValueError("count takes a path alone, as in count(message.offer)")
    return amount._replace(function=name)


def _number(text: str) -> Amount:
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise ValueError(f"this is neither a field, such as message.amount, nor one of {_TERMS}")
    name, path, first, size, plain, digits = match.groups()
    decimals = None if digits is None else _whole(digits, MAX_DECIMALS, "how many decimals there are")
    if plain is not None:
        return Amount(plain, decimals)
    if name == "word":
        if size is not None:
            raise ValueError("word takes a path and the number of the word, as in word(message.data, 0)")
        return Amount(path, decimals, part=("word", _whole(first, MAX_WORD, "the number of a word"), 0))
    if size is None:
        raise ValueError("bits takes a path, the first bit and how many there are, as in bits(message.nonce, 20, 44)")
    at = _whole(first, BITS - 1, "the first bit")
    number = _whole(size, BITS, "how many bits there are")
    if number == 0:
        raise ValueError("bits needs at least one bit")
    return Amount(path, decimals, part=("bits", at, number))


def _whole(text: str, most: int, what: str) -> int:
    if not _WHOLE.fullmatch(text) or int(text) > most:
        raise ValueError(f"{what} must be a whole number from 0 to {most}, without zeros in front")
    return int(text)


def scaled(text: str, digits: int, *, may_be_negative: bool = False) -> int:
    """A decimal number times 10**digits. It has at most `digits` digits after its point."""
    if not _DECIMAL.fullmatch(text):
        raise ValueError(
            "this must be a number such as 1500.25: digits without commas, at most 78 before the point and 36 after"
        )
    if text[0] == "-" and not may_be_negative:
        raise ValueError("this must not be less than zero")
    whole, _, fraction = text.partition(".")
    if len(fraction) > digits:
        raise ValueError(
            f"this has {len(fraction)} digits after its point, and the field has {digits} decimals: are they right?"
        )
    return int(whole + fraction.ljust(digits, "0"))


def spanned(text: str) -> tuple[str, int]:
    """The limit of a total, and the seconds that it is for, from a text such as 100/day."""
    match = _SPAN.fullmatch(text)
    if match is None or match[2] not in _SPANS:
        raise ValueError("a total is AMOUNT/hour or AMOUNT/day, such as 500/day")
    return match[1], _SPANS[match[2]]
