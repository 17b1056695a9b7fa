"""Typed data, EIP-712: turns types, a domain and a message into a 32-byte digest.

In: the decoded JSON object of a request. Out: TypedData, with the digest, the schema that its types make, and access to
the values for the policy. Raises Refusal at the first fault, with its path, such as typed_data.message.offer[1].token.
Pure: no sockets, no JSON, no keys. Source: EIP-712, and what the implementations in use agree on.

What is hashed is exactly what the JSON says. Nothing is coerced, padded, cut or defaulted, because the contract
computes the hash from exact values: a lenient signer makes signatures that never verify, or one for a value that nobody
meant. Where implementations differ, the data is refused.

Types are compiled once, to functions, and kept: clients send the same types with every request. The time that data
takes is linear in its length, also where it is refused: a fault collects its path on its way out.
"""

from __future__ import annotations

import marshal
import re
from functools import lru_cache
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Tuple, TypeVar

from ordersigner.keccak import keccak_256
from ordersigner.payloads.payload import Form
from ordersigner.payloads.typed_values import ATOMS, Encode, Fault, Value, wrong
from ordersigner.refusal import MISSING, Refusal, mistyped
from ordersigner.text import cleaned

Getter = Callable[["TypedData"], List[Value]]
Fields = Dict[str, Tuple["Field", ...]]  # of each type, by its name

KEYS = ("types", "primaryType", "domain", "message")
DOMAIN = "EIP712Domain"
# Limits. Real data has at most 11 types of 24 fields, 1,393 bytes of types and 4 dimensions.
MAX_TYPES = 64
MAX_DIMENSIONS = 8  # of an array. With MAX_TYPES this bounds the recursion: 63 * (1 + 8) calls.
MAX_TYPE_BYTES = 64 * 1024  # of all types' strings. Each repeats the types that it refers to: 60 KB of types make 2 MB.
# What is kept: 18 MB at the most, when each schema takes 260 KB. Keys in use have up to 1,233 bytes, for a domain 273.
MAX_SCHEMAS = 64
MAX_SCHEMA_KEY = 4096  # bytes; longer types are compiled each time
MAX_DOMAINS = 16  # of a schema
MAX_DOMAIN_KEY = 512  # bytes

_INNER_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]*").fullmatch
_NAME = re.compile("[A-Za-z0-9_:$ -]+").fullmatch  # in use: "HyperliquidTransaction:UsdSend", "New limit order"
_ATOM_NAME = re.compile("address|bool|string|tuple|function|(u?int|bytes)[0-9]*|u?fixed([0-9]+x[0-9]+)?").fullmatch
_TYPE = re.compile(r"([^\[\]]+)((?:\[(?:[1-9][0-9]*)?\])*)").fullmatch
_ADDRESS = re.compile("0x[0-9A-Fa-f]{40}").fullmatch

_Result = TypeVar("_Result")


class Field(NamedTuple):
    """A field of a struct, as its type declares it."""

    name: str
    type: str
    base: str  # the type without its dimensions
    lengths: tuple[str, ...]  # of the dimensions, the innermost first; "" where any length is right


class Path(NamedTuple):
    """Access to the values of a field that is an atom of a type."""

    type: str
    values: Getter  # several where the path has a "*"
    places: Callable[[TypedData], list[str]]  # of these values, such as message.offer[1].token
    empty: Callable[[TypedData], bool]  # whether an array on the path has no elements


class TypedData(NamedTuple):
    """Data that is valid under its own types. domain and message: the JSON objects."""

    digest: bytes
    separator: bytes  # 32 bytes, the domain separator: the hash of the domain's type and values
    schema: Schema
    domain: dict[str, object]
    message: dict[str, object]

    def __repr__(self) -> str:
        return f"TypedData({self.schema.primary_type!r})"

    @property
    def type(self) -> str:
        return "typed_data"

    def entry(self) -> tuple[str, tuple[str, ...]]:
        """What the journal says about it, in words and in fields."""
        primary_type, domain = cleaned(self.schema.primary_type), cleaned(self.domain.get("name"))
        contract = self.domain.get("verifyingContract")
        contract = contract.lower() if type(contract) is str and _ADDRESS(contract) else cleaned(contract)
        place = ", ".join(filter(None, (domain, cleaned(self.domain.get("chainId")), contract)))
        return f"typed data {primary_type} for {place or 'any domain'}", (
            f"ORDERSIGNER_PRIMARY_TYPE={primary_type}",
            f"ORDERSIGNER_DOMAIN={domain}",
            f"ORDERSIGNER_CONTRACT={contract}",
        )


