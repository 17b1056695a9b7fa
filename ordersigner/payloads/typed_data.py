"""Typed data, EIP-712: turns types, a domain and a message into a 32-byte digest.

In: the decoded JSON object of a request. Out: TypedData, with the digest, the schema that its types make, and access to
the values for the policy. Raises Refusal at the first fault, with its path, such as typed_data.message.offer[1].token.
Pure: no sockets, no JSON, no keys. Source: EIP-712, and what the implementations in use agree on.

Exactly the values in the JSON are hashed. Nothing is coerced, padded, cut or defaulted, because the contract computes
the hash from exact values: a lenient signer makes signatures that fail to verify, or that are for a value that was not
meant. Where implementations differ, the data is refused.

typed_types.py reads the types, and typed_values.py has the functions from values to bytes. A Schema puts the two
together once and is kept, because clients send the same types with every request. The time is linear in the length of
the data, even if it is refused: a fault collects its path on its way out.
"""

from __future__ import annotations

import marshal
import re
from functools import lru_cache
from itertools import zip_longest
from typing import Any, Callable, Iterator, Mapping, NamedTuple, TypeVar

from ordersigner.keccak import keccak_256
from ordersigner.payloads import typed_types
from ordersigner.payloads.paths import ARRAY, Kept, Path, Step, element
from ordersigner.payloads.payload import Form
from ordersigner.payloads.typed_types import DOMAIN, Field, Types
from ordersigner.payloads.typed_values import (
    ATOMS,
    MAX_DOMAIN_WORK,
    MAX_WORK,
    Budget,
    Encode,
    Fault,
    array,
    struct,
    wrong,
)
from ordersigner.refusal import MISSING, Refusal, mistyped
from ordersigner.text import entered, similar

KEYS = ("types", "primaryType", "domain", "message")
# The limits of what is kept, together 18 MB if each schema takes 260 KB. Keys in use have up to 1,233 bytes, for a
# domain 273.
MAX_SCHEMAS = 64
MAX_SCHEMA_KEY = 4096  # bytes; longer types are compiled each time
MAX_DOMAINS = 16  # of a schema
MAX_DOMAIN_KEY = 512  # bytes

_HASHED = ("string", "bytes")
_ADDRESS = re.compile("0x[0-9A-Fa-f]{40}").fullmatch

_Result = TypeVar("_Result")


class TypedData(NamedTuple):
    """Data that is valid under its own types. domain and message: the JSON objects."""

    digest: bytes
    separator: bytes  # 32 bytes, the domain separator: the hash of the domain's type and values
    schema: Schema
    domain: dict[str, object]
    message: dict[str, object]
    arrays: Kept

    def __repr__(self) -> str:
        return f"TypedData({self.schema.primary_type!r})"

    @property
    def type(self) -> str:
        return "typed_data"

    def entry(self) -> tuple[str, tuple[str, ...]]:
        """What the journal says about it, in words and in fields."""
        primary_type, type_words = entered(self.schema.primary_type)
        domain, domain_words = entered(self.domain.get("name"))
        _, chain_words = entered(self.domain.get("chainId"))
        address = self.domain.get("verifyingContract")
        if type(address) is str and _ADDRESS(address):
            contract = contract_words = address.lower()  # as a whole, because it is shorter than a key
        else:
            contract, contract_words = entered(address)
        place = ", ".join(filter(None, (domain_words, chain_words, contract_words)))
        return f"typed data {type_words} for {place or 'any domain'}", (
            f"ORDERSIGNER_PRIMARY_TYPE={primary_type}",
            f"ORDERSIGNER_DOMAIN={domain}",
            f"ORDERSIGNER_CONTRACT={contract}",
        )


