"""Conditions of the policy: the lines of a section that say what the fields of a payload may be.

In: the conditions of a Section, and the Fields that its kind of payload has. Out: Conditions, which judge payloads.
They report every mistake with its line to the section, and raise nothing. Pure.

    condition = term OPERATOR value         the operator is the first of = <= >= within about until matches on the line
    term      = amount | amount "/" amount | "total " amount
    amount    = number | "sum(" number ")" | "count(" PATH ")"
    number    = source [ "(" DECIMALS ")" ]
    source    = PATH | "bits(" PATH "," FIRST "," SIZE ")" | "word(" PATH "," INDEX ")"

A kind whose sections have conditions sets Limits.has_conditions, and hands the compiler an object that is its Fields.
All arithmetic is exact: what is compared are integers.
"""

from __future__ import annotations

from typing import Any, Iterable, NamedTuple, Protocol, Sequence

from ordersigner.payloads.payload import Payload
from ordersigner.payloads.typed_values import Value
from ordersigner.policy.rules import Need, Objection, Total
from ordersigner.policy.settings import Section, Setting


class Unreadable(Exception):
    """A payload does not have the value that a condition is about, so it is not allowed.

    place: as Access.place() gives it, of the field or the array at fault. wanted: in words, such as "element 2".
    """

    def __init__(self, place: str, wanted: str) -> None:
        super().__init__(place)
        self.place = place
        self.wanted = wanted


class Access(Protocol):
    """The way from a payload to the values of a field. With a "*" in its path there can be any number of values."""

    @property
    def type(self) -> str:
        """An atom of EIP-712, such as uint64, string or address. Of what is counted: "elements" or "bytes"."""

    @property
    def array(self) -> str:
        """The place of the array that the first "*" of the path stands for; "" for a path without one."""

    def values(self, payload: Any) -> Sequence[Value]:
        """At least one value, as the type's: int, str or bool; bytes for addresses, bytesN and bytes.

        A string for an amount stays a string. Raises Unreadable: for an array without elements, an element or a member
        that is not there, or a value of another JSON type.
        """

    def place(self, payload: Any, number: int) -> str:
        """Where one of the values is, such as message.offer[1].token. number: its index in values()."""


class Field(NamedTuple):
    """A field that a payload has, for the words on what is not limited."""

    path: str  # with "*" for every dimension of each array on the way
    type: str  # an atom
    lengths: tuple[int, ...] = ()  # for each "*": how many elements the array must have; 0: any number
    hint: str = ""  # why a limit on it may say little, such as "a hash"


class Amount(NamedTuple):
    """One side of a term, as it was written."""

    path: str
    decimals: int | None = None
    function: str = ""  # "sum" or "count"
    part: tuple[str, int, int] | None = None  # ("bits", FIRST, SIZE) or ("word", INDEX, 0)


class Term(NamedTuple):
    """What stands left of the operator."""

    amount: Amount
    divisor: Amount | None = None
    is_total: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether it is a path and nothing else."""
        return self == (Amount(self.amount.path), None, False)


class Fields(Protocol):
    """What the conditions of a kind may be about. All texts are for people, and repeat no value."""

    def field(self, path: str) -> Access:
        """The way to an atom. Raises ValueError if there is no such field."""

    def counted(self, path: str) -> Access:
        """The way to an array, bytes or a string: its values are lengths. Raises ValueError."""

    def check(self, term: Term, operator: str) -> None:
        """Raises ValueError for a condition that the grammar allows and this kind does not take."""

    def fields(self) -> Iterable[Field]:
        """Every field there is. There can be very many, so they are made one by one."""


class Conditions:
    """All conditions of a section, compiled. A payload must meet each of them."""

    totals: Sequence[Total]

    def __init__(
        self, section: Section, fields: Fields, root: str, *, settings: Sequence[Setting] | None = None
    ) -> None:
        """Reports mistakes to the section: call section.raise_if_wrong() afterwards.

        root: what the field of a refusal has before the place, such as "typed_data."; "" if nothing.
        settings: those of section.conditions that are compiled; without it, all.
        """
        raise NotImplementedError

    def objection(self, payload: Payload, now: float, first_step: int = 1) -> Objection | None:
        """first_step: that of an objection by the first condition. The others follow. now: seconds since 1970."""
        raise NotImplementedError

    def needs(self, payload: Payload) -> Sequence[Need]:
        """What a payload to which there is no objection takes of the totals."""
        raise NotImplementedError

    def permits(self) -> list[str]:
        """Each condition in words."""
        raise NotImplementedError

    def leaves_open(self) -> list[str]:
        """Which fields, or sides of them, are not limited, in words."""
        raise NotImplementedError