class Schema:
    """Compiled types.

    type: the standard's encodeType of the primary type: everything that the hash of a message depends on.
    domain_type: the same of the domain; "" in a schema that comes from a type's string alone.
    domain: the fields of the domain.
    """

    __slots__ = ("_fields", "domain", "domain_type", "hash_message", "primary_type", "separator", "type")

    def __init__(self, fields: Fields, primary_type: str) -> None:
        strings = _encode_types(fields)
        structs: dict[str, Encode] = {}
        for name, string in strings.items():  # a type comes after those that it refers to
            structs[name] = _struct(keccak_256(string.encode()), fields[name], structs)
        self._fields = fields
        self.primary_type = primary_type
        self.type = strings[primary_type]
        self.hash_message = structs[primary_type]
        self.domain_type = strings.get(DOMAIN, "")
        self.domain = fields.get(DOMAIN, ())
        if DOMAIN in fields:
            self.separator = _kept(_separator(structs[DOMAIN], self.domain), MAX_DOMAINS, MAX_DOMAIN_KEY)

    def path(self, path: str) -> Path:
        """Access to a field: names and dots from `message` or `domain` on, and "*" for every element of an array.

        Raises ValueError, with a text for people, if the types have no such field or it is not an atom.
        """
        root, *steps = path.split(".")
        base = {"message": self.primary_type, "domain": DOMAIN}.get(root, "")
        if base not in self._fields:
            raise ValueError("a field begins with message.")
        lengths: tuple[str, ...] = ()
        for step in steps:
            if (step == "*") != bool(lengths):
                raise ValueError(_NO_ARRAY if step == "*" else _ARRAY)
            if step == "*":
                lengths = lengths[:-1]
            else:
                field = next((field for field in self._fields.get(base, ()) if field.name == step), None)
                if field is None:
                    raise ValueError("the type has no such field")
                base, lengths = field.base, field.lengths
        if lengths:
            raise ValueError(_ARRAY)
        if base in self._fields:
            raise ValueError("this is a struct; a field of it must follow")
        return _access(root, steps, base)

    def paths(self) -> Iterator[tuple[str, str]]:
        """Each atom of the message, as path() takes it, and its type. There can be very many: structs share structs."""
        bare: set[str] = set()  # structs with no atom at any depth: the walk through them could last for ages
        for name in _encode_types(self._fields):
            if all(field.base in bare for field in self._fields[name]):
                bare.add(name)
        return self._paths_of("message", self.primary_type, bare)

    def _paths_of(self, path: str, base: str, bare: set[str]) -> Iterator[tuple[str, str]]:
        if base not in self._fields:
            yield path, base
        for field in self._fields.get(base, ()):
            if field.base not in bare:
                yield from self._paths_of(f"{path}.{field.name}" + ".*" * len(field.lengths), field.base, bare)


_ARRAY = 'this is an array; "*" must follow, for every element'
_NO_ARRAY = '"*" stands for every element of an array, and this is not an array'


def read(request: Mapping[str, object]) -> TypedData:
    """request: has `typed_data`, an object with exactly KEYS."""
    content = request.get("typed_data", MISSING)
    if type(content) is not dict:
        raise mistyped(content, "typed_data", dict)
    types, primary_type, domain, message = (content.get(key, MISSING) for key in KEYS)
    if len(content) != len(KEYS) or message is MISSING:
        for key in KEYS:
            if key not in content:
                raise mistyped(MISSING, f"typed_data.{key}")
        unknown = next(key for key in content if key not in KEYS)
        raise Refusal.of(f"typed_data.{unknown}", "unexpected", "Unexpected key.")
    schema = _schema((types, primary_type))
    root = "typed_data.domain"
    try:
        separator = schema.separator(domain)
        root = "typed_data.message"
        digest = keccak_256(b"\x19\x01" + separator + schema.hash_message(message))
    except Fault as fault:
        raise fault.refusal(root) from None
    return TypedData(digest, separator, schema, domain, message)


FORM = Form(read, members={"typed_data": dict})