class Schema:
    """Compiled types.

    type: the standard's encodeType of the primary type: everything that the hash of a message depends on.
    domain_type: the same of the domain; "" in a schema that comes from a type's string alone.
    domain: the fields of the domain.
    hash_message: from a message to the hash of its struct. separator: the same for a domain. Both raise Fault.
    """

    __slots__ = ("_fields", "domain", "domain_type", "hash_message", "primary_type", "separator", "type")

    def __init__(self, types: Types) -> None:
        structs: dict[str, Encode] = {}
        of_message, of_domain = Budget(MAX_WORK - types.work), Budget(MAX_DOMAIN_WORK)
        for name, fields in types.fields.items():  # a type comes after those that it refers to
            budget = of_domain if name == DOMAIN else of_message
            members = tuple((field.name, _encoder(field, structs, budget)) for field in fields)
            hashes = sum(field.base in _HASHED for field in fields if not field.lengths)
            structs[name] = struct(keccak_256(types.strings[name].encode()), members, hashes, budget)
        self._fields = types.fields
        self.primary_type = types.primary_type
        self.type = types.strings[types.primary_type]
        self.hash_message = of_message.bounding(structs[types.primary_type])
        self.domain_type = types.strings.get(DOMAIN, "")
        self.domain = types.fields.get(DOMAIN, ())
        if DOMAIN in structs:
            self.separator = _kept(
                _separator(of_domain.bounding(structs[DOMAIN]), self.domain), MAX_DOMAINS, MAX_DOMAIN_KEY
            )

    def path(self, path: str) -> Path:
        """The way to an atom: names and dots from `message` or `domain` on.

        For an element of an array stands its number, and "*" for every one. Raises ValueError, with a text for people,
        if the types have no such field or it is not an atom.
        """
        base, lengths, root, steps = self._way(path)
        if lengths:
            raise ValueError(ARRAY)
        if base in self._fields:
            raise ValueError("this is a struct; a field of it must follow")
        return Path(base, ATOMS[base].read, root, steps, _STARTS[root], names_first_array=True)

    def counted(self, path: str) -> Path:
        """The way to the length of an array, in elements, or of bytes or a string, in bytes. Raises ValueError."""
        base, lengths, root, steps = self._way(path)
        if lengths:
            return Path("elements", len, root, steps, _STARTS[root], counts=True)
        if base not in _HASHED:
            raise ValueError("only an array, bytes or a string has a length that can be counted")
        size = _size_of_text if base == "string" else _size_of_bytes
        return Path("bytes", size, root, steps, _STARTS[root], counts=True)

    def _way(self, path: str) -> tuple[str, tuple[str, ...], str, list[Step]]:
        """Where a path leads to: the type there without its dimensions, and these. Then its root and its steps."""
        root, *words = path.split(".")
        base = {"message": self.primary_type, "domain": DOMAIN}.get(root, "")
        if base not in self._fields:
            meant = similar(root, ("message", "domain", "type"))
            raise ValueError("a field begins with message." + (f"; did you mean {meant}?" if meant else ""))
        lengths: tuple[str, ...] = ()
        steps: list[Step] = []
        for word in words:
            if lengths:
                steps.append(element(word, int(lengths[-1] or 0)))
                lengths = lengths[:-1]
                continue
            if word == "*":
                raise ValueError('"*" stands for every element of an array, and this is not an array')
            field = next((field for field in self._fields.get(base, ()) if field.name == word), None)
            if field is None:
                if "[" in word:
                    raise ValueError('the type has no such field; ".0" stands for the first element, ".*" for each')
                meant = similar(word, (field.name for field in self._fields.get(base, ())))
                raise ValueError("the type has no such field" + (f"; did you mean {meant}?" if meant else ""))
            base, lengths = field.base, field.lengths
            steps.append(word)
        return base, lengths, root, steps

    def paths(self) -> Iterator[tuple[str, str, tuple[int, ...]]]:
        """Each atom of the message: its path with "*" for every dimension, its type, and how long each array must be.

        0 stands for any length. An array of structs that have nothing in them is there too, with "" for the type.
        There can be very many: structs share structs.
        """
        bare: set[str] = set()  # structs without an atom at any depth, because the walk through them could take ages
        for name, fields in self._fields.items():
            if all(field.base in bare and not field.lengths for field in fields):
                bare.add(name)
        return self._paths_of("message", self.primary_type, (), bare)

    def difference(self, other: Schema) -> tuple[str, int, str]:
        """The first field of a struct in which the message's type differs from another one of the same name.

        Returns the struct's name, the field's number, from 1 on, and the field; "" for one that only `other` has.
        """
        for name in dict.fromkeys((self.primary_type, *self._fields)):
            theirs = other._fields.get(name, ())
            if name != DOMAIN and (theirs or name == self.primary_type):
                for number, (field, their) in enumerate(zip_longest(self._fields[name], theirs), 1):
                    if field != their:
                        return name, number, f"{field.type} {field.name}" if field else ""
        return self.primary_type, 0, ""  # they are the same

    def _paths_of(
        self, path: str, base: str, lengths: tuple[int, ...], bare: set[str]
    ) -> Iterator[tuple[str, str, tuple[int, ...]]]:
        if base not in self._fields:
            yield path, base, lengths
        for field in self._fields.get(base, ()):
            own = tuple(int(length or 0) for length in reversed(field.lengths))
            way = f"{path}.{field.name}" + ".*" * len(own)
            if field.base not in bare:
                yield from self._paths_of(way, field.base, lengths + own, bare)
            elif own:
                yield way, "", lengths + own


