"""The limits of a rule on Hyperliquid's actions: a [hyperliquid NAME] section of the policy, compiled.

In: an Action and the time. Out: an Objection, or None. Raises WrongSection for a section that is wrong. Pure.

A section names types of actions in three lists. `actions` are judged in every field: hyperliquid_actions.py has these,
and hyperliquid_settings.py what limits them. `powers` move money or rights: such a section has one type, and conditions
on its fields. `blind` are types that this version does not know, and they are signed whatever their content. A setting
that limits nothing in a section is an error, because its writer believes that it limits something.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any, Callable, Iterable, Sequence

from ordersigner.payloads.hyperliquid import Action
from ordersigner.payloads.payload import Payload, Unreadable
from ordersigner.payloads.typed_values import Value
from ordersigner.policy import open_fields
from ordersigner.policy.conditions import Conditions, Field
from ordersigner.policy.hyperliquid_actions import (
    ACTIONS,
    BLIND,
    ENVELOPE,
    EXPIRY,
    FORMS,
    NETWORK,
    NONCE,
    POWERS,
    USER_SIGNED,
    VAULT,
    Open,
)
from ordersigner.policy.hyperliquid_checks import (
    CONDITION,
    NO_MULTI_SIG,
    ONLY_MULTI_SIG,
    TYPE,
    Facts,
    Fault,
    address_of,
)
from ordersigner.policy.hyperliquid_settings import MULTI_SIG, RANGES, SETTINGS, TOTAL, limits_of
from ordersigner.policy.limits import Limits
from ordersigner.policy.rules import OPEN_WITH_TOTAL, Need, Objection, Total
from ordersigner.policy.settings import MAX_TOTAL, Section, did_you_mean, quoted, shown_name, shown_value
from ordersigner.policy.terms import Term
from ordersigner.text import listed

# The lists of types, and which types belong there.
LISTS = {
    "actions": "whose actions are judged in every field",
    "powers": "whose actions move money or rights",
    "blind": "whose actions are signed whatever they say",
}
_SIGNS_NO_PRICE = ("min-price", "max-price", "max-notional", TOTAL)  # settings that cannot limit a TWAP

_FORM = "form"  # a key of Action.found
_NO_FACTS = Facts(0, {})  # for checks that need none

_type_of = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}").fullmatch


class HyperliquidLimits(Limits):
    """The actions that a section allows."""

    kind = "hyperliquid"
    settings = (*LISTS, *SETTINGS)
    listed_by = "hyperliquid"
    has_conditions = True

    def __init__(self, section: Section) -> None:
        self._where = f"[{self.kind} {section.name}]"
        self._section = section.name
        self._actions, self._powers, self._blind = _types(section)
        has_right_types = not section.errors or section.settings.keys().isdisjoint(LISTS)
        self._limits = limits_of(section)
        for least, most in RANGES:
            section.in_order(least, most, self._limits)
        if has_right_types:
            _refuse_idle(section, self._actions, self._limits)
        self._multi_sig = self._limits.get(MULTI_SIG)
        self._root = "action" if self._multi_sig is None else "action[2]"
        self._conditions: Conditions | None = None
        if self._powers:
            self._conditions = Conditions(section, _PowerFields(self._powers[0], self._root), "")
        elif "powers" not in section.settings:
            self._refuse_conditions(section)
        section.raise_if_wrong()
        self._checks = {
            **{kind: ACTIONS[kind].check(self._limits) for kind in self._actions},
            **dict.fromkeys((*self._powers, *self._blind)),
        }
        self._network, self._vault, self._nonce, self._expiry = (
            field.make(self._limits) for field in (NETWORK, VAULT, NONCE, EXPIRY)
        )
        own = [self._limits[TOTAL]] if TOTAL in self._limits else []
        self.totals: Sequence[Total] = own if self._conditions is None else self._conditions.totals

    def _refuse_conditions(self, section: Section) -> None:
        for setting in section.conditions:
            meant = [name for name in self.settings if name.split()[0] == setting.path]
            if "action." in setting.path:
                hint = ": only a section with a power has conditions on fields"
            elif meant:
                hint = f"; did you mean {meant[0]}?"
            else:
                hint = did_you_mean(setting.name, self.settings) or f": {', '.join(self.settings)}"
            section.wrong_at(setting.line, f"a [{self.kind}] section has no setting {quoted(setting.name)}{hint}")

    def judge(self, payload: Payload, now: float) -> Objection | None:
        assert isinstance(payload, Action)
        if self._network is not None:
            fault = self._network(payload.network, _NO_FACTS)
            if fault is not None:
                return self._objection("network", fault)
        if payload.multi_sig != self._multi_sig:
            return self._objection("action", NO_MULTI_SIG if self._multi_sig is None else ONLY_MULTI_SIG)
        kind = payload.action.get("type")
        if type(kind) is not str or kind not in self._checks:
            return self._other_type(kind)
        if self._vault is not None:
            fault = self._vault(payload.vault, _NO_FACTS)
            if fault is not None:
                return self._objection("vaultAddress", fault)
        return self._judge_action(kind, payload, now)

    def _judge_action(self, kind: str, payload: Action, now: float) -> Objection | None:
        """Judge its fields, and the time of its use."""
        numerator, denominator = now.as_integer_ratio()
        facts = Facts(numerator * 1000 // denominator, payload.amounts)
        fault = _form_fault(kind, payload)
        check = self._checks[kind]
        if fault is None and check is not None:
            fault = check(payload.action, facts)
        if fault is not None:
            return self._objection(self._root, fault)
        if self._conditions is not None:
            objection = self._conditions.objection(payload, now, CONDITION)
            if objection is not None:
                return objection
        for field, value, judge in (
            ("nonce", payload.nonce, self._nonce),
            ("expiresAfter", payload.expires_after, self._expiry),
        ):
            fault = judge and judge(value, facts)
            if fault:
                return self._objection(field, fault)
        return None

    def _objection(self, field: str, fault: Fault) -> Objection:
        text = partial(_in_words, fault, self._where)
        return Objection(fault.step, f"{field}{fault.path or ''}", fault.code, text, self._section)

    def _other_type(self, kind: object) -> Objection:
        shown = shown_name(kind) if type(kind) is str else ""
        named = f'the action "{shown}"' if shown else "this action"
        message = f"No rule of yours allows {named}."
        return Objection(TYPE, f"{self._root}.type", "not_allowed", message, self._section, sorted(self._checks))

    def needs(self, payload: Payload) -> Sequence[Need]:
        assert isinstance(payload, Action)
        if self._conditions is not None:
            return self._conditions.needs(payload)
        kind = ACTIONS.get(payload.action["type"])  # type: ignore[call-overload]  # judge() has seen that it is a str
        if not self.totals or kind is None or not kind.orders:
            return ()
        units = min(kind.notional(payload.action), MAX_TOTAL)
        return [Need(self.totals[0], units, f"{self._root}.{kind.orders}")]

    def permits(self) -> list[str]:
        words = [f"Hyperliquid's action{'s' if len(self._checks) > 1 else ''} {listed(self._checks)}"]
        words += [SETTINGS[name].words(value) for name, value in self._limits.items()]
        return words if self._conditions is None else [*words, *self._conditions.permits()]

    def leaves_open(self) -> list[str]:
        found = _named(
            (f"{self._root}{path}", words)
            for kind in self._actions
            for path, words in ACTIONS[kind].leaves_open(self._limits)
        )
        found += [f"the content of the action {kind}, which is signed whatever it says" for kind in self._blind]
        if self._conditions is not None:
            found += open_fields.leaves_open(self._conditions)
        found += _named((field.key, words) for field in ENVELOPE for _, words in field.open_ends(self._limits))
        return [*found, OPEN_WITH_TOTAL] if TOTAL in self._limits else found


def _named(open_ends: Iterable[Open]) -> list[str]:
    """The words with their paths. Paths with the same words share a line."""
    lines: dict[str, list[str]] = {}  # paths by their line
    for path, words in open_ends:
        line = words if words.startswith("{}") else words.format(path)
        lines.setdefault(line, []).append(path)
    return [line.format(", ".join(dict.fromkeys(paths))) for line, paths in lines.items()]


def _form_fault(kind: str, payload: Action) -> Fault | None:
    """What is wrong with the form of an action. The first section that asks finds out for all."""
    if _FORM not in payload.found:
        payload.found[_FORM] = FORMS[kind](payload.action, payload.amounts) if kind in FORMS else None
    fault: Fault | None = payload.found[_FORM]
    return fault


def _in_words(fault: Fault, where: str) -> str:
    shown = shown_value(fault.value, type="address")  # the only bytes here are addresses
    return fault.text.format(where=where, value=f": {shown}" if shown else "")


# The lists of types
def _types(section: Section) -> tuple[list[str], list[str], list[str]]:
    """The types in each list."""
    found = {name: section.all(name, _reader(name)) for name in LISTS}
    actions, powers, blind = found.values()
    given = [name for name in LISTS if name in section.settings]
    if not given:
        section.wrong("actions: the types of actions must be given, such as: actions = order cancel")
    if "powers" in given and (len(powers) > 1 or len(given) > 1):
        section.wrong(
            "powers: a section with powers names exactly one type of action: make a section for each", "powers"
        )
    return actions, powers, blind


def _reader(name: str) -> Callable[[str], str]:
    """A reader of the words of a list."""

    def read(word: str) -> str:
        if not _type_of(word):
            raise ValueError("the type of an action is letters and digits, such as order")
        if word in USER_SIGNED:
            type = f"HyperliquidTransaction:{USER_SIGNED[word]}"
            raise ValueError(f"this action is signed as typed data: it needs a section [typed NAME] for {type}")
        right = "actions" if word in ACTIONS else "powers" if word in POWERS else "blind"
        if right != name:
            where = f"this action belongs in {right}, {LISTS[right]}"
            if word in (*ACTIONS, *POWERS, *BLIND):
                raise ValueError(where)
            hint = did_you_mean(word, (*ACTIONS, *POWERS, *BLIND, *USER_SIGNED))
            raise ValueError(f"this version does not know it{f'{hint} Otherwise' if hint else ':'} {where}")
        return word

    return read


def _refuse_idle(section: Section, actions: Sequence[str], limits: Iterable[str]) -> None:
    """Report settings that no action of the section has. limits: the settings that are right otherwise."""
    used = {MULTI_SIG}.union(*(field.settings for field in ENVELOPE), *(ACTIONS[kind].settings for kind in actions))
    for name in limits:
        if name in _SIGNS_NO_PRICE and "twapOrder" in actions:
            section.wrong(f"{name}: a TWAP signs no price: give twapOrder a section of its own", name)
        elif name not in used:
            section.wrong(f"{name}: none of the actions of this section has it, so it would limit nothing", name)


# The fields that conditions on a power can name
class _PowerField:
    """The value of a field of an action."""

    array = ""

    def __init__(self, key: str, type: str, root: str) -> None:
        self._type = type
        self._key = key
        self._place = f"{root}.{key}"

    @property
    def type(self) -> str:
        return self._type

    def place(self, payload: Action, number: int) -> str:
        return self._place

    def values(self, payload: Action) -> Sequence[Value]:
        return [self._read(payload)]

    def _read(self, payload: Action) -> Value:
        value: Any = payload.action.get(self._key)
        if self._type == "address":
            found = address_of(value)
            if found is not None:
                return found
        elif self._type == "uint64":
            if type(value) is int and 0 <= value < 1 << 64:
                return value
        elif type(value) is (bool if self._type == "bool" else str):
            return value
        raise Unreadable(self._place, _WANTED[self._type])


_WANTED = {
    "address": "an address",
    "uint64": "an integer from 0 to 2^64 - 1",
    "bool": "true or false",
    "string": "a string",
}


class _Length(_PowerField):
    """How many bytes a string has."""

    @property
    def type(self) -> str:
        return "bytes"

    def values(self, payload: Action) -> Sequence[Value]:
        return [len(str(self._read(payload)).encode())]


class _PowerFields:
    """The fields of a power."""

    def __init__(self, kind: str, root: str) -> None:
        self._kind = kind
        self._root = root
        self._types = {f"action.{key}": type for key, type in POWERS[kind].items()}

    def field(self, path: str) -> _PowerField:
        return _PowerField(path.partition(".")[2], self._type(path), self._root)

    def counted(self, path: str) -> _Length:
        if self._type(path) != "string":
            raise ValueError("count is for strings here, and this field is none")
        return _Length(path.partition(".")[2], "string", self._root)

    def _type(self, path: str) -> str:
        if path not in self._types:
            fields = f"has {listed(self._types, 'and')}" if self._types else "has no fields"
            raise ValueError(f"the action {self._kind} {fields}{did_you_mean(path, self._types)}")
        return self._types[path]

    def check(self, term: Term, operator: str) -> None:
        """It takes every condition."""

    def fields(self) -> Iterable[Field]:
        return (Field(path, type) for path, type in self._types.items())
