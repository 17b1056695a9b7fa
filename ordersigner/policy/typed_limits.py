"""The limits of a rule on typed data: a [typed NAME] section of the policy, compiled.

In: TypedData and the time. Out: an Objection, or None. Raises WrongSection for a section that is wrong. Pure.

A section allows data of one type. The type is given as its whole string, because names say little: today's venues have
eight different types named "Order". The domain says which contract may use the signature. It must be of the type that
the section implies, and each of its fields must have a value that the section allows. Otherwise a signature for a test
network could be used on the real one. Fields of the message may have conditions, and a field without one may have any
value. A condition on the elements of an array must hold for each of them. It refuses an array without elements, which
would meet any condition.

Only the values that are hashed count, as exact integers and bytes.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, Iterator, Mapping, Sequence

from ordersigner.payloads import typed_data
from ordersigner.payloads.hyperliquid import AGENT_TYPE
from ordersigner.payloads.paths import Path
from ordersigner.payloads.payload import Payload
from ordersigner.payloads.typed_data import Schema, TypedData
from ordersigner.payloads.typed_types import DOMAIN
from ordersigner.policy import open_fields
from ordersigner.policy.conditions import Conditions, Field
from ordersigner.policy.entries import Entries
from ordersigner.policy.limits import Limits
from ordersigner.policy.rules import Judge, Need, Objection, Total
from ordersigner.policy.settings import (
    Section,
    WrongSection,
    did_you_mean,
    quoted,
    shown_name,
    shown_value,
)
from ordersigner.policy.terms import Term

MAX_DOMAINS = 64  # that a section remembers

# The standard's fields of a domain, in its order.
_STANDARD = {
    "name": "string",
    "version": "string",
    "chainId": "uint256",
    "verifyingContract": "address",
    "salt": "bytes32",
}
# Fields that look harmless, but contain the whole order or a part of it.
_PACKED = {
    "message.makerTraits": "expiry, allowed taker and how it may be filled are packed into it",  # 1inch
    "message.msg": "this text may be an order as a whole",  # Aster
}
_HASH = "a hash or packed data: what it stands for cannot be seen"
_SIGNED_DATA = "typed_data"
_OF_DOMAIN = "domain."
_PLAIN = 'a field of the domain takes "=" only, and no more than its path'

_AGENT = "No rule allows this type: it stands for an action of Hyperliquid that it does not show."
_TYPE_STEP, _FIELDS_STEP, _DOMAIN_STEP = 1, 2, 3  # those of the first objections; conditions follow


class _Domain:
    """The fields of a domain for conditions, each with the values that it may have."""

    def __init__(self, schema: Schema) -> None:
        self.field = schema.path

    def counted(self, path: str) -> Path:
        raise ValueError(_PLAIN)

    def check(self, term: Term, operator: str) -> None:
        if not term.is_plain or operator != "=":
            raise ValueError(_PLAIN)

    def fields(self) -> Sequence[Field]:
        return ()


class _Message:
    """The fields of a message for conditions."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema

    def field(self, path: str) -> Path:
        if path.startswith(_OF_DOMAIN):
            raise ValueError(_PLAIN)
        return self._schema.path(path)

    def counted(self, path: str) -> Path:
        if path.startswith(_OF_DOMAIN):
            raise ValueError(_PLAIN)
        return self._schema.counted(path)

    def check(self, term: Term, operator: str) -> None:
        pass

    def fields(self) -> Iterator[Field]:
        for path, type, lengths in self._schema.paths():
            yield Field(path, type, lengths, _PACKED.get(path, _HASH if type.startswith("bytes") else ""))


