"""Conditions of the policy: the lines of a section that say what the fields of a payload may be.

In: the conditions of a Section, and the Fields of its kind of payload. Out: Conditions, which judge payloads. They
report every mistake with its line to the section, and raise nothing. Pure.

    condition = term OPERATOR value         the operator is the first of = <= >= within about until matches on the line
    term      = amount | amount "/" amount | "total " amount
    amount    = number | "sum(" number ")" | "count(" PATH ")"
    number    = source [ "(" DECIMALS ")" ]
    source    = PATH | "bits(" PATH "," FIRST "," SIZE ")" | "word(" PATH "," INDEX ")"

A kind whose sections have conditions sets Limits.has_conditions, and hands the compiler an object that is its Fields.
All arithmetic is exact: an amount is an integer of its smallest units, and so is the limit that it is compared with.
"""

from __future__ import annotations

import re
from functools import partial
from itertools import repeat
from math import gcd
from operator import ge, le, mul
from typing import Any, Callable, Iterable, Iterator, NamedTuple, Protocol, Sequence

from ordersigner.payloads import typed_values
from ordersigner.payloads.payload import Payload, Unreadable
from ordersigner.payloads.typed_values import Value
from ordersigner.policy import terms
from ordersigner.policy.pattern import MAX_TEXT, Pattern
from ordersigner.policy.rules import TOTAL_STEP, Need, Objection, Total, in_tokens, total_in_words
from ordersigner.policy.settings import MAX_TOTAL, Section, Setting, address, quoted, shown_value
from ordersigner.policy.terms import Amount, Term

MAX_SECONDS = 10**9  # of "within", "about" and "until"
TEXT_DIGITS = 18  # after the point, of a text that is a number

COMPARISONS = ("<=", ">=")
TIMES = ("within", "about", "until")
OPERATORS = ("=", *COMPARISONS, *TIMES, "matches")

_INTEGER = re.compile("-?[0-9]+|0[xX][0-9A-Fa-f]+").fullmatch
_TEXT_NUMBER = re.compile(r"(0|[1-9][0-9]{0,59})(?:\.([0-9]{1,18}))?").fullmatch
_SECONDS = re.compile("[1-9][0-9]{0,9}").fullmatch
_PRICE_DIGITS = 12  # of a price, in a refusal

_Holds = Callable[[Any, float], bool]  # whether a payload meets a condition at a time


class Access(Protocol):
    """The way from a payload to the values of a field."""

    @property
    def type(self) -> str:
        """An atom of EIP-712, such as uint64, string or address. For a count: "elements" or "bytes"."""

    @property
    def array(self) -> str:
        """The place of the first array of which it takes every element; "" if it takes one value."""

    def values(self, payload: Any) -> Sequence[Value]:
        """The values as the type's: int, str or bool; bytes for addresses, bytesN and bytes. A number in a text is str.

        At least one, except of what is counted. Raises Unreadable (of payloads/payload.py) for an array without
        elements, an element or a member that is not there, and a value of another JSON type.
        """

    def place(self, payload: Any, number: int) -> str:
        """Where one of the values is, such as message.offer[1].token. number: its index in values()."""


class Field(NamedTuple):
    """A field that a payload has, for the words on what is not limited."""

    path: str  # with "*" for every dimension of each array on the way
    type: str  # an atom; "" of an array whose elements have nothing in them
    lengths: tuple[int, ...] = ()  # for each "*": how many elements the array must have; 0: any number
    hint: str = ""  # the reason why a limit on it may mean little, such as "a hash"


class Fields(Protocol):
    """What the conditions of a kind may be about. All texts are for people, and repeat no value."""

    def field(self, path: str) -> Access:
        """The way to an atom. Raises ValueError if there is no such field."""

    def counted(self, path: str) -> Access:
        """The way to the length of an array, bytes or a string. Raises ValueError."""

    def check(self, term: Term, operator: str) -> None:
        """Raises ValueError for a condition that the grammar allows and this kind does not take."""

    def fields(self) -> Iterable[Field]:
        """Every field there is. There can be very many, so they are made one by one."""


