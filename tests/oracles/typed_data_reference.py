"""An independent implementation of EIP-712, from the standard and from our rules where implementations differ.

Slow and plain: it shares no code with the package. It works on the JSON values directly, knows no paths and no caches,
and finds out by one recursion what a value is and whether it is allowed.
"""

from __future__ import annotations

import re
from typing import Any

from eth_utils.address import is_checksum_address
from eth_utils.crypto import keccak

LIMITS = {"types": 64, "dimensions": 8, "type bytes": 65536}


class NotSigned(Exception):
    """The data is refused; the text says why."""


def require(condition: bool, why: str) -> None:
    if not condition:
        raise NotSigned(why)


def digest(content: Any) -> bytes:
    """32 bytes; raises NotSigned."""
    require(isinstance(content, dict), "not an object")
    require(sorted(content) == ["domain", "message", "primaryType", "types"], "wrong keys")
    types, primary_type = content["types"], content["primaryType"]
    check_types(types, primary_type)
    domain = content["domain"]
    require(isinstance(domain, dict), "domain is not an object")
    require(set(domain) == {field["name"] for field in types["EIP712Domain"]}, "domain and its type differ")
    separator = hash_struct("EIP712Domain", domain, types)
    return keccak(b"\x19\x01" + separator + hash_struct(primary_type, content["message"], types))


def check_types(types: Any, primary_type: Any) -> None:
    require(isinstance(types, dict) and len(types) <= LIMITS["types"], "types")
    require(isinstance(primary_type, str) and primary_type in types, "primaryType")
    require(primary_type != "EIP712Domain" and "EIP712Domain" in types, "domain")
    for name, fields in types.items():
        allowed = r"[A-Za-z0-9_ :$\-]+" if name == primary_type else r"[A-Za-z_][A-Za-z0-9_]*"
        require(re.match(rf"\A{allowed}\Z", name) is not None, "name")
        require(not is_reserved(name), "name of an atom")
        require(isinstance(fields, list), "fields")
        for field in fields:
            require(isinstance(field, dict) and sorted(field) == ["name", "type"], "field")
            require(isinstance(field["name"], str) and isinstance(field["type"], str), "field")
            require(re.match(r"\A[A-Za-z0-9_ :$\-]+\Z", field["name"]) is not None, "name")
            base, *dimensions = re.split(r"(?=\[)", field["type"])
            require(all(re.match(r"\A\[([1-9][0-9]*)?\]\Z", dimension) for dimension in dimensions), "dimension")
            require(len(dimensions) <= LIMITS["dimensions"], "dimensions")
            if not is_atom(base):
                require(base in types and base != "EIP712Domain" and name != "EIP712Domain", "unknown type")
                require(re.match(r"\A[A-Za-z_][A-Za-z0-9_]*\Z", base) is not None, "name")
        require(len({field["name"] for field in fields}) == len(fields), "field twice")
    for name in types:
        require(name not in needed(name, types), "recursive")
    require(sum(len(encode_type(name, types)) for name in types) <= LIMITS["type bytes"], "types too long")


def is_atom(name: str) -> bool:
    if name in ("address", "bool", "bytes", "string"):
        return True
    number = re.match(r"\A(uint|int|bytes)([1-9][0-9]*)\Z", name)
    if number is None:
        return False
    size = int(number[2])
    return size <= 32 if number[1] == "bytes" else size <= 256 and size % 8 == 0


def is_reserved(name: str) -> bool:
    return re.match(r"\A(address|bool|string|tuple|function|u?int\d*|bytes\d*|u?fixed(\d+x\d+)?)\Z", name) is not None


def needed(name: str, types: Any) -> set[str]:
    """All types that a type refers to, directly or through others."""
    found: set[str] = set()
    ahead = [name]
    while ahead:
        for field in types[ahead.pop()]:
            base = field["type"].partition("[")[0]
            if base in types and base not in found:
                found.add(base)
                ahead.append(base)
    return found


def encode_type(name: str, types: Any) -> str:
    def own(name: str) -> str:
        return name + "(" + ",".join(field["type"] + " " + field["name"] for field in types[name]) + ")"

    return own(name) + "".join(own(other) for other in sorted(needed(name, types)))


def hash_struct(name: str, value: Any, types: Any) -> bytes:
    require(isinstance(value, dict), "not an object")
    encoded = keccak(encode_type(name, types).encode())
    for field in types[name]:
        require(field["name"] in value, "missing")
        encoded += encode(field["type"], value[field["name"]], types)
    return keccak(encoded)


def encode(kind: str, value: Any, types: Any) -> bytes:
    if kind.endswith("]"):
        inner, _, length = kind[:-1].rpartition("[")
        require(isinstance(value, list), "not an array")
        require(not length or len(value) == int(length), "length")
        return keccak(b"".join(encode(inner, element, types) for element in value))
    if kind in types:
        return hash_struct(kind, value, types)
    if kind == "bool":
        require(isinstance(value, bool), "not a bool")
        return int(value).to_bytes(32, "big")
    if kind == "string":
        require(isinstance(value, str), "not a string")
        try:
            return keccak(value.encode("utf-8"))
        except UnicodeEncodeError:
            raise NotSigned("surrogate") from None
    if kind == "address":
        require(isinstance(value, str) and re.match(r"\A0x[0-9a-fA-F]{40}\Z", value) is not None, "not an address")
        one_case = value[2:] in (value[2:].lower(), value[2:].upper())
        require(one_case or is_checksum_address(value), "checksum")
        return int(value, 16).to_bytes(32, "big")
    if kind.startswith("bytes"):
        require(isinstance(value, str) and re.match(r"\A0x([0-9a-fA-F]{2})*\Z", value) is not None, "not hex")
        data = bytes(int(value[at : at + 2], 16) for at in range(2, len(value), 2))
        if kind == "bytes":
            return keccak(data)
        require(len(data) == int(kind[5:]), "length")
        return data.ljust(32, b"\x00")
    bits = int(kind.lstrip("uint"))
    number = integer(value)
    least, most = (0, 2**bits - 1) if kind[0] == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    require(least <= number <= most, "range")
    return (number % 2**256).to_bytes(32, "big")


def integer(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    require(isinstance(value, str), "not an integer")
    if re.match(r"\A(0|-?[1-9][0-9]{0,77})\Z", value):
        return int(value)
    require(re.match(r"\A0x[0-9a-fA-F]{1,64}\Z", value) is not None, "not an integer")
    return int(value[2:], 16)