class TypedLimits(Limits):
    """The typed data that a section allows."""

    kind = "typed"
    settings = ("type", "domain")
    listed_by = "typed"
    has_any = True
    has_conditions = True

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
        self._label = f"[{self.kind} {section.name}]"
        self._section = section.name
        self._allowed_domains: set[bytes] = set()  # separators of domains that were allowed before
        of_domain = [condition for condition in section.conditions if condition.path.startswith(_OF_DOMAIN)]
        others = [condition for condition in section.conditions if not condition.path.startswith(_OF_DOMAIN)]
        root = f"{_SIGNED_DATA}."
        self._domain = Conditions(section, _Domain(self._schema), root, settings=of_domain)
        self._message = Conditions(section, _Message(self._schema), root, settings=others)
        named = {condition.path for condition in of_domain}
        named.update(condition.term.amount.path for condition in self._domain.compiled)
        for field in self._schema.domain:
            path = f"{_OF_DOMAIN}{field.name}"
            if path not in named:
                section.wrong(f"{quoted(path)}: the domain has this field, so it needs a value")
        section.raise_if_wrong()
        self.totals = self._message.totals
        self._first_step = _DOMAIN_STEP + len(self._domain.compiled)  # of the message's conditions
        self._entries = Entries(self._message.compiled, "ORDERSIGNER_VALUE")

    def judge(self, payload: Payload, now: float) -> Objection | None:
        assert isinstance(payload, TypedData)
        if payload.schema.type != self._schema.type:
            return self._type_objection(payload.schema)
        if payload.separator not in self._allowed_domains:
            if payload.schema.domain_type != self._schema.domain_type:
                return self._domain_objection(payload.schema)
            objection = self._domain.objection(payload, now, _DOMAIN_STEP)
            if objection is not None:
                return objection._replace(message=partial(self._domain_text, payload, objection.field))
            if len(self._allowed_domains) < MAX_DOMAINS:
                self._allowed_domains.add(payload.separator)
        return self._message.objection(payload, now, self._first_step)

    def needs(self, payload: Payload) -> Sequence[Need]:
        return self._message.needs(payload)

    def _type_objection(self, schema: Schema) -> Objection:
        place = f"{_SIGNED_DATA}.primaryType"
        if schema.primary_type != self._schema.primary_type:
            names = [self._schema.primary_type]
            text: Callable[[], str] = partial(_no_type, schema.primary_type)
            return Objection(_TYPE_STEP, place, "not_allowed", text, self._section, names)
        text = partial(self._difference, schema)
        return Objection(_FIELDS_STEP, place, "not_allowed", text, self._section)

    def _difference(self, schema: Schema) -> str:
        name, number, theirs = schema.difference(self._schema)
        of_type = "" if name == schema.primary_type else f" of {shown_name(name) or 'a type'}"
        if theirs:
            shown = shown_name(theirs)
            field = f'{number}{of_type}, "{shown}"' if shown else f"{number}{of_type}"
        else:
            field = f"{number}{of_type}, which is missing"
        return f"{self._label} has another type of this name. The first difference is field {field}."

    def _domain_objection(self, schema: Schema) -> Objection:
        """The objection to a field that only one of the two domains has, or else to the domain's type."""
        theirs = {field.name for field in schema.domain}
        ours = {field.name for field in self._schema.domain}
        for field in (*schema.domain, *self._schema.domain):
            if (field.name in theirs) != (field.name in ours):
                place = f"{_SIGNED_DATA}.{_OF_DOMAIN}{field.name}"
                verb = "has" if field.name in theirs else "lacks"
                name = shown_name(field.name) or "this field"
                text = f"{self._label} does not allow this domain: it {verb} {name}."
                return Objection(_DOMAIN_STEP, place, "not_allowed", text, self._section)
        text = f"{self._label} does not allow a domain of this type."
        return Objection(_DOMAIN_STEP, f"{_SIGNED_DATA}.types.{DOMAIN}", "not_allowed", text, self._section)

    def _domain_text(self, payload: TypedData, place: str) -> str:
        name = place.rpartition(".")[2]
        access = self._schema.path(f"{_OF_DOMAIN}{name}")
        shown = shown_value(access.values(payload)[0], type=access.type)
        is_other = f"is {shown}" if shown else "is another one"
        return f"{self._label} does not allow this domain: {name} {is_other}."

    def entry(self, payload: Payload) -> tuple[str, str, tuple[str, ...]]:
        """Has the values of the message's fields that conditions name. The payload's own entry has the domain."""
        assert isinstance(payload, TypedData)
        return (self.name, *self._entries.of(payload))

    def permits(self) -> list[str]:
        return [f"typed data {self._schema.type}", *self._domain.permits(), *self._message.permits()]

    def leaves_open(self) -> list[str]:
        return open_fields.leaves_open(self._message)


def _no_type(name: str) -> str:
    shown = shown_name(name)
    type = f'the type "{shown}"' if shown else "this type"
    return f"No rule of yours allows data of {type}."


class AnyTypedData:
    """All typed data, for `typed = any`, except Hyperliquid's Agent: it stands for an action that it does not show."""

    title = ""
    totals: Sequence[Total] = ()

    def needs(self, payload: Payload) -> Sequence[Need]:
        return ()

    def judge(self, payload: Payload, now: float) -> Objection | None:
        assert isinstance(payload, TypedData)
        if payload.schema.type != AGENT_TYPE:
            return None
        return Objection(_FIELDS_STEP, f"{_SIGNED_DATA}.primaryType", "not_allowed", _AGENT)

    def entry(self, payload: Payload) -> tuple[str, str, tuple[str, ...]]:
        return "any", "", ()

    def permits(self) -> list[str]:
        return ["any typed data"]

    def leaves_open(self) -> list[str]:
        return ["the typed data: also permits to take the key's tokens, and transactions of its Safe, so all it owns"]


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
    lines = {setting.path: setting.line for setting in section.conditions if setting.path.startswith(_OF_DOMAIN)}
    if not lines:
        section.wrong("type: the domain must be given, such as domain.name and domain.verifyingContract", "type")
    standard = {f"domain.{name}": f"{type} {name}" for name, type in _STANDARD.items()}
    for path, line in lines.items():
        if path not in standard:
            known = f"only {', '.join(_STANDARD)} are known; others need a setting: domain = {DOMAIN}(…)"
            section.wrong_at(line, f"{quoted(path)}: {known}{did_you_mean(path, standard)}")
    section.raise_if_wrong()
    return f"{DOMAIN}({','.join(field for path, field in standard.items() if path in lines)})"