class Side:
    """An amount of a term, compiled.

    read: a payload to its values. Those of a number are integers of its smallest units; a whole has 10**digits.
    """

    def __init__(self, amount: Amount, fields: Fields) -> None:
        """Raises ValueError."""
        self.amount = amount
        self.access = fields.counted(amount.path) if amount.function == "count" else fields.field(amount.path)
        self.array = "" if amount.function == "sum" else self.access.array
        self.digits = amount.decimals or 0
        self.read: Callable[[Any], Sequence[Any]] = self.access.values
        type = self.access.type
        self.is_signed = type.startswith("int")
        self.is_number = True
        if amount.function == "count":
            return
        if amount.part is not None:
            self._take_part(*amount.part)
        elif type == "string" and amount.decimals is not None:
            self.digits += TEXT_DIGITS
            self.read = self._texts
        else:
            self.is_number = self.is_signed or type.startswith("uint")
            if amount.decimals is not None and not self.is_number:
                raise ValueError(f"this field is of the type {type}, which has no decimals")
        if amount.function == "sum":
            if not self.access.array:
                raise ValueError('a sum needs a "*" in its path, for every element of an array')
            if not self.is_number:
                raise ValueError(f"this field is of the type {type}, which has no sum{_decimals_hint(self)}")
            self._addends = self.read
            self.read = self._sum

    def _take_part(self, name: str, first: int, size: int) -> None:
        type = self.access.type
        if name == "word":
            if type != "bytes":
                raise ValueError(f"this field is of the type {type}, and words are of bytes")
            self._first = 32 * first
            self.read = self._words
        else:
            if not type.startswith("uint"):
                raise ValueError(f"this field is of the type {type}, and bits are of unsigned integers")
            if first + size > int(type[4:]):
                raise ValueError(f"this field has {type[4:]} bits, from 0 to {int(type[4:]) - 1}")
            self._first, self._mask = first, (1 << size) - 1
            self.read = self._bits

    @property
    def limit(self) -> int | None:
        """A number that all values are below; None if there is none."""
        if self.amount.function or self.access.type == "string":
            return None
        if self.amount.part is not None:
            name, _, size = self.amount.part
            return 1 << (size if name == "bits" else terms.BITS)
        return 1 << (int(self.access.type[3:]) - 1 if self.is_signed else int(self.access.type[4:]))

    def place(self, payload: Any, number: int) -> str:
        """As Access.place(); of a sum, the array."""
        return self.access.array if self.amount.function == "sum" else self.access.place(payload, number)

    def shown(self, value: Any) -> str:
        """A value, as a refusal may repeat it; "" if it may not."""
        if self.access.type == "bytes":  # their content is not shown, not even as a word
            return ""
        return shown_value(value, digits=self.digits) if self.is_number else shown_value(value, type=self.access.type)

    def number(self, word: str) -> int:
        """A number of the policy in the smallest units. Raises ValueError."""
        limit = self.limit
        if self.amount.decimals is None:
            kind = self.access.type if limit is not None and self.amount.part is None else "uint256"
            if self.amount.function == "sum" and self.is_signed:
                kind = "int256"
            if not _INTEGER(word):
                raise ValueError(self._integer_wanted)
            value = int(typed_values.value_of(kind, word))
        else:
            value = terms.scaled(word, self.digits, may_be_negative=self.is_signed)
        if limit is not None and not (-limit if self.is_signed else 0) <= value < limit:
            raise ValueError("this number does not fit what it is compared with")
        return value

    @property
    def _integer_wanted(self) -> str:
        wanted = "this must be a whole number, in decimal digits or as 0x and hexadecimal ones"
        if self.amount.function == "count":
            return wanted
        with_decimals = quoted(str(self.amount._replace(decimals=6)))
        return f"{wanted}; for whole tokens, write the decimals, as in {with_decimals}"

    def _texts(self, payload: Any) -> list[int]:
        numbers: list[int] = []
        values: Sequence[Any] = self.access.values(payload)
        for text in values:
            match = _TEXT_NUMBER(text)
            if match is None:
                raise Unreadable(self.access.place(payload, len(numbers)), "a number in this text")
            numbers.append(int(match[1] + (match[2] or "").ljust(TEXT_DIGITS, "0")))
        return numbers

    def _bits(self, payload: Any) -> list[int]:
        first, mask = self._first, self._mask
        values: Sequence[Any] = self.access.values(payload)
        return [value >> first & mask for value in values]

    def _words(self, payload: Any) -> list[int]:
        first, end = self._first, self._first + 32
        words: list[int] = []
        values: Sequence[Any] = self.access.values(payload)
        for content in values:
            if len(content) < end:
                raise Unreadable(self.access.place(payload, len(words)), f"word {first // 32} of these bytes")
            words.append(int.from_bytes(content[first:end], "big"))
        return words

    def _sum(self, payload: Any) -> list[int]:
        values: Sequence[Any] = self._addends(payload)
        return [sum(values)]


