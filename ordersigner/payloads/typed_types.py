"""The types of typed data, as JSON or a policy's text declares them.

In: the `types` and the `primaryType` of a request, or the string of a type. Out: Types. Raises Refusal for a request,
with the path of the fault, such as typed_data.types.Order[1].name; ValueError, with a text for people, for a string.
Pure. Source: EIP-712.

Types must be declared exactly as the standard says, since their strings are hashed: `uint256` and not `uint`, lengths
without leading zeros, names that cannot be taken for a part of another type's string.
"""

from __future__ import annotations

import re
from typing import Dict, NamedTuple, Tuple

from ordersigner.payloads.typed_values import ATOMS, HASH, MAX_WORK, Fault, wrong
from ordersigner.refusal import MISSING, Refusal, mistyped
from ordersigner.text import similar

DOMAIN = "EIP712Domain"
# Limits. Real data has at most 11 types of 24 fields, 1,393 bytes of types and 4 dimensions.
MAX_TYPES = 64
MAX_FIELDS = 512  # of all types together
WORK_OF_FIELD = 10  # in units of MAX_WORK
WORK_OF_DIMENSION = 2
MAX_DIMENSIONS = 8  # of an array. With MAX_TYPES this bounds the recursion: 63 * (1 + 8) calls.
MAX_TYPE_BYTES = 64 * 1024  # of all types' strings. Each repeats the types that it refers to: 60 KB of types make 2 MB.

_INNER_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]*").fullmatch
_NAME = re.compile("[A-Za-z0-9_:$ -]+").fullmatch  # in use: "HyperliquidTransaction:UsdSend", "New limit order"
_ATOM_NAME = re.compile("address|bool|string|tuple|function|(u?int|bytes)[0-9]*|u?fixed([0-9]+x[0-9]+)?").fullmatch
_TYPE = re.compile(r"([^\[\]]+)((?:\[(?:[1-9][0-9]*)?\])*)").fullmatch


# Problems, and the right forms, for people.
_FIELD = 'an object such as {"name": "owner", "type": "address"}'
_FIELDS = "an array of the fields"
_LETTERS = "Use letters from a to z and A to Z, digits and _."
_ONLY_NAME_AND_TYPE = (
    "Unexpected key. A field has only name and type. Others, such as internalType, are not hashed, so this daemon"
    " refuses them. Remove this key."
)
_RECURSIVE = (
    "With this field the type contains itself, directly or through others. This daemon does not sign such types,"
    " because no function of a contract can take them."
)
_SIZES = {
    "uint": 'There are "uint8" to "uint256", in steps of 8.',
    "int": 'There are "int8" to "int256", in steps of 8.',
    "bytes": 'There are "bytes1" to "bytes32", and "bytes".',
}
_MEANT = {"uint": "uint256", "int": "int256", "byte": "bytes1", "boolean": "bool"}


class Field(NamedTuple):
    """A field of a struct, as its type declares it."""

    name: str
    type: str
    base: str  # the type without its dimensions
    lengths: tuple[str, ...]  # of the dimensions, the innermost first; "" where any length is right


Fields = Dict[str, Tuple[Field, ...]]  # of each type, by its name


class Types(NamedTuple):
    """Types that are valid together."""

    primary_type: str
    fields: Fields  # a type comes after those that it refers to
    strings: dict[str, str]  # of each type, by its name: the standard's encodeType
    work: int  # the cost of the types, kept or not, in units of MAX_WORK


def from_json(types: object, primary_type: object) -> Types:
    """The types of a request. Their domain is among them."""
    if type(types) is not dict:
        raise mistyped(types, "typed_data.types", dict, wanted="an object: names of types, each with its fields")
    if type(primary_type) is not str or not primary_type:
        raise mistyped(primary_type, "typed_data.primaryType", str, wanted="the name of the message's type")
    if DOMAIN not in types:
        raise mistyped(MISSING, f"typed_data.types.{DOMAIN}", list, wanted=f"{_FIELDS} of the domain")
    if primary_type == DOMAIN:
        raise Refusal.of("typed_data.primaryType", "not_valid_choice", "A domain alone is not signed.")
    if primary_type not in types:
        raise Refusal.of("typed_data.primaryType", "not_type", "The types do not declare this type.")
    return _read(types, primary_type)


def from_string(string: str, domain: str = "") -> Types:
    """The types in a type's string, as the standard's encodeType writes it: `Foo(Bar b)Bar(uint256 x)`.

    domain: the string of the domain's type; "" if it is not known.
    """
    declared = _parse(string)
    primary_type = next(iter(declared))
    if primary_type == DOMAIN:
        raise ValueError("a domain alone is not signed")
    if domain:
        declared_domain = _parse(domain)
        if list(declared_domain) != [DOMAIN]:
            raise ValueError(f"the type of a domain is {DOMAIN}, alone")
        declared.update(declared_domain)
    try:
        types = _read(declared, primary_type)
    except Refusal as refusal:
        ((field, (problem, *_)),) = refusal.context.items()
        raise ValueError(f"{field.partition('.types.')[2] or 'type'}: {problem.message}") from None
    if types.strings[primary_type] != string:
        raise ValueError("what follows the first type must be the types that it refers to, sorted by name")
    return types


def _parse(string: str) -> dict[str, object]:
    """The types as the `types` of a request."""
    *structs, rest = string.split(")")
    if not structs or rest or any(struct.count("(") != 1 for struct in structs):
        raise ValueError("a type is written as Name(type name,type name), and the types that it refers to follow it")
    types: dict[str, object] = {}
    for name, body in (struct.split("(") for struct in structs):
        if name in types:
            raise ValueError("a type is there twice")
        fields = [field.partition(" ") for field in body.split(",")] if body else []
        types[name] = [{"name": field, "type": kind} for kind, _, field in fields]
    return types