_STARTS = {  # of paths, by their first word
    "message": lambda data: (data.message, data.arrays),
    "domain": lambda data: (data.domain, data.arrays),
}
_PARTS = "an object with types, primaryType, domain and message"


def _size_of_text(value: str) -> int:
    return len(value.encode())


def _size_of_bytes(value: str) -> int:
    return len(value) // 2 - 1


def read(request: Mapping[str, object]) -> TypedData:
    """request: has `typed_data`, an object with exactly KEYS."""
    content = request.get("typed_data", MISSING)
    if type(content) is not dict:
        raise mistyped(content, "typed_data", dict, wanted=_PARTS)
    types, primary_type, domain, message = (content.get(key, MISSING) for key in KEYS)
    if len(content) != len(KEYS) or message is MISSING:
        for key in KEYS:
            if key not in content:
                raise Refusal.of(f"typed_data.{key}", "missing", f"This is missing. Typed data is {_PARTS}.")
        unknown = next(key for key in content if key not in KEYS)
        raise Refusal.of(f"typed_data.{unknown}", "unexpected", f"Unexpected key. Typed data is {_PARTS} only.")
    schema = _schema((types, primary_type))
    root = "typed_data.domain"
    try:
        separator = schema.separator(domain)
        root = "typed_data.message"
        digest = keccak_256(b"\x19\x01" + separator + schema.hash_message(message))
    except Fault as fault:
        raise fault.refusal(root) from None
    return TypedData(digest, separator, schema, domain, message, {})


FORM = Form(read, members={"typed_data": dict})


def schema_of(type: str, domain_type: str = "") -> Schema:
    """The schema of a type's string, as the standard's encodeType writes it: `Foo(Bar b)Bar(uint256 x)`.

    domain_type: that of the domain; "" if it is not known. Raises ValueError, with a text for people.
    """
    return Schema(typed_types.from_string(type, domain_type))


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
    return Schema(typed_types.from_json(*declared))


_schema = _kept(_compile, MAX_SCHEMAS, MAX_SCHEMA_KEY)


def _encoder(field: Field, structs: Mapping[str, Encode], budget: Budget) -> Encode:
    """structs: those that the field may refer to."""
    base = field.base
    encode = budget.address if base == "address" else structs.get(base) or ATOMS[base].encode
    hashes = int(base in _HASHED)
    for length in field.lengths:
        encode = array(encode, length, hashes, budget)
        hashes = 0  # of further dimensions, which count themselves
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