class Condition:
    """A compiled condition.

    holds: whether a payload meets it. Raises Unreadable. words: what it allows.
    only: the one value that it allows, of a condition on a field as a whole.
    """

    holds: _Holds
    words: str
    only: Value | None = None
    pattern: Pattern | None = None
    most: int | None = None  # of a count: how many at the most
    names_divisor = True  # of a price: whether a divisor that is not above zero is itself at fault
    bound: str = ""  # of "<=" and ">=", except of a total: the number as it was written
    level = 0  # the same in the smallest units; of a quotient, in units of 10^-36
    numbers: Sequence[int] = ()  # of "=": those that it allows, in the smallest units

    def __init__(self, term: Term, operator: str, side: Side) -> None:
        self.term = term
        self.operator = operator
        self.side = side

    @property
    def sides(self) -> Sequence[Side]:
        return (self.side,)

    def fault(self, payload: Any, now: float, label: str) -> tuple[str, str, Callable[[], str]]:
        """Why it does not hold for a payload: the place of the first value at fault, the code and the text."""
        raise NotImplementedError


class _OfValues(Condition):
    """A condition that each value must meet."""

    def __init__(self, term: Term, operator: str, side: Side, text: str) -> None:
        super().__init__(term, operator, side)
        make = {"=": self._equals, "matches": self._matches}.get(operator)
        if make is None:
            make = self._times if operator in TIMES else self._compares
        make(text)
        read, test = side.read, self._test
        self.holds = lambda payload, now: test(read(payload), now)

    _test: Callable[[Sequence[Any], float], bool]

    def _equals(self, text: str) -> None:
        side = self.side
        if side.is_number:
            values: list[Any] = [side.number(word) for word in text.split()]
            self.numbers = values
        else:
            type = side.access.type
            values = [_value(type, word) for word in ([text] if type == "string" else text.split())]
        if not text or not values:
            raise ValueError("a value is missing")
        if len(set(values)) != len(values):
            raise ValueError("a value is there twice")
        allowed = frozenset(values)
        self._test = lambda values, now: allowed.issuperset(values)
        if self.term.is_plain and len(values) == 1:
            self.only = values[0]
        if self.term.amount.function == "count":
            self.most = max(values)
        shown = text.split() if side.is_number else map(_in_words, values)
        self.words = f"with {self.term} {' or '.join(shown)}"

    def _matches(self, text: str) -> None:
        if not self.term.is_plain or self.side.access.type != "string":
            raise ValueError("only a field of the type string has a pattern")
        pattern = self.pattern = Pattern(text)
        matches = pattern.matches
        self._test = lambda texts, now: sum(map(len, texts)) <= MAX_TEXT and all(map(matches, texts))
        self.words = f"with {self.term} that matches {text}"

    def _compares(self, text: str) -> None:
        self._check_number()
        limit = self.level = self.side.number(text)
        self.bound = text

        def at_least(values: Sequence[int], now: float) -> bool:
            least: int = min(values, default=limit)
            return least >= limit

        def at_most(values: Sequence[int], now: float) -> bool:
            most: int = max(values, default=limit)
            return most <= limit

        if self.operator == ">=":
            self._test = at_least
            self.words = f"with {self.term} at least {text}"
            return
        self._test = at_most
        self.words = f"with {self.term} {'at most' if self.side.is_signed else 'from 0 to'} {text}"
        if self.term.amount.function == "count":
            self.most = limit

    def _times(self, text: str) -> None:
        if self.term.amount.function:
            raise ValueError(f"{self.operator} takes no sum and no count")
        self._check_number()
        if not _SECONDS(text) or int(text) > MAX_SECONDS:
            raise ValueError(f"this time in seconds must be a whole number from 1 to {MAX_SECONDS}")
        span: int = int(text) * 10**self.side.digits
        clock = self._clock

        def within(values: Sequence[int], now: float) -> bool:
            least: int = clock(now)
            return min(values) >= least and max(values) <= least + span

        def about(values: Sequence[int], now: float) -> bool:
            middle: int = clock(now)
            return min(values) >= middle - span and max(values) <= middle + span

        def until(values: Sequence[int], now: float) -> bool:
            return max(values) <= clock(now) + span

        self._test = {"within": within, "about": about, "until": until}[self.operator]
        when = {
            "within": f"between now and {text} seconds from now",
            "about": f"at most {text} seconds before or after now",
            "until": f"{'at most' if self.side.is_signed else 'from 0 to'} now plus {text} seconds",
        }[self.operator]
        self.words = f"with {self.term} {when}"

    @property
    def _clock(self) -> Callable[[float], int]:
        """From a time to the units of what is signed, rounded down. A text has more digits than the unit."""
        decimals = self.term.amount.decimals or 0
        unit, factor = 10**decimals, 10 ** (self.side.digits - decimals)

        def clock(now: float) -> int:
            numerator, denominator = now.as_integer_ratio()  # now * unit would be rounded to a double
            ticks: int = numerator * unit // denominator * factor
            return ticks

        return clock if self.side.digits else int

    def _check_number(self) -> None:
        if not self.side.is_number:
            type = self.side.access.type
            raise ValueError(
                f"this field is of the type {type}, and {self.operator} is for integers{_decimals_hint(self.side)}"
            )

    def fault(self, payload: Any, now: float, label: str) -> tuple[str, str, Callable[[], str]]:
        values = self.side.read(payload)
        first, end = 0, len(values)  # the first value that does not meet the condition is between these
        while end - first > 1:
            middle = (first + end) // 2
            if self._test(values[:middle], now):
                first = middle
            else:
                end = middle
        code = "not_allowed" if self.operator in ("=", "matches") else "over_limit"
        return self.side.place(payload, first), code, partial(self._text, values[first], now, label)

    def _text(self, value: Any, now: float, label: str) -> str:
        if self.term.amount.function == "count":
            return f"{label} does not allow {value} {self.side.access.type}."
        shown = self.side.shown(value)
        shown = shown and f": {shown}"
        if self.operator in ("=", "matches"):
            return f"{label} does not allow this value{shown}."
        if self.operator in COMPARISONS:
            return f"This value is {'above' if self.operator == '<=' else 'below'} the limit of {label}{shown}."
        return f"This time is too {'early' if value < self._clock(now) else 'late'} for {label}{shown}."


