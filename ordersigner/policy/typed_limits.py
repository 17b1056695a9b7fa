"""What a rule says about typed data: a [typed NAME] section of the policy, compiled.

In: TypedData and the time. Out: an Objection, or None. Raises WrongSection for a section that is wrong. Pure.

A section allows data of one type. The type is given as its whole string, because names say little: today's venues have
eight different types named "Order". The domain says which contract may use the signature. It must be of the type that
the section implies, and each of its fields must have a value that the section allows. Without that, a signature for a
test network would be one for the real one. Fields of the message may have conditions, and what has none is free. A
condition on the elements of an array holds for each of them. It refuses an array without elements, which would meet any
condition.

Only the values that are hashed count, as exact integers and bytes.
"""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import Any, Callable, Mapping, NamedTuple, Sequence

from ordersigner.payloads import typed_data, typed_values
from ordersigner.payloads.hyperliquid import AGENT_TYPE
from ordersigner.payloads.payload import Payload
from ordersigner.payloads.typed_data import Path, Schema, TypedData
from ordersigner.payloads.typed_types import DOMAIN
from ordersigner.payloads.typed_values import Value
from ordersigner.policy.limits import Limits
from ordersigner.policy.rules import TOTAL_STEP, Judge, Need, Objection, Total
from ordersigner.policy.settings import Section, WrongSection, did_you_mean, number, quoted
from ordersigner.text import ELLIPSIS, cleaned, entered

MAX_SECONDS = 10**9  # of "within"
MAX_DOMAINS = 64  # that a section remembers
MAX_OPEN = 100  # fields that leaves_open() lists
MAX_ENTERED = 16  # fields whose values an entry of the journal has
MAX_ELEMENTS = 4  # of an array, in an entry

# The standard's fields of a domain, in its order.
_STANDARD = {
    "name": "string",
    "version": "string",
    "chainId": "uint256",
    "verifyingContract": "address",
    "salt": "bytes32",
}
# Fields that look harmless, and in which the order as a whole, or a part of it, is packed.
_PACKED = {
    "message.makerTraits": "expiry, allowed taker and how it may be filled are packed into it",  # 1inch
    "message.msg": "this text may be an order as a whole",  # Aster
}
_HASH = "a hash or packed data: what it stands for cannot be seen"
_SIGNED_DATA = "typed_data"

_NO_TYPE = "No rule allows data of this type. A section allows one type, with exactly its fields and types of fields."
_TYPE = Objection(1, f"{_SIGNED_DATA}.primaryType", "not_allowed", _NO_TYPE)
_DOMAIN_TYPE = Objection(2, f"{_SIGNED_DATA}.types.{DOMAIN}", "not_allowed", "No rule allows a domain of this type.")
_SECONDS = number(1, MAX_SECONDS, "this time in seconds")
_STEP = 3  # that of the first condition


_Holds = Callable[[Sequence[Any], float], bool]  # whether all values, one at least, meet a condition at a time


class _Check(NamedTuple):
    """A compiled condition."""

    path: str
    operator: str
    access: Path
    holds: _Holds
    code: str
    message: str
    words: str
    only: Value | None = None  # the one value that holds

    @property
    def has_star(self) -> bool:
        return "*" in self.path