def schema_of(type: str, domain_type: str = "") -> Schema:
    """The schema of a type's string, as the standard's encodeType writes it: `Foo(Bar b)Bar(uint256 x)`.

    domain_type: that of the domain; "" if it is not known. Raises ValueError, with a text for people.
    """
    types = _parse(type)
    primary_type = next(iter(types))
    if primary_type == DOMAIN:
        raise ValueError("a domain alone is not signed")
    if domain_type:
        domain = _parse(domain_type)
        if list(domain) != [DOMAIN]:
            raise ValueError(f"the type of a domain is {DOMAIN}, alone")
        types.update(domain)
    try:
        schema = Schema(_read_types(types, primary_type), primary_type)
    except Refusal as refusal:
        ((field, (problem, *_)),) = refusal.context.items()
        raise ValueError(f"{field.partition('.types.')[2] or 'type'}: {problem.message}") from None
    if schema.type != type:
        raise ValueError("what follows the first type must be the types that it refers to, sorted by name")
    return schema


# From JSON to types.
def _kept(function: Callable[[Any], _Result], most: int, longest: int) -> Callable[[object], _Result]:
    """`function` of a JSON value, with its `most` latest results kept, for values of at most `longest` bytes."""

    @lru_cache(maxsize=most)
    def of_key(key: bytes) -> _Result:
        return function(marshal.loads(key))

    def kept(value: Any) -> _Result:
        try:
            # The exact content: 1, 1.0 and True are equal, and their bytes are not. This takes 0.8 µs for the types of
            # CoW's order, and json.dumps() 7.7. Equal content can have two forms in version 4; each is kept.
            key = marshal.dumps(value, 4)
        except ValueError:  # it is nested more deeply than any types and domains
            return function(value)
        return of_key(key) if len(key) <= longest else function(value)

    return kept


def _compile(declared: tuple[object, object]) -> Schema:
    """declared: types and a primary type."""
    types, primary_type = declared
    if type(types) is not dict:
        raise mistyped(types, "typed_data.types", dict)
    if type(primary_type) is not str or not primary_type:
        raise mistyped(primary_type, "typed_data.primaryType", str)
    if DOMAIN not in types:
        raise mistyped(MISSING, f"typed_data.types.{DOMAIN}", list)
    if primary_type == DOMAIN:
        raise Refusal.of("typed_data.primaryType", "not_valid_choice", "A domain alone is not signed.")
    if primary_type not in types:
        raise Refusal.of("typed_data.primaryType", "not_type", "The types do not declare this type.")
    return Schema(_read_types(types, primary_type), primary_type)


_schema = _kept(_compile, MAX_SCHEMAS, MAX_SCHEMA_KEY)


def _read_types(types: dict[str, object], primary_type: str) -> Fields:
    if len(types) > MAX_TYPES:
        raise Refusal.of("typed_data.types", "too_many_values", f"Typed data has at most {MAX_TYPES} types.")
    fields: Fields = {}
    for name, definitions in types.items():
        path = f"typed_data.types.{name}"
        if not (_NAME if name == primary_type else _INNER_NAME)(name) or _ATOM_NAME(name):
            raise Refusal.of(path, "not_name", "This is not a name that a type can have.")
        if type(definitions) is not list:
            raise mistyped(definitions, path, list)
        read: dict[str, Field] = {}
        for index, definition in enumerate(definitions):
            try:
                field = _read_field(definition, types, name == DOMAIN)
                if field.name in read:
                    raise wrong("duplicate", "This type has two fields of this name.", ".name")
            except Fault as fault:
                raise fault.refusal(f"{path}[{index}]") from None
            read[field.name] = field
        fields[name] = tuple(read.values())
    return fields


def _read_field(definition: object, types: dict[str, object], in_domain: bool) -> Field:
    """Raises Fault."""
    if type(definition) is not dict:
        raise Fault(definition, dict)
    name, text = definition.get("name", MISSING), definition.get("type", MISSING)
    if type(name) is not str or not name:
        raise Fault(name, str, step=".name")
    if not _NAME(name):
        raise wrong("not_name", "This is not a name that a field can have.", ".name")
    if type(text) is not str or not text:
        raise Fault(text, str, step=".type")
    if len(definition) != 2:
        unknown = next(key for key in definition if key not in ("name", "type"))
        raise wrong("unexpected", "Unexpected key.", f".{unknown}")
    if text.count("[") > MAX_DIMENSIONS:
        raise wrong("too_deep", f"An array has at most {MAX_DIMENSIONS} dimensions.", ".type")
    match = _TYPE(text)
    base = match[1] if match else ""
    if base not in ATOMS:
        if base not in types or base == DOMAIN:
            raise wrong("not_type", "This type is not one of EIP-712, and the types do not declare it.", ".type")
        if in_domain:
            raise wrong("not_type", "A domain has no structs.", ".type")
        if not _INNER_NAME(base):
            raise wrong("not_name", "A type of this name cannot be part of another.", ".type")
    lengths = match[2][1:-1].split("][") if match and match[2] else ()
    return Field(name, text, base, tuple(lengths))