class _Price(Condition):
    """A condition on a quotient. Nothing is divided: a / b <= p / q is a * q <= b * p."""

    def __init__(self, term: Term, operator: str, side: Side, divisor: Side, text: str) -> None:
        super().__init__(term, operator, side)
        self.divisor = divisor
        if operator not in COMPARISONS:
            raise ValueError("a price takes <= and >= only")
        for each in (side, divisor):
            if not each.is_number:
                raise ValueError(f"a field of the type {each.access.type} has no price{_decimals_hint(each)}")
        if side.array and divisor.array:
            ways = [each.amount.path.split(".") for each in (side, divisor)]
            before = [way[: len(way) - way[::-1].index("*")] for way in ways]
            if before[0] != before[1]:
                raise ValueError('what stands before the last "*" must be the same on both sides')
        self.level = price = terms.scaled(text, terms.MAX_DECIMALS)
        self.bound = text
        # a / 10**A / (b / 10**B) against price / 10**36
        left = 10 ** (divisor.digits + terms.MAX_DECIMALS)
        right = price * 10**side.digits
        common = gcd(left, right)
        self._left, self._right = left // common, right // common
        self._compare = le if operator == "<=" else ge
        self.holds = self._hold if side.array or divisor.array else self._one_holds
        self.words = f"with {term} at {'most' if operator == '<=' else 'least'} {text}"

    @property
    def sides(self) -> Sequence[Side]:
        return self.side, self.divisor

    def _one_holds(self, payload: Any, now: float) -> bool:
        a, b = self.side.read(payload)[0], self.divisor.read(payload)[0]
        return b > 0 <= a and bool(self._compare(a * self._left, b * self._right))

    def _hold(self, payload: Any, now: float) -> bool:
        return self._hold_all(*self._read(payload))

    def _hold_all(self, amounts: Sequence[int], divisors: Sequence[int]) -> bool:
        return (
            min(divisors, default=1) > 0 <= min(amounts, default=0)
            and all(map(self._compare, map(mul, amounts, repeat(self._left)), map(mul, divisors, repeat(self._right))))
        )  # fmt: skip

    def _read(self, payload: Any) -> tuple[Sequence[int], Sequence[int]]:
        """As many amounts as divisors."""
        amounts, divisors = self.side.read(payload), self.divisor.read(payload)
        if self.side.array and not self.divisor.array:
            divisors = [divisors[0]] * len(amounts)
        elif self.divisor.array and not self.side.array:
            amounts = [amounts[0]] * len(divisors)
        if not amounts:  # only a count with a "*" takes an array without elements, and a price without one would hold
            raise Unreadable(self.side.array or self.divisor.array, "at least one element in this array")
        return amounts, divisors

    def fault(self, payload: Any, now: float, label: str) -> tuple[str, str, Callable[[], str]]:
        amounts, divisors = self._read(payload)
        at = next(at for at, (a, b) in enumerate(zip(amounts, divisors)) if not self._hold_all([a], [b]))
        is_divisor = divisors[at] <= 0 and self.names_divisor
        side = self.divisor if is_divisor else self.side
        return (
            side.place(payload, at if side.array else 0),
            "over_limit",
            partial(self._text, amounts[at], divisors[at], label),
        )

    def _text(self, a: int, b: int, label: str) -> str:
        if b <= 0 or a < 0:
            wanted = "above zero" if b <= 0 else "zero or more"
            shown = self.divisor.shown(b) if b <= 0 else self.side.shown(a)
            return f"{label} has a price, so this value must be {wanted}{shown and f', and it is {shown}'}."
        is_above = self.operator == "<="
        shown = ""
        if self.side.shown(a) and self.divisor.shown(b):
            shown = f": {_quotient(a * 10**self.divisor.digits, b * 10**self.side.digits, up=is_above)}"
        return f"This price is {'above' if is_above else 'below'} the limit of {label}{shown}."