class TypedLimits(Limits):
    """The typed data that a section allows."""

    kind = "typed"
    settings = ("type", "domain")
    listed_by = "typed"
    has_any = True

    @classmethod
    def judges(cls, rule: Section, sections: Mapping[str, Any]) -> Sequence[Judge]:
        return [AnyTypedData()] if rule.is_any(cls.listed_by) else super().judges(rule, sections)

    def __init__(self, section: Section) -> None:
        """The settings of a section:

        type: a type's string, as encodeType writes it.
        domain: the domain's own type, EIP712Domain(…), if it has other fields than the standard's, or another order.
        All others are conditions: on fields of the domain, which only take "=", and on fields of the message.
        """
        self._schema = _schema(section)
        self._allowed_domains: set[bytes] = set()  # separators of domains that were allowed before
        conditions = {name: setting for name, setting in section.settings.items() if name not in self.settings}
        checks = []
        for name, condition in conditions.items():
            check = section.text(name, partial(_compile, self._schema, condition.path, condition.operator))
            if check is not None:
                checks.append(check)
        pinned = {condition.path for condition in conditions.values()}
        for field in self._schema.domain:
            path = f"domain.{field.name}"
            if path not in pinned:
                section.wrong(f"{quoted(path)}: the domain has this field, so it needs a value")
        section.raise_if_wrong()
        self._domain_checks = [check for check in checks if check.path.startswith("domain.")]
        self._message_checks = [check for check in checks if check.path.startswith("message.")]
        # What the journal says of the values: as it is, where a condition allows only one.
        self._entries: dict[str, Path | tuple[str, str]] = {}
        for check in self._message_checks:
            if check.only is not None and not check.has_star:
                self._entries[check.path] = _entry(check.path, check.only)
            else:
                self._entries.setdefault(check.path, check.access)

    def judge(self, payload: Payload, now: float) -> Objection | None:
        assert isinstance(payload, TypedData)
        if payload.schema.type != self._schema.type:
            return _TYPE
        if payload.separator not in self._allowed_domains:
            if payload.schema.domain_type != self._schema.domain_type:
                return self._domain_objection(payload.schema)
            objection = _first_objection(self._domain_checks, _STEP, payload, now)
            if objection is not None:
                return objection
            if len(self._allowed_domains) < MAX_DOMAINS:
                self._allowed_domains.add(payload.separator)
        return _first_objection(self._message_checks, _STEP + len(self._domain_checks), payload, now)

    def _domain_objection(self, schema: Schema) -> Objection:
        """The objection to a field that only one of the two domains has, or else to the domain's type."""
        theirs = {field.name for field in schema.domain}
        ours = {field.name for field in self._schema.domain}
        for field in (*schema.domain, *self._schema.domain):
            if (field.name in theirs) != (field.name in ours):
                place = f"{_SIGNED_DATA}.domain.{field.name}"
                return Objection(2, place, "not_allowed", "No rule allows a domain with, or without, this field.")
        return _DOMAIN_TYPE

    def entry(self, payload: Payload) -> tuple[str, str, tuple[str, ...]]:
        """Has the values of the message's fields that conditions name. The payload tells the domain."""
        assert isinstance(payload, TypedData)
        entries: list[tuple[str, str]] = []
        for path, known in islice(self._entries.items(), MAX_ENTERED):
            if isinstance(known, tuple):
                entries.append(known)
            elif "*" not in path:
                entries.append(_entry(path, known.values(payload)[0]))
            else:
                elements = list(islice(known.each(payload), MAX_ELEMENTS + 1))
                entries += [_entry(place, value) for place, value in elements[:MAX_ELEMENTS]]
                entries += [_left_out(f"{place} ") for place, _ in elements[MAX_ELEMENTS:]]
        if len(self._entries) > MAX_ENTERED:
            entries.append(_left_out())
        if not entries:
            return self.name, "", ()
        words, fields = zip(*entries)
        return self.name, f" with {', '.join(words)}", fields

    def permits(self) -> list[str]:
        checks = [*self._domain_checks, *self._message_checks]
        return [f"typed data {self._schema.type}", *(check.words for check in checks)]

    def leaves_open(self) -> list[str]:
        judged = {check.path for check in self._message_checks}
        fixed = {check.path for check in self._message_checks if check.code == "not_allowed"}
        words = []
        for path in dict.fromkeys(check.path for check in self._message_checks):
            operators = {check.operator for check in self._message_checks if check.path == path}
            if operators == {">="}:
                words.append(f"how high {path} may be")
            elif operators == {"<="} and self._schema.path(path).type.startswith("int"):
                words.append(f"how far below zero {path} may be")
        paths = list(islice(self._schema.paths(), MAX_OPEN + 1))
        for path, kind in paths[:MAX_OPEN]:
            packed = _PACKED.get(path, _HASH if kind.startswith("bytes") else "")
            if path not in judged or (packed and path not in fixed):
                words.append(f"{path} ({packed})" if packed else path)
        if len(paths) > MAX_OPEN:
            words.append("further fields: the type has very many")
        arrays = dict.fromkeys(array for path, _ in paths for array in self._schema.arrays(path))
        return words + [f"how many elements {path} has" for path in arrays]


class AnyTypedData:
    """All typed data, for `typed = any`, except Hyperliquid's Agent: it stands for an action that it does not show."""

    totals: Sequence[Total] = ()

    def needs(self, payload: Payload) -> Sequence[Need]:
        return ()

    def judge(self, payload: Payload, now: float) -> Objection | None:
        assert isinstance(payload, TypedData)
        return _TYPE if payload.schema.type == AGENT_TYPE else None

    def entry(self, payload: Payload) -> tuple[str, str, tuple[str, ...]]:
        return "any", "", ()

    def permits(self) -> list[str]:
        return ["any typed data"]

    def leaves_open(self) -> list[str]:
        return ["the typed data: also permits to take the key's tokens, and transactions of its Safe, so all it owns"]


def _left_out(place: str = "") -> tuple[str, str]:
    return f"{place}{ELLIPSIS}", f"ORDERSIGNER_VALUE={place}{ELLIPSIS}"


def _entry(place: str, value: Value) -> tuple[str, str]:
    """What the journal says of a value at its place, in words and as a field."""
    kind = type(value)
    if kind is str:
        text, in_words = entered(value)
        return f"{place} {in_words}", f"ORDERSIGNER_VALUE={place} {text}"
    if kind is int:
        text = cleaned(value)
    elif kind is bool:
        text = "true" if value else "false"
    else:
        assert isinstance(value, bytes)
        text = f"0x{value.hex()}"
        if len(value) != 20:  # an address is not cut: it is shorter than a key
            text = cleaned(text)
    words = f"{place} {text}"
    return words, f"ORDERSIGNER_VALUE={words}"