def _encode_types(fields: Fields) -> dict[str, str]:
    """The string of each type: its own part, and those of all types it refers to, which come first in the result."""
    own = {
        name: f"{name}({','.join(f'{field.type} {field.name}' for field in members)})"
        for name, members in fields.items()
    }
    sizes = {name: len(string) for name, string in own.items()}
    needs: dict[str, set[str]] = {}  # a type to all that it refers to
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
                    raise Refusal.of(path, "not_type", "This type contains itself.")
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


def _parse(type: str) -> dict[str, object]:
    *structs, rest = type.split(")")
    if not structs or rest or any(struct.count("(") != 1 for struct in structs):
        raise ValueError("a type is written as Name(type name,type name), and the types that it refers to follow it")
    types: dict[str, object] = {}
    for name, body in (struct.split("(") for struct in structs):
        if name in types:
            raise ValueError("a type is there twice")
        types[name] = [_definition(text) for text in body.split(",")] if body else []
    return types


def _definition(text: str) -> dict[str, str]:
    kind, _, name = text.partition(" ")
    return {"name": name, "type": kind}


# From types to functions. Each takes a value to its 32 bytes.
def _struct(type_hash: bytes, fields: tuple[Field, ...], structs: dict[str, Encode]) -> Encode:
    """structs: those that fields refer to."""
    members = tuple((field.name, _member(field, structs)) for field in fields)

    def encode(value: object) -> bytes:
        if type(value) is not dict:
            raise Fault(value, dict)
        words = [type_hash]
        name = ""
        try:
            for name, encode_member in members:
                words.append(encode_member(value[name]))
        except KeyError:
            raise Fault(MISSING, step=f".{name}") from None
        except Fault as fault:
            fault.steps.append(f".{name}")
            raise
        return keccak_256(b"".join(words))

    return encode


def _member(field: Field, structs: dict[str, Encode]) -> Encode:
    encode = structs.get(field.base) or ATOMS[field.base].encode
    for length in field.lengths:
        encode = _array(encode, length)
    return encode


def _array(encode_element: Encode, length: str) -> Encode:
    def encode(value: object) -> bytes:
        if type(value) is not list:
            raise Fault(value, list)
        if length and str(len(value)) != length:
            raise wrong("wrong_length", f"This array has {len(value)} elements and not as many as its type says.")
        words: list[bytes] = []
        try:
            for element in value:
                words.append(encode_element(element))
        except Fault as fault:
            fault.steps.append(f"[{len(words)}]")
            raise
        return keccak_256(b"".join(words))

    return encode


def _separator(encode: Encode, fields: tuple[Field, ...]) -> Encode:
    """From a domain to its separator. A domain has no key that its type does not declare."""
    names = frozenset(field.name for field in fields)

    def separate(domain: object) -> bytes:
        if type(domain) is dict:
            for key in domain:
                if key not in names:
                    raise wrong("unexpected", "The types do not declare this key of the domain.", f".{key}")
        return encode(domain)

    return separate


def _access(root: str, steps: list[str], base: str) -> Path:
    read = ATOMS[base].read

    def walk(data: TypedData) -> Iterator[list[Any]]:
        """What there is after each step."""
        found: list[Any] = [data.domain if root == "domain" else data.message]
        for step in steps:
            found = (
                [element for value in found for element in value] if step == "*" else [value[step] for value in found]
            )
            yield found

    def value(data: TypedData) -> list[Value]:
        found: Any = data.domain if root == "domain" else data.message
        for step in steps:
            found = found[step]
        return [read(found)]

    def values(data: TypedData) -> list[Value]:
        *_, found = walk(data)
        return [read(value) for value in found]

    def places(data: TypedData) -> list[str]:
        found: list[tuple[str, Any]] = [(root, data.domain if root == "domain" else data.message)]
        for step in steps:
            if step == "*":
                found = [(f"{place}[{at}]", element) for place, value in found for at, element in enumerate(value)]
            else:
                found = [(f"{place}.{step}", value[step]) for place, value in found]
        return [place for place, _ in found]

    def empty(data: TypedData) -> bool:
        return any(step == "*" and [] in before for step, before in zip(steps[1:], walk(data)))

    return Path(base, values if "*" in steps else value, places, empty)