class _OfTotal(Condition):
    """A limit on all signatures together. A payload meets it as far as there is something to count."""

    def __init__(self, term: Term, operator: str, side: Side, text: str, section: Section) -> None:
        super().__init__(term, operator, side)
        if operator != "<=":
            raise ValueError("a total takes <= only")
        if term.amount.function == "count":
            raise ValueError("a count has no total")
        if not side.is_number:
            raise ValueError(f"a field of the type {side.access.type} has no total{_decimals_hint(side)}")
        if side.is_signed:
            raise ValueError("a field that may be negative has no total: a negative value would give room back")
        if side.array:
            raise ValueError('a total of every element is that of their sum, as in "total sum(PATH) <= 100/day"')
        word, seconds = terms.spanned(text)
        limit = (
            terms.scaled(word, side.digits)
            if term.amount.decimals is not None
            else int(typed_values.value_of("uint256", word))
        )
        if not limit:
            raise ValueError(f"a total must be more than 0; to allow none of it, write {quoted(str(term.amount))} = 0")
        if limit > MAX_TOTAL:
            raise ValueError("a total must be below 2^256 of the smallest units")
        name = str(term.amount).replace(", ", ",")
        self.total = Total(section.name, name, seconds, limit, side.digits, section.kind)
        self.words = total_in_words(self.total, str(term.amount))

    def holds(self, payload: Any, now: float) -> bool:
        self.side.read(payload)
        return True

    def need(self, payload: Any, root: str) -> Need:
        return Need(self.total, self.side.read(payload)[0], root + self.side.place(payload, 0))