def _schema(section: Section) -> Schema:
    """The types that a section gives; raises WrongSection."""
    if "type" not in section.settings:
        section.wrong("a section of typed data needs type")
    section.text("type", typed_data.schema_of)
    section.raise_if_wrong()
    own_domain = section.settings.get("domain")
    domain_type = own_domain.value if own_domain else _standard_domain(section)
    try:
        return typed_data.schema_of(section.settings["type"].value, domain_type)
    except ValueError as error:
        section.wrong(f"domain: {error}", "domain")
        raise WrongSection from None


def _standard_domain(section: Section) -> str:
    """The type of a domain that has those of the standard's fields that the section names; raises WrongSection."""
    paths = [setting.path for setting in section.settings.values() if setting.path.startswith("domain.")]
    if not paths:
        section.wrong("type: the domain must be given, such as domain.name and domain.verifyingContract", "type")
    standard = {f"domain.{name}": f"{type} {name}" for name, type in _STANDARD.items()}
    for path in paths:
        if path not in standard:
            known = f"only {', '.join(_STANDARD)} are known; others need a setting: domain = {DOMAIN}(…)"
            section.wrong(f"{quoted(path)}: {known}{did_you_mean(path, standard)}", path)
    section.raise_if_wrong()
    return f"{DOMAIN}({','.join(field for path, field in standard.items() if path in paths)})"


def _first_objection(checks: Sequence[_Check], first_step: int, data: TypedData, now: float) -> Objection | None:
    """The objection of the first of `checks` that does not hold."""
    for step, check in enumerate(checks, first_step):
        values = check.access.values(data)
        if values and not check.holds(values, now):  # an array can have thousands: they are compared together
            first, end = 0, len(values)  # between which is the first that does not meet the condition
            while end - first > 1:
                middle = (first + end) // 2
                if check.holds(values[first:middle], now):
                    first = middle
                else:
                    end = middle
            place = check.access.place(data, first)
            return Objection(min(step, TOTAL_STEP - 1), f"{_SIGNED_DATA}.{place}", check.code, check.message)
        if check.has_star and check.access.empty(data):
            place = f"{_SIGNED_DATA}.{check.path.partition('.*')[0]}"
            return Objection(
                min(step, TOTAL_STEP - 1), place, "not_allowed", "No rule allows this array without elements."
            )
    return None


def _compile(schema: Schema, path: str, operator: str, text: str) -> _Check:
    """A condition: what stands left of the operator, and right of it. Raises ValueError, with the reason."""
    if operator != "=" and operator not in _COMPARISONS:
        raise ValueError(f"after the field comes = or {' or '.join(_COMPARISONS)}")
    access = schema.path(path)
    if operator == "=":
        values = [_value(access.type, word) for word in ([text] if access.type == "string" else text.split())]
        if not text or not values:
            raise ValueError("a value is missing")
        if len(set(values)) != len(values):
            raise ValueError("a value is there twice")
        words = " or ".join(map(_shown, values))
        return _Check(
            path,
            operator,
            access,
            _one_of(values),
            "not_allowed",
            "No rule allows this value.",
            f"with {path} {words}",
            only=values[0] if len(values) == 1 else None,
        )
    if path.startswith("domain."):
        raise ValueError('a field of the domain takes "=" only')
    if "int" not in access.type:
        raise ValueError(f"this field is of the type {access.type}, and {operator} is for integers")
    limit = _SECONDS(text) if operator == "within" else int(_value(access.type, text))
    make, message, words = _COMPARISONS[operator]
    return _Check(path, operator, access, make(limit), "over_limit", message, f"with {path} {words.format(limit)}")


def _one_of(values: Sequence[Value]) -> _Holds:
    allowed = frozenset(values)
    return lambda values, _: allowed.issuperset(values)


def _at_most(limit: int) -> _Holds:
    return lambda values, _: max(values) <= limit


def _at_least(limit: int) -> _Holds:
    return lambda values, _: min(values) >= limit


def _within(seconds: int) -> _Holds:
    """Not before now either: 0 often stands for no end at all."""
    return lambda values, now: int(now) <= min(values) and max(values) <= now + seconds


_COMPARISONS: dict[str, tuple[Callable[[int], _Holds], str, str]] = {
    "<=": (_at_most, "This value is above the limit.", "at most {}"),
    ">=": (_at_least, "This value is below the limit.", "at least {}"),
    "within": (_within, "This time is past, or too far from now.", "between now and {} seconds from now"),
}


def _value(kind: str, word: str) -> Value:
    if kind == "address" and len(word) == 40:
        word = "0x" + word  # as everywhere in a policy
    return typed_values.value_of(kind, word)


def _shown(value: Value) -> str:
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    return str(value).lower() if isinstance(value, bool) else repr(value)