def _read(declared: dict[str, object], primary_type: str) -> Types:
    if len(declared) > MAX_TYPES:
        raise Refusal.of("typed_data.types", "too_many_values", f"Typed data has at most {MAX_TYPES} types.")
    if sum(len(definitions) for definitions in declared.values() if type(definitions) is list) > MAX_FIELDS:
        raise Refusal.of("typed_data.types", "too_many_values", f"Typed data has at most {MAX_FIELDS} fields.")
    fields = {name: _read_type(name, definitions, declared, primary_type) for name, definitions in declared.items()}
    work = HASH * len(fields) + sum(
        WORK_OF_FIELD + WORK_OF_DIMENSION * len(field.lengths) for members in fields.values() for field in members
    )
    if work > MAX_WORK:
        raise Refusal.of("typed_data.types", "too_many_values", "These types have too many fields and dimensions.")
    strings = _strings(fields)
    return Types(primary_type, {name: fields[name] for name in strings}, strings, work)


def _read_type(name: str, definitions: object, declared: dict[str, object], primary_type: str) -> tuple[Field, ...]:
    path = f"typed_data.types.{name}"
    if _ATOM_NAME(name):
        raise Refusal.of(path, "not_name", "This name is one that EIP-712 or Solidity gives to a type of its own.")
    if not (_NAME if name == primary_type else _INNER_NAME)(name):
        raise Refusal.of(
            path, "not_name", f"This is not a name that a type can have. {_LETTERS[:-1]}, and no digit first."
        )
    if type(definitions) is not list:
        raise mistyped(definitions, path, list, wanted=_FIELDS)
    fields: dict[str, Field] = {}
    for index, definition in enumerate(definitions):
        try:
            field = _read_field(definition, declared, name == DOMAIN)
            if field.name in fields:
                raise wrong("duplicate", "This type has two fields of this name.", ".name")
        except Fault as fault:
            raise fault.refusal(f"{path}[{index}]") from None
        fields[field.name] = field
    return tuple(fields.values())


def _read_field(definition: object, declared: dict[str, object], in_domain: bool) -> Field:
    """Raises Fault."""
    if type(definition) is not dict:
        raise Fault(definition, dict, wanted=_FIELD)
    name, text = definition.get("name", MISSING), definition.get("type", MISSING)
    if type(name) is not str or not name:
        raise Fault(name, str, wanted="the name of the field", step=".name")
    if not _NAME(name):
        raise wrong("not_name", f"This is not a name that a field can have. {_LETTERS}", ".name")
    if type(text) is not str or not text:
        raise Fault(text, str, wanted='the type of the field, such as "uint256"', step=".type")
    if len(definition) != 2:
        unknown = next(key for key in definition if key not in ("name", "type"))
        raise wrong("unexpected", _ONLY_NAME_AND_TYPE, f".{unknown}")
    if text.count("[") > MAX_DIMENSIONS:
        raise wrong("too_deep", f"An array has at most {MAX_DIMENSIONS} dimensions.", ".type")
    match = _TYPE(text)
    base = match[1] if match else ""
    if base not in ATOMS:
        if base not in declared or base == DOMAIN:
            raise wrong("not_type", _no_type(base), ".type")
        if in_domain:
            raise wrong("not_type", "A domain has no structs.", ".type")
        if not _INNER_NAME(base):
            raise wrong("not_name", "A type of this name cannot be part of another.", ".type")
    lengths = match[2][1:-1].split("][") if match and match[2] else ()
    return Field(name, text, base, tuple(lengths))


def _strings(fields: Fields) -> dict[str, str]:
    """The string of each type: its own part, and those of all types it refers to, which come first in the result."""
    own = {
        name: f"{name}({','.join(f'{field.type} {field.name}' for field in members)})"
        for name, members in fields.items()
    }
    sizes = {name: len(string) for name, string in own.items()}
    needs: dict[str, set[str]] = {}  # from a type to all types that it refers to
    strings: dict[str, str] = {}
    under_way: set[str] = set()
    total = 0

    def visit(name: str) -> None:
        nonlocal total
        under_way.add(name)
        needed: set[str] = set()
        for index, field in enumerate(fields[name]):
            if field.base in fields and field.base not in needed:
                if field.base in under_way:
                    path = f"typed_data.types.{name}[{index}].type"
                    raise Refusal.of(path, "not_type", _RECURSIVE)
                if field.base not in strings:
                    visit(field.base)
                needed.add(field.base)
                needed |= needs[field.base]
        under_way.discard(name)
        needs[name] = needed
        total += sizes[name] + sum(map(sizes.__getitem__, needed))
        if total > MAX_TYPE_BYTES:
            raise Refusal.of("typed_data.types", "too_many_values", "All types with what they refer to are too long.")
        strings[name] = own[name] + "".join(map(own.__getitem__, sorted(needed)))

    for name in fields:
        if name not in strings:
            visit(name)
    return strings


def _no_type(base: str) -> str:
    """The complaint about a type that is neither declared nor one of EIP-712. base: without its dimensions."""
    if not base:
        return "This is not a type, or not the dimensions of an array, such as [] and [2]."
    if base == DOMAIN:
        return "The domain is signed beside the message, and is not a part of it."
    sized = re.fullmatch("(u?int|bytes)[0-9]+", base)
    meant = _MEANT.get(base) or similar(base, ATOMS)
    if sized:
        hint = " " + _SIZES[sized[1]]
    elif meant:
        hint = f' Use "{meant}".' if base in _MEANT else f' Did you mean "{meant}"?'
    else:
        hint = ""
    return f"This type is not one of EIP-712, and the types do not declare it.{hint}"