class Conditions:
    """All conditions of a section, compiled. A payload must meet each of them."""

    def __init__(
        self,
        section: Section,
        fields: Fields,
        root: str,
        *,
        settings: Sequence[Setting] | None = None,
        names_divisor: bool = True,
    ) -> None:
        """Reports mistakes to the section: call section.raise_if_wrong() afterwards.

        root: what the field of a refusal has before the place, such as "typed_data."; "" if nothing.
        settings: those of section.conditions that are compiled; without it, all.
        names_divisor: whether a refusal for a price names the divisor if that is not above zero.
        """
        self._root = root
        self._section = section.name
        self._label = f"[{section.kind} {section.name}]"
        self.fields = fields
        self.compiled: list[Condition] = []
        seen: set[tuple[Term, str]] = set()
        lines: dict[Condition, int] = {}
        for setting in section.conditions if settings is None else settings:
            try:
                condition = _compile(setting, fields, section)
            except ValueError as error:
                section.wrong_at(setting.line, f"{quoted(setting.name)}: {error}")
                continue
            key = (condition.term, condition.operator)
            if key in seen:
                section.wrong_at(setting.line, f"{quoted(setting.name)} is set twice in this section")
            else:
                seen.add(key)
                condition.names_divisor = names_divisor
                lines[condition] = setting.line
                self.compiled.append(condition)
        for condition, reason in _contradictions(self.compiled):
            section.wrong_at(lines[condition], f"{quoted(str(condition.term))} {condition.operator}: {reason}")
        self.compiled.sort(key=lambda condition: condition.term.is_total)  # totals last; otherwise as in the file
        self._totals = [condition for condition in self.compiled if isinstance(condition, _OfTotal)]
        self.totals: Sequence[Total] = [condition.total for condition in self._totals]

    def objection(self, payload: Payload, now: float, first_step: int = 1) -> Objection | None:
        """first_step: that of an objection by the first condition. The others follow. now: seconds since 1970."""
        step = first_step
        try:
            for condition in self.compiled:
                if not condition.holds(payload, now):
                    place, code, text = condition.fault(payload, now, self._label)
                    return Objection(min(step, TOTAL_STEP - 1), self._root + place, code, text, self._section)
                step += 1
        except Unreadable as fault:
            message = f"{self._label} needs {fault.wanted}."
            place = self._root + fault.place
            return Objection(min(step, TOTAL_STEP - 1), place, "not_allowed", message, self._section)
        return None

    def needs(self, payload: Payload) -> Sequence[Need]:
        """The amounts that a payload without an objection takes from the totals."""
        return [condition.need(payload, self._root) for condition in self._totals]

    def permits(self) -> list[str]:
        """Each condition in words. Two that bound the same term from below and from above are one."""
        bounds = {(condition.term, condition.operator): condition.bound for condition in self.compiled}
        words: dict[object, str] = {}
        for condition in self.compiled:
            term = condition.term
            least, most = bounds.get((term, ">=")), bounds.get((term, "<="))
            if condition.bound and least and most:
                words[term] = f"with {term} from {least} to {most}"
            else:
                words[condition] = condition.words
        return list(words.values())


def _compile(setting: Setting, fields: Fields, section: Section) -> Condition:
    """Raises ValueError. The longest path that exists is meant, because the name of a field may contain an operator."""
    failure = ValueError("there is no operator")
    for text, operator, value in setting.splits():
        try:
            term = terms.parse(text)
            side = Side(term.amount, fields)
            divisor = Side(term.divisor, fields) if term.divisor else None
        except ValueError as error:
            failure = error
            continue
        fields.check(term, operator)
        if term.is_total:
            return _OfTotal(term, operator, side, value, section)
        if divisor is not None:
            return _Price(term, operator, side, divisor, value)
        return _OfValues(term, operator, side, value)
    raise failure


def _contradictions(compiled: Sequence[Condition]) -> Iterator[tuple[Condition, str]]:
    """Conditions that no value can meet together with the others on the same term."""
    by_operator = {(condition.term, condition.operator): condition for condition in compiled}
    for condition in compiled:
        least, most = (by_operator.get((condition.term, operator)) for operator in (">=", "<="))
        if condition is most and least is not None and most.level < least.level:
            yield condition, f"this is below {least.bound}, which this section has for >=, so no value could be allowed"
        elif condition.numbers and not any(
            (least is None or number >= least.level) and (most is None or number <= most.level)
            for number in condition.numbers
        ):
            yield condition, "the <= and >= that this section has for it allow none of these values"


def _in_words(value: Value) -> str:
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _value(type: str, word: str) -> Value:
    if type == "address":
        address(word)
        if len(word) == 40:
            word = "0x" + word  # as everywhere in a policy
    return typed_values.value_of(type, word)


def _decimals_hint(side: Side) -> str:
    if side.access.type == "string" and side.amount.decimals is None:
        return f"; a text that is a number needs decimals, such as {quoted(side.amount.path)}(0)"
    return ""


def _quotient(a: int, b: int, *, up: bool) -> str:
    """a / b with 12 digits, rounded away from a limit that it is above (up) or below."""
    digits = _PRICE_DIGITS - len(str(a // b)) if a >= b else _PRICE_DIGITS + len(str(b // max(a, 1))) - 1
    digits = max(digits, 0)
    value = a * 10**digits
    return in_tokens(-(-value // b) if up else value // b, digits)
