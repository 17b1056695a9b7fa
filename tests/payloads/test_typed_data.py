"""Typed data: published and other cases, refusals and their places, schemas, and the most work that it can be."""

from __future__ import annotations

import copy
import json
import re
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak
from hypothesis import given, settings, target
from hypothesis import strategies as st
from oracles import typed_data_reference as reference
from support.daemon import vectors
from support.typed_data import (
    CONSTANTS,
    COW,
    FILES,
    NOTHING,
    REAL,
    ROWS,
    SEAPORT,
    chain,
    content_of,
    crowd_out,
    digest,
    edge,
    fields,
    fits,
    read,
    wide,
)

from ordersigner import text
from ordersigner.payloads import typed_data, typed_types, typed_values
from ordersigner.payloads.payload import Unreadable
from ordersigner.payloads.typed_data import KEYS
from ordersigner.payloads.typed_types import DOMAIN
from ordersigner.refusal import CODES, Refusal
from ordersigner.signing import protocol
from ordersigner.signing.keys import Signer


def refusal(content: Any) -> tuple[str, str]:
    """The one field, and the code, for which the data is refused."""
    with pytest.raises(Refusal) as caught:
        read(content)
    ((field, (problem,)),) = caught.value.context.items()
    assert problem.code in CODES
    assert caught.value.type == "ValueError"
    return field, problem.code


# Vectors.
@pytest.mark.parametrize(("file", "row"), ROWS, ids=[f"{name}: {row['name']}" for name, row in ROWS])
def test_a_vector_is_signed_as_it_says_or_refused(file: str, row: dict[str, Any]) -> None:
    content = content_of(row)
    if "error" in row:
        refusal(content)
        with pytest.raises(reference.NotSigned):
            reference.digest(content)
        return
    data = read(content)
    assert data.digest.hex() == row["digest"][2:]
    assert reference.digest(content) == data.digest
    if "domain_separator" in row:
        assert data.schema.separator(data.domain).hex() == row["domain_separator"][2:]
    if "struct_hash" in row:
        assert data.schema.hash_message(data.message).hex() == row["struct_hash"][2:]
    if "encode_type" in row:
        assert data.schema.type == row["encode_type"]
    if "private_key" in row:
        assert Signer(row["private_key"]).sign(data.digest) == row["signature"]


@pytest.mark.parametrize(("file", "row"), ROWS, ids=[f"{name}: {row['name']}" for name, row in ROWS])
def test_a_line_with_a_vector_is_read_to_the_same(file: str, row: dict[str, Any]) -> None:
    text = row.get("typed_data_text") or json.dumps(content_of(row))
    line = f'{{"type": "typed_data", "signer": "", "typed_data": {text}}}'.encode()
    if "duplicate key" in row["name"]:  # of which other JSON readers take one
        with pytest.raises(Refusal) as caught:
            protocol.decode(line)
        ((_, (problem,)),) = caught.value.context.items()
        assert problem.code == "duplicate"
    else:
        read = protocol.decode(line)["typed_data"]
        assert verdict(read) == (None if "error" in row else bytes.fromhex(row["digest"][2:]))


@pytest.mark.parametrize("row", [row for row in CONSTANTS if "encode_type" in row], ids=lambda row: str(row["name"]))
def test_a_published_type_hash(row: dict[str, Any]) -> None:
    if row["encode_type"].startswith(DOMAIN):
        types = {DOMAIN: fields(*row["encode_type"][len(DOMAIN) + 1 : -1].split(",")), "M": []}
        content = {"types": types, "primaryType": "M", "domain": zeros(types[DOMAIN]), "message": {}}
        string = schema(content).domain_type
        assert string == typed_data.schema_of("M()", string).domain_type
    else:
        string = typed_data.schema_of(row["encode_type"]).type
    assert keccak(text=string).hex() == row["type_hash"][2:]


@pytest.mark.parametrize("row", [row for row in CONSTANTS if "domain" in row], ids=lambda row: str(row["name"]))
def test_a_published_domain_separator(row: dict[str, Any]) -> None:
    types = {DOMAIN: row["domain_type"], "M": []}
    data = read({"types": types, "primaryType": "M", "domain": row["domain"], "message": {}})
    assert data.schema.separator(data.domain).hex() == row["domain_separator"][2:]


def zeros(declared: list[dict[str, str]]) -> dict[str, Any]:
    values = {"string": "", "uint256": 0, "address": "0x" + "0" * 40, "bytes32": "0x" + "0" * 64}
    return {field["name"]: values[field["type"]] for field in declared}


def test_every_vector_is_there() -> None:
    counts = {name: len(vectors(f"typed-data/{name}")) for name in (*FILES, "constants", "personal")}
    assert counts == {
        "reference": 2,
        "ethers-v6": 87,
        "ethers-v5-spread": 100,
        "metamask-v4": 73,
        "eth-account": 29,
        "clef": 7,
        "exchanges": 30,
        "exchange-shapes": 26,
        "registry": 60,
        "edge-cases": 312,
        "constants": 16,
        "personal": 25,
    }


@pytest.mark.parametrize("name", FILES)
def test_no_vector_is_there_twice(name: str) -> None:
    rows = vectors(f"typed-data/{name}")
    assert len({json.dumps(row) for row in rows}) == len(rows)


# Where a fault is filed, and under which code.
@pytest.mark.parametrize("content", [None, [], "x", 1, True])
def test_typed_data_is_an_object(content: Any) -> None:
    assert refusal(content)[0] == "typed_data"


@pytest.mark.parametrize("key", KEYS)
def test_each_key_is_required(key: str) -> None:
    content = {name: value for name, value in COW.items() if name != key}
    assert refusal(content) == (f"typed_data.{key}", "missing")
    assert refusal({**content, "other": {}})[0] == f"typed_data.{key}"


@pytest.mark.parametrize(
    ("changes", "field", "code"),
    [
        ({"other": 1}, "other", "unexpected"),
        ({"types": None}, "types", "empty"),
        ({"types": []}, "types", "wrong_type"),
        ({"primaryType": 1}, "primaryType", "wrong_type"),
        ({"primaryType": ""}, "primaryType", "empty"),
        ({"primaryType": "Other"}, "primaryType", "not_type"),
        ({"primaryType": DOMAIN}, "primaryType", "not_valid_choice"),
        ({"domain": None}, "domain", "empty"),
        ({"domain": []}, "domain", "wrong_type"),
        ({"message": None}, "message", "empty"),
        ({"message": "{}"}, "message", "wrong_type"),
    ],
)
def test_a_fault_at_the_top_is_named(changes: dict[str, Any], field: str, code: str) -> None:
    assert refusal({**COW, **changes}) == (f"typed_data.{field}", code)


@pytest.mark.parametrize(
    ("types", "field", "code"),
    [
        ({DOMAIN: NOTHING}, DOMAIN, "missing"),
        ({"X": None}, "X", "empty"),
        ({"X": {}}, "X", "wrong_type"),
        ({"X": [1]}, "X[0]", "wrong_type"),
        ({"X": [{"name": "a"}]}, "X[0].type", "missing"),
        ({"X": [{"type": "bool"}]}, "X[0].name", "missing"),
        ({"X": [{"type": "bool", "name": "a", "indexed": True}]}, "X[0].indexed", "unexpected"),
        ({"X": [{"name": "a", "indexed": True}]}, "X[0].type", "missing"),
        ({"X": [{"type": "bool", "name": 1}]}, "X[0].name", "wrong_type"),
        ({"X": [{"type": "bool", "name": ""}]}, "X[0].name", "empty"),
        ({"X": [{"type": 1, "name": "a"}]}, "X[0].type", "wrong_type"),
        ({"X": fields("bool a", "bool b", "bool a")}, "X[2].name", "duplicate"),
        ({"X": fields("bool a)Fake(uint256 b")}, "X[0].name", "not_name"),
        ({"X": fields("bool a.b")}, "X[0].name", "not_name"),
        ({"X": fields("bool ä")}, "X[0].name", "not_name"),
        ({"X": fields("bool a\n")}, "X[0].name", "not_name"),
        ({"a b": []}, "a b", "not_name"),
        ({"1X": []}, "1X", "not_name"),
        ({"X\n": []}, "X\n", "not_name"),
        ({"uint8": []}, "uint8", "not_name"),
        ({"function": []}, "function", "not_name"),
        ({"fixed128x18": []}, "fixed128x18", "not_name"),
        ({"X": fields("bool a", "uint b")}, "X[1].type", "not_type"),
        ({"X": fields("uint08 a")}, "X[0].type", "not_type"),
        ({"X": fields("bytes33 a")}, "X[0].type", "not_type"),
        ({"X": fields("Y a")}, "X[0].type", "not_type"),
        ({"X": fields(f"{DOMAIN} a")}, "X[0].type", "not_type"),
        ({"X": fields("bool[0] a")}, "X[0].type", "not_type"),
        ({"X": fields("bool[01] a")}, "X[0].type", "not_type"),
        ({"X": fields("bool[-1] a")}, "X[0].type", "not_type"),
        ({"X": fields("bool] a")}, "X[0].type", "not_type"),
        ({"X": fields("[] a")}, "X[0].type", "not_type"),
        ({"X": fields("bool[]\n a")}, "X[0].type", "not_type"),
        ({"X": fields("bool" + "[]" * 9 + " a")}, "X[0].type", "too_deep"),
        ({"X": fields("X a")}, "X[0].type", "not_type"),
        ({"X": fields("bool a", "Y[] b"), "Y": fields("X[2] c")}, "Y[0].type", "not_type"),
        ({DOMAIN: fields("string name", "X x"), "X": []}, f"{DOMAIN}[1].type", "not_type"),
    ],
)
def test_a_fault_in_the_types_is_named(types: dict[str, Any], field: str, code: str) -> None:
    content = edge("bool", True, **types)
    content["types"] = {name: declared for name, declared in content["types"].items() if declared is not NOTHING}
    assert refusal(content) == (f"typed_data.types.{field}", code)


def test_a_primary_type_may_have_a_name_that_no_other_type_may_have() -> None:
    types = {DOMAIN: [], "New limit order": fields("bool a b")}
    content = {"types": types, "primaryType": "New limit order", "domain": {}, "message": {"a b": True}}
    assert digest(content) == "0x" + reference.digest(content).hex()
    types["M"] = fields("New limit order[] orders")
    types["M"] = [{"name": "orders", "type": "New limit order[]"}]
    assert refusal(content) == ("typed_data.types.M[0].type", "not_name")


@pytest.mark.parametrize(
    ("domain", "field", "code"),
    [
        ({"salt": "0x" + "00" * 32}, "salt", "unexpected"),
        ({"salt": None}, "salt", "unexpected"),
        ({"version": NOTHING}, "version", "missing"),
        ({"version": None}, "version", "empty"),
        ({"chainId": True}, "chainId", "wrong_type"),
        ({"chainId": 1.0}, "chainId", "wrong_type"),
        ({"chainId": "01"}, "chainId", "not_integer"),
        ({"verifyingContract": "0x0"}, "verifyingContract", "not_address"),
    ],
)
def test_a_fault_in_the_domain_is_named(domain: dict[str, Any], field: str, code: str) -> None:
    changed = {name: value for name, value in {**COW["domain"], **domain}.items() if value is not NOTHING}
    assert refusal({**COW, "domain": changed}) == (f"typed_data.domain.{field}", code)


@pytest.mark.parametrize(
    ("steps", "value", "field", "code"),
    [
        (["offerer"], NOTHING, "offerer", "missing"),
        (["offer"], None, "offer", "empty"),
        (["offer"], {}, "offer", "wrong_type"),
        (["offer", 0], "x", "offer[0]", "wrong_type"),
        (["offer", 0, "token"], "0x", "offer[0].token", "not_address"),
        (["consideration", 1, "recipient"], NOTHING, "consideration[1].recipient", "missing"),
        (["consideration", 1, "startAmount"], "-1", "consideration[1].startAmount", "negative"),
        (["zoneHash"], "0x00", "zoneHash", "wrong_length"),
        (["salt"], 1.5, "salt", "wrong_type"),
    ],
)
def test_a_fault_deep_in_a_message_is_named(steps: list[Any], value: Any, field: str, code: str) -> None:
    content = copy.deepcopy(SEAPORT)
    parent = content["message"]
    parent["consideration"] = [copy.deepcopy(parent["consideration"][0]) for _ in range(2)]
    for step in steps[:-1]:
        parent = parent[step]
    if value is NOTHING:
        del parent[steps[-1]]
    else:
        parent[steps[-1]] = value
    assert refusal(content) == (f"typed_data.message.{field}", code)


@pytest.mark.parametrize(
    ("kind", "value", "field", "code"),
    [
        ("uint8", "007", "v", "not_integer"),
        ("uint8", "+7", "v", "not_integer"),
        ("uint8", "1_0", "v", "not_integer"),
        ("uint8", "0x_7", "v", "not_integer"),
        ("uint8", "0x 7", "v", "not_integer"),
        ("uint8", "0X7", "v", "not_integer"),
        ("uint8", "7\n", "v", "not_integer"),
        ("uint8", "0x7\n", "v", "not_integer"),
        ("uint8", "-", "v", "not_integer"),
        ("uint8", "--7", "v", "not_integer"),
        ("uint8", "\u0667", "v", "not_integer"),
        ("uint8", "\u00b2", "v", "not_integer"),
        ("uint8", "256", "v", "out_of_range"),
        ("uint8", "9" * 60_000, "v", "out_of_range"),
        ("uint8", "0x" + "0" * 65, "v", "out_of_range"),
        ("uint8", "0x" + "f" * 60_000, "v", "out_of_range"),
        ("int8", 128, "v", "out_of_range"),
        ("int8", "-129", "v", "out_of_range"),
        ("uint8", -1, "v", "negative"),
        ("uint8", None, "v", "empty"),
        ("uint8", "", "v", "empty"),
        ("uint8", {}, "v", "wrong_type"),
        ("bool", "true", "v", "wrong_type"),
        ("bool", 1, "v", "wrong_type"),
        ("string", 1, "v", "wrong_type"),
        ("string", "\ud800", "v", "wrong_encoding"),
        ("string", "\ud800" * 100, "v", "wrong_encoding"),
        ("bytes", "0x0", "v", "not_hex"),
        ("bytes", "0x 0a ", "v", "not_hex"),
        ("bytes", "0X00", "v", "not_hex"),
        ("bytes", "00", "v", "not_hex"),
        ("bytes", "", "v", "not_hex"),
        ("bytes", 0, "v", "wrong_type"),
        ("bytes4", "0x010203", "v", "wrong_length"),
        ("bytes4", "0x0102030405", "v", "wrong_length"),
        ("address", "0x" + "1" * 39, "v", "not_address"),
        ("address", "0x" + "1" * 38 + "  ", "v", "not_address"),
        ("address", "0X" + "1" * 40, "v", "not_address"),
        ("address", "1" * 42, "v", "not_address"),
        ("address", "0x" + "g" * 40, "v", "not_address"),
        ("address", "0xd8Da6BF26964aF9D7eEd9e03E53415D37aA96045", "v", "not_address"),
        ("address", 0, "v", "wrong_type"),
        ("bool[2]", [True], "v", "wrong_length"),
        ("bool[2][]", [[True, False], [True]], "v[1]", "wrong_length"),
        ("bool[][2]", [[], [1]], "v[1][0]", "wrong_type"),
        ("bool[99999999999999999999999999]", [True], "v", "wrong_length"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_a_value_that_is_not_of_its_type_is_named(kind: str, value: Any, field: str, code: str) -> None:
    assert refusal(edge(kind, value)) == (f"typed_data.message.{field}", code)


def test_a_refusal_never_repeats_a_value() -> None:
    secret = "0x" + "5ec7e7" * 10 + "0001"
    for kind in ("uint8", "int128", "bool", "bytes4", "address", "uint8[]"):
        with pytest.raises(Refusal) as caught:
            read(edge(kind, secret))
        assert "5ec7e7" not in repr(caught.value) + str(caught.value.context)


@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        ("uint256", 1, "0x01"),
        ("int8", -1, "-1"),
        ("address", "0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045", "0xD8DA6BF26964AF9D7EED9E03E53415D37AA96045"),
        ("bytes", "0xabcd", "0xABCD"),
    ],
)
def test_one_value_in_two_forms_has_one_digest(kind: str, first: Any, second: Any) -> None:
    assert digest(edge(kind, first)) == digest(edge(kind, second))


def test_keys_of_a_message_that_its_type_does_not_have_do_not_matter() -> None:
    content = copy.deepcopy(SEAPORT)
    content["message"]["totalOriginalConsiderationItems"] = 2
    content["message"]["offer"][0]["more"] = None
    assert digest(content) == digest(SEAPORT)


# What is kept between requests.
def test_kept_types_are_told_from_types_that_are_equal_in_python() -> None:
    content = edge("bool", True)
    digest(content)
    for value in (1, 1.0, True):
        content["types"]["M"][0] = {"name": value, "type": "bool"}
        assert refusal(content) == ("typed_data.types.M[0].name", "wrong_type")


def test_a_kept_domain_is_told_from_one_that_is_equal_in_python() -> None:
    digest(COW)
    for value, code in ((True, "wrong_type"), (1.0, "wrong_type")):
        assert refusal({**COW, "domain": {**COW["domain"], "chainId": value}}) == ("typed_data.domain.chainId", code)
    assert digest(COW) == digest({**COW, "domain": {**COW["domain"], "chainId": "1"}})


def test_the_second_time_nothing_is_compiled() -> None:
    first = read(copy.deepcopy(COW))
    second = read(json.loads(json.dumps(COW)))
    third = read(json.loads(json.dumps(COW)))
    assert second.schema is third.schema
    assert first.schema.type == second.schema.type


def kept(results: Callable[[int], object], most: int) -> tuple[bool, bool]:
    """Whether the first result is kept when there are `most` of them, and when there is one more.

    results: computes or finds the result of a number. A result that is kept is the same object.
    """
    first = results(0)
    for number in range(most):
        results(number)
    among_the_most = results(0) is first
    for number in range(1, most + 1):
        results(number)
    return among_the_most, results(0) is first


def test_the_latest_types_are_kept() -> None:
    def compiled(number: int) -> typed_data.Schema:
        return schema(edge("bool", True, **{f"T{number}": []}))

    assert kept(compiled, typed_data.MAX_SCHEMAS) == (True, False)


def test_the_latest_domains_of_types_are_kept() -> None:
    def separator(number: int) -> bytes:
        return read({**edge("bool", True), "domain": {"name": f"{number}"}}).separator

    assert kept(separator, typed_data.MAX_DOMAINS) == (True, False)


@pytest.mark.parametrize(("kind", "value"), [("address", "0x{:040}"), ("string", "a string {}")])
def test_the_latest_addresses_and_short_strings_are_kept(kind: str, value: str) -> None:
    def word(number: int) -> bytes:
        return typed_values.ATOMS[kind].encode(value.format(number))

    assert kept(word, typed_values.MAX_WORDS) == (True, False)


@pytest.mark.parametrize("size", [typed_values.MAX_WORD, typed_values.MAX_WORD + 1])
def test_long_strings_are_not_kept(size: int) -> None:
    encode = typed_values.ATOMS["string"].encode
    assert (encode("x" * size) is encode("x" * size)) == (size <= typed_values.MAX_WORD)


def test_long_types_and_long_domains_are_signed_and_not_kept() -> None:
    declared = fields(*(f"bool {'x' * 40}{number}" for number in range(100)))
    message = {field["name"]: True for field in declared}
    content = {**edge("bool", True, M=declared), "message": message}
    assert digest(content) == "0x" + reference.digest(content).hex()
    assert schema(content) is not schema(content)
    content = {**edge("bool", True), "domain": {"name": "x" * 10_000}}
    assert digest(content) == "0x" + reference.digest(content).hex()
    assert schema(content) is schema(content)
    assert read(content).separator is not read(content).separator


# What a schema says.
def schema(content: Any) -> typed_data.Schema:
    return read(content).schema


@pytest.mark.parametrize("content", REAL, ids=lambda content: str(content["primaryType"]))
def test_the_type_of_a_schema_gives_the_same_schema(content: Any) -> None:
    read = schema(content)
    again = typed_data.schema_of(read.type)
    assert again.type == read.type
    assert again.primary_type == content["primaryType"]
    assert (again.domain, again.domain_type) == ((), "")
    with_domain = typed_data.schema_of(read.type, read.domain_type)
    assert with_domain.domain == read.domain
    assert with_domain.separator(content["domain"]) == read.separator(content["domain"])
    assert again.hash_message(content["message"]) == read.hash_message(content["message"])
    assert list(again.paths()) == list(read.paths())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Name(type name"),
        ("Order", "Name(type name"),
        ("Order(", "Name(type name"),
        ("Order()x", "Name(type name"),
        ("Order(bool a))", "Name(type name"),
        ("Order((bool a)", "Name(type name"),
        ("Order(bool)", "Order[0].name"),
        ("Order(bool a,)", "Order[1].name"),
        ("Order(bool a, bool b)", "Order[1].type"),
        ("Order(uint a)", "Order[0].type"),
        ("Order(bool a,bool a)", "Order[1].name"),
        ("Order(Item a)", "Order[0].type"),
        ("Order(Order a)", "Order[0].type"),
        ("Order(bool a)Order(bool a)", "twice"),
        ("Order(bool a)Item(bool b)", "sorted by name"),
        ("Order(B b,A a)B(bool x)A(bool x)", "sorted by name"),
        ("EIP712Domain(string name)", "domain"),
        ("Order(EIP712Domain a)EIP712Domain(string name)", "Order[0].type"),
        ("uint8(bool a)", "uint8"),
    ],
)
def test_a_string_that_is_not_an_encoded_type_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        typed_data.schema_of(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("content", "path", "kind", "values"),
    [
        (COW, "message.sellAmount", "uint256", [10**18]),
        (COW, "message.kind", "string", ["sell"]),
        (COW, "message.partiallyFillable", "bool", [False]),
        (COW, "message.receiver", "address", [bytes.fromhex("70997970c51812dc3a010c7d01b50e0d17dc79c8")]),
        (COW, "message.appData", "bytes32", [b"\x11" * 32]),
        (COW, "domain.chainId", "uint256", [1]),
        (COW, "domain.verifyingContract", "address", [bytes.fromhex("9008D19f58AAbD9eD0D60971565AA8510560ab41")]),
        (SEAPORT, "message.offer.*.token", "address", [bytes.fromhex("bc4ca0eda7647a8ab7c2061c2e118a18a936f13d")]),
        (SEAPORT, "message.offer.*.itemType", "uint8", [2]),
        (edge("int8[][2]", [["-1", "0x7"], [3]]), "message.v.*.*", "int8", [-1, 7, 3]),
        (edge("int8[][2]", [["-1", "0x7"], [3]]), "message.v.0.*", "int8", [-1, 7]),
        (edge("int8[][2]", [["-1", "0x7"], [3]]), "message.v.*.0", "int8", [-1, 3]),
        (edge("int8[][2]", [["-1", "0x7"], [3]]), "message.v.0.1", "int8", [7]),
        (edge("bytes[]", ["0x", "0xAB"]), "message.v.*", "bytes", [b"", b"\xab"]),
        (edge("bytes[]", ["0x", "0xAB"]), "message.v.1", "bytes", [b"\xab"]),
    ],
)
def test_a_path_gives_the_type_and_the_values_of_a_field(content: Any, path: str, kind: str, values: list[Any]) -> None:
    data = read(content)
    access = data.schema.path(path)
    assert access.type == kind
    assert [(type(value), value) for value in access.values(data)] == [(type(value), value) for value in values]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "message."),
        ("sellAmount", "message."),
        ("types.Order", "message."),
        ("message", "struct"),
        ("message.", "no such field"),
        ("message.other", "no such field"),
        ("message.offer", "array"),
        ("message.offer.token", "array"),
        ("message.offer.00.token", "array"),
        ("message.offer.-1.token", "array"),
        ("message.offer.1000000000.token", "array"),
        ("message.offer.0", "struct"),
        ("message.offer.0.0.token", "no such field"),
        ("message.offer.*", "struct"),
        ("message.offer.*.token.x", "no such field"),
        ("message.offer.*.*.token", "every element"),
        ("message.salt.0", "no such field"),
        ("message.salt.*", "every element"),
        ("message.offer[0].token", "no such field"),
        ("domain.salt", "no such field"),
    ],
)
def test_a_path_that_is_not_an_atom_is_refused(path: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        schema(SEAPORT).path(path)
    assert message in str(caught.value)


def test_a_schema_from_a_string_has_no_domain() -> None:
    with pytest.raises(ValueError):
        typed_data.schema_of("M(bool a)").path("domain.chainId")


@pytest.mark.parametrize("content", REAL, ids=lambda content: str(content["primaryType"]))
def test_every_path_of_a_schema_can_be_read(content: Any) -> None:
    data = read(content)
    for path, kind, lengths in data.schema.paths():
        access = data.schema.path(path)
        assert access.type == kind
        assert len(lengths) == path.count("*")
        arrays = [path[: star.start()] for star in re.finditer(r"\.\*", path)]
        if any(0 in data.schema.counted(array).values(data) for array in arrays):
            with pytest.raises(Unreadable):
                access.values(data)
            continue
        for number in range(len(access.values(data))):
            assert access.place(data, number).startswith(path.partition(".*")[0])


def test_a_path_names_the_places_of_its_values() -> None:
    data = read(edge("int8[][2]", [["1"], ["2", "3"]]))
    access = data.schema.path("message.v.*.*")
    places = [access.place(data, number) for number in range(3)]
    assert places == ["message.v[0][0]", "message.v[1][0]", "message.v[1][1]"]
    assert [data.schema.path(f"message.v.{path}").place(data, 0) for path in ("1.0", "1.*", "*.0")] == [
        "message.v[1][0]",
        "message.v[1][0]",
        "message.v[0][0]",
    ]


@pytest.mark.parametrize(
    ("value", "path", "place", "wanted"),
    [
        ([], "*.*", "v", "at least one element"),
        ([[]], "*.*", "v", "at least one element"),
        ([["1"], []], "*.*", "v", "at least one element"),
        ([["1"], []], "1.*", "v[1]", "at least one element"),
        ([["1"], []], "1.0", "v[1]", "element 0 "),
        ([["1"], []], "2.*", "v", "element 2 "),
        ([["1", "2"], ["3"]], "*.1", "v[1]", "element 1 "),
        ([], "0.0", "v", "element 0 "),
    ],
)
def test_a_value_that_is_not_there_cannot_be_read(value: Any, path: str, place: str, wanted: str) -> None:
    data = read(edge("int8[][]", value))
    for _ in range(2):  # nothing is kept of a failure
        with pytest.raises(Unreadable) as caught:
            data.schema.path(f"message.v.{path}").values(data)
        assert caught.value.place == f"message.{place}"
        assert caught.value.wanted.startswith(wanted)


@pytest.mark.parametrize(
    ("kind", "value", "path", "unit", "sizes"),
    [
        ("int8[][]", [["1"], [], ["2", "3"]], "", "elements", [3]),
        ("int8[][]", [["1"], [], ["2", "3"]], ".*", "elements", [1, 0, 2]),
        ("int8[][]", [["1"], [], ["2", "3"]], ".2", "elements", [2]),
        ("int8[][]", [], "", "elements", [0]),
        ("int8[][]", [], ".*", "elements", []),
        ("bytes", "0x", "", "bytes", [0]),
        ("bytes", "0xabcdef", "", "bytes", [3]),
        ("string", "é€", "", "bytes", [5]),
        ("string[]", ["a", ""], ".*", "bytes", [1, 0]),
    ],
)
def test_what_has_a_length_is_counted(kind: str, value: Any, path: str, unit: str, sizes: list[int]) -> None:
    data = read(edge(kind, value))
    access = data.schema.counted(f"message.v{path}")
    assert (access.type, access.values(data), access.values(data)) == (unit, sizes, sizes)


@pytest.mark.parametrize("kind", ["uint8", "address", "bytes32", "bool"])
def test_what_has_no_length_is_not_counted(kind: str) -> None:
    with pytest.raises(ValueError, match="length"):
        typed_data.schema_of(f"M({kind} v)").counted("message.v")


def test_an_element_beyond_the_end_of_an_array_of_one_length_is_no_field() -> None:
    of_two = typed_data.schema_of("M(uint8[][2] v)")
    assert of_two.path("message.v.1.7").type == "uint8"
    with pytest.raises(ValueError, match="from 0 to 1"):
        of_two.path("message.v.2.0")


@pytest.mark.parametrize(
    ("theirs", "difference"),
    [
        ("Order(address maker,uint128 amount,Item[] items)Item(uint8 kind)", ("Order", 2, "uint128 amount")),
        ("Order(address maker,uint256 amount)", ("Order", 3, "")),
        ("Order(address maker,uint256 amount,Item[] items,bool last)Item(uint8 kind)", ("Order", 4, "bool last")),
        ("Order(address maker,uint256 amount,Item[] items)Item(uint16 kind)", ("Item", 1, "uint16 kind")),
        ("Order(address maker,uint256 amount,Item[] items)Item()", ("Item", 1, "")),
        ("Order()", ("Order", 1, "")),
    ],
)
def test_the_first_difference_of_two_types(theirs: str, difference: tuple[str, int, str]) -> None:
    ours = typed_data.schema_of("Order(address maker,uint256 amount,Item[] items)Item(uint8 kind)")
    assert typed_data.schema_of(theirs).difference(ours) == difference


@pytest.mark.parametrize(
    ("domain_type", "message"),
    [
        ("M(bool a)", "EIP712Domain, alone"),
        ("EIP712Domain(string name)M(bool a)", "EIP712Domain, alone"),
        ("EIP712Domain(uint chainId)", "EIP712Domain[0].type"),
        ("EIP712Domain", "Name(type name"),
    ],
)
def test_a_string_that_is_not_the_type_of_a_domain_is_refused(domain_type: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        typed_data.schema_of("M(bool a)", domain_type)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("uint8", "255", 255),
        ("uint8", "0xff", 255),
        ("bool", "true", True),
        ("string", "a b", "a b"),
        ("bytes4", "0x01020304", b"\1\2\3\4"),
        ("address", "0x" + "00" * 20, bytes(20)),
    ],
)
def test_a_value_from_the_text_of_a_policy(kind: str, text: str, value: Any) -> None:
    assert typed_values.value_of(kind, text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [("uint8", "256"), ("uint8", "01"), ("bool", "yes"), ("bool", "1"), ("bytes4", "0x01"), ("address", "a")],
)
def test_a_text_that_is_no_value_of_its_type(kind: str, text: str) -> None:
    with pytest.raises(ValueError) as caught:
        typed_values.value_of(kind, text)
    assert text == "a" or text not in str(caught.value)


def test_the_journal_says_what_typed_data_is() -> None:
    data = read(COW)
    assert data.type == "typed_data"
    contract = COW["domain"]["verifyingContract"].lower()
    assert data.entry() == (
        f'typed data "Order" for "Gnosis Protocol", 1, {contract}',
        (
            "ORDERSIGNER_PRIMARY_TYPE=Order",
            "ORDERSIGNER_DOMAIN=Gnosis Protocol",
            f"ORDERSIGNER_CONTRACT={contract}",
        ),
    )
    words, fields = read({**edge("bool", True, **{DOMAIN: []}), "domain": {}}).entry()
    assert words == 'typed data "M" for any domain'
    assert fields == ("ORDERSIGNER_PRIMARY_TYPE=M", "ORDERSIGNER_DOMAIN=", "ORDERSIGNER_CONTRACT=")


def test_typed_data_shows_no_values() -> None:
    assert repr(read(COW)) == "TypedData('Order')"


# Mutations of real data, against independent implementations.
EVIL: list[Any] = [
    *(None, True, False, 0, 1, -1, 255, 256, 2**255, 2**256, 1.0, 1.5, 1e400, [], {}, [[]], [{}], {"a": 1}),
    *("", "0", "1", "-1", "-0", "007", "+7", " 7", "7 ", "1.0", "1e3", "1_0", "0x", "0x0", "0x07", "0X07", "-0x7"),
    *("true", "\u0661", "\ud800", "é", "\ufeffa", "0x" + "00" * 31, "0x" + "00" * 32, "0x" + "00" * 33),
    *("0x" + "0" * 40, "0x" + "aB" * 20, "0x" + "AB" * 20, "0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045"),
    *("uint256", "uint", "uint7", "uint08", "int256", "bytes0", "bytes1", "bytes33", "byte", "bytes", "bool", "string"),
    *("address", "address[]", "uint8[2]", "uint8[02]", "uint8[0]", "uint8[][]", "uint8[][1][]", "bool" + "[]" * 9),
    *("Order", "Mail", "Person", "Person[]", DOMAIN, "a b", "a-b", "$a", "1a", "a)Fake(uint256 b", "name", "value"),
]
NAMES = ["name", "type", "a", "v", "salt", "version", "chainId", DOMAIN, "Order", "Person", "X", "a b", "uint8", ""]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a value, with each of its keys."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in list(members):
        yield value, key
        yield from places(member)


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    content = copy.deepcopy(draw(st.sampled_from(REAL)))
    for _ in range(draw(st.integers(1, 3))):
        part = draw(st.sampled_from(["types", "domain", "message", None]))
        root = content if part is None or part not in content else content[part]
        found = list(places(root)) or list(places(content))
        if not found:
            break
        container, key = draw(st.sampled_from(found))
        operation = draw(st.sampled_from(["replace", "replace", "remove", "add", "copy", "rename", "turn"]))
        if operation == "replace":
            container[key] = copy.deepcopy(draw(st.sampled_from(EVIL)))
        elif operation == "remove":
            del container[key]
        elif operation == "copy":
            other, name = draw(st.sampled_from(list(places(content))))
            container[key] = copy.deepcopy(other[name])
        elif isinstance(container, list):
            container.insert(key, copy.deepcopy(draw(st.sampled_from([*EVIL, *container]))))
        elif operation == "add":
            container[draw(st.sampled_from(NAMES))] = copy.deepcopy(draw(st.sampled_from(EVIL)))
        elif operation == "rename":
            container[draw(st.sampled_from([*NAMES, *container]))] = container.pop(key)
        else:
            container[key] = container.pop(key)  # now the last
    return content


def verdict(content: Any) -> bytes | None:
    try:
        return read(content).digest
    except Refusal:
        return None


def reference_verdict(content: Any) -> bytes | None:
    try:
        return reference.digest(content)
    except reference.NotSigned:
        return None


@pytest.mark.once
@settings(max_examples=1000)
@given(mutated())
def test_a_mutation_gets_the_verdict_and_the_digest_of_the_reference(content: Any) -> None:
    before = json.dumps(content)
    assert verdict(content) == reference_verdict(content)
    assert json.dumps(content) == before


CANONICAL = fields("string name", "string version", "uint256 chainId", "address verifyingContract", "bytes32 salt")


def eth_account_digest(content: Any) -> bytes | None:
    """What eth-account signs; None if it refuses. It is right where the domain is declared in the standard's way."""
    try:
        signable = encode_typed_data(full_message=content)
    except Exception:  # noqa: BLE001 - it raises many kinds
        return None
    return keccak(b"\x19" + signable.version + signable.header + signable.body)


def is_canonical(declared: list[dict[str, str]]) -> bool:
    order = [CANONICAL.index(field) if field in CANONICAL else -1 for field in declared]
    return -1 not in order and order == sorted(order)


@settings(max_examples=300)
@given(mutated() | st.sampled_from(REAL))
def test_eth_account_never_signs_another_digest(content: Any) -> None:
    ours = verdict(content)
    if ours is not None and is_canonical(content["types"][DOMAIN]):
        assert eth_account_digest(content) in (ours, None)


@pytest.mark.parametrize("content", REAL, ids=lambda content: str(content["primaryType"]))
def test_eth_account_signs_the_same_for_real_data(content: Any) -> None:
    if is_canonical(content["types"][DOMAIN]):
        assert eth_account_digest(content) == read(content).digest


# The most work that a line can be. It is counted, because times would say more about the machine.
MOST_CALLS = 40_000  # a search of 3,000 lines found up to 27,000
MOST_HASHED = 160_000  # bytes: those of all types' strings, of the values, and 32 for each value


class Work:
    """Counts the calls to and from the modules, and the bytes that they hash, in one read()."""

    FILES = tuple(module.__file__ for module in (text, typed_data, typed_types, typed_values))

    def __init__(self, content: Any) -> None:
        self.calls = 0
        self.hashed = 0
        self.refusal: Refusal | None = None
        crowd_out()
        with pytest.MonkeyPatch.context() as patch:
            for module in (typed_data, typed_values):
                patch.setattr(module, "keccak_256", self._count_bytes)
            sys.setprofile(self._count_call)
            try:
                read(content)
            except Refusal as refusal:
                self.refusal = refusal
            finally:
                sys.setprofile(None)

    def _count_call(self, frame: FrameType, event: str, arg: object) -> None:
        self.calls += event in ("call", "c_call") and frame.f_code.co_filename in self.FILES

    def _count_bytes(self, data: bytes) -> bytes:
        self.hashed += len(data)
        return keccak(data)


depths = st.integers(2, 70)
short = st.integers(1, 40)
worst_lines = st.one_of(
    st.builds(chain, depths, st.integers(1, 400), st.sampled_from(["", "[]", "[1]", "[]" * 8]), st.just(1)),
    st.builds(chain, depths, short, st.just(""), st.integers(2, 8)),
    st.builds(wide, st.integers(1, 500), st.just("bool" + "[]" * 8), st.just([]), short),
    st.builds(wide, st.integers(1, 500), st.just("address"), st.just("0x" + "aB" * 20), short),
    st.builds(wide, st.integers(1, 500), st.just("uint256"), st.just("9" * 78), st.integers(1, 100)),
    st.builds(lambda count: edge("uint8[]", [0] * count), st.integers(1, 2000)),
    st.builds(lambda count: edge("string[]", ["x" * 65] * count), st.integers(1, 900)),
    st.builds(lambda count: edge("uint8" + "[]" * count, 0), st.integers(1, 32_000)),
    st.builds(lambda count: edge("uint256", "9" * count), st.integers(1, 65_000)),
    st.builds(lambda count: edge("bool", True, **{f"T{number}": [] for number in range(count)}), st.integers(1, 200)),
).filter(fits)


@pytest.mark.once
@settings(max_examples=300)
@given(worst_lines)
def test_the_worst_lines_are_bounded_work(content: Any) -> None:
    work = Work(content)
    target(float(work.calls), label="calls")
    target(float(work.hashed), label="bytes hashed")
    assert work.calls <= MOST_CALLS
    assert work.hashed <= MOST_HASHED


@pytest.mark.parametrize(
    "make",
    [
        lambda size: chain(size, 20),
        lambda size: chain(size, 1, "[]"),
        lambda size: wide(8 * size, "address", "0x" + "aB" * 20),
        lambda size: wide(8 * size, "bool" + "[]" * 8, []),
        lambda size: edge("uint8[]", [0] * 30 * size),
    ],
    ids=["structs in structs", "arrays of structs", "addresses", "dimensions", "elements"],
)
def test_a_line_of_twice_the_length_is_at_most_twice_the_calls(make: Any) -> None:
    one, two = Work(make(24)), Work(make(48))
    assert two.calls <= 2 * one.calls


def test_a_chain_of_structs_whose_strings_outgrow_the_line_is_refused() -> None:
    content = chain(63, 400)
    assert fits(content)
    work = Work(content)
    assert refusal(content) == ("typed_data.types", "too_many_values")
    assert work.hashed == 0


def test_the_deepest_data_that_the_limits_allow_does_not_exhaust_the_stack() -> None:
    content = chain(52, 1, "[]" * 8)
    assert refusal(content) == ("typed_data.message" + (".f0" + "[0]" * 8) * 51 + ".a", "wrong_type")
    assert refusal(chain(63, 1, "[]" * 8))[1] == "too_many_values"
    assert refusal(chain(64, 1)) == ("typed_data.types", "too_many_values")


@pytest.mark.parametrize("part", KEYS)
def test_deep_nesting_in_any_part_is_a_refusal(part: str) -> None:
    value: Any = []
    for _ in range(100_000):
        value = [value]
    content = {**COW, part: value}
    refusal(content)
    refusal({**COW, "message": {**COW["message"], "kind": value}})
    refusal({**COW, "domain": {**COW["domain"], "name": value}})
    refusal({**COW, "types": {**COW["types"], "X": value}})
    while value:  # freed level by level, because freeing it at once takes a stack as deep
        value = value.pop()


def expected_digest(content: Any) -> str:
    return "0x" + reference.digest(content).hex()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("string[]", lambda number: f"{number}"),
        ("bytes[]", lambda number: "0x"),
        ("bool[][]", lambda number: []),
        ("Part[]", lambda number: {"a": True}),
        ("address[]", lambda number: f"0x{number:040}"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_hashed_is_bounded_whatever_was_read_before(kind: str, value: Any) -> None:
    part = {"Part": fields("bool a")}
    most = edge(kind, [value(number) for number in range(600)], **part)
    more = edge(kind, [value(number) for number in range(700)], **part)
    assert digest(most) == expected_digest(most)
    for _ in range(3):  # though all of its strings and addresses may be known
        field, code = refusal(more)
        assert (field[:20], code) == ("typed_data.message.v", "too_many_values")
        assert digest(most) == expected_digest(most)


def test_an_address_counts_once_and_each_number_counts() -> None:
    again = edge("address[]", ["0x" + "1" * 40] * 1300)
    assert digest(again) == expected_digest(again)
    numbers = edge("uint8[]", [1] * 7400)
    assert digest(numbers) == expected_digest(numbers)
    assert refusal(edge("uint8[]", [1] * 7500)) == ("typed_data.message.v", "too_many_values")


def test_a_domain_and_types_have_bounds_of_their_own() -> None:
    content = edge("bool", True)
    content["types"][DOMAIN] = fields("string name", "string[] more")
    content["domain"]["more"] = ["x"] * 20
    assert digest(content) == expected_digest(content)
    content["domain"]["more"] *= 2
    for _ in range(2):
        assert refusal(content) == ("typed_data.domain.more", "too_many_values")
    assert refusal(wide(513, "bool", True)) == ("typed_data.types", "too_many_values")
    many = wide(500, "bool", True)
    assert digest(many) == expected_digest(many)
    assert refusal(wide(400, "bool" + "[]" * 8, [])) == ("typed_data.types", "too_many_values")


def seaport_bulk(height: int, orders: int) -> Any:
    """Orders of Seaport, signed together, with orders that are empty to fill the tree."""
    order = SEAPORT["message"]
    empty = {**dict.fromkeys(order, "0"), "offer": [], "consideration": [], "orderType": 0}
    empty.update(dict.fromkeys(("offerer", "zone"), "0x" + "0" * 40), **dict.fromkeys(("zoneHash", "conduitKey"), ZERO))
    leaves: list[Any] = [
        {**order, "offer": [{**order["offer"][0], "token": f"0x{number:040x}"}], "salt": f"0x{number:064x}"}
        if number < orders
        else empty
        for number in range(2**height)
    ]
    while len(leaves) > 1:
        leaves = [[one, other] for one, other in zip(leaves[::2], leaves[1::2])]
    types = {**SEAPORT["types"], "BulkOrder": fields("OrderComponents" + "[2]" * height + " tree")}
    return {**SEAPORT, "types": types, "primaryType": "BulkOrder", "message": {"tree": leaves[0]}}


ZERO = "0x" + "0" * 64


def test_as_many_orders_of_seaport_as_fit_a_line_are_signed() -> None:
    content = seaport_bulk(6, 61)
    assert fits(content)
    assert not fits(seaport_bulk(6, 62))
    assert digest(content) == expected_digest(content)


def test_a_struct_that_many_paths_reach_is_compiled_once() -> None:
    content = chain(60, 1, "", 2)
    content["message"] = {}
    assert Work(content).calls < MOST_CALLS  # and not 2^60
    text = schema_type(content)
    paths = typed_data.schema_of(text).paths()
    assert next(paths)[0] == "message" + ".f0" * 59 + ".a"


def schema_type(content: Any) -> str:
    return reference.encode_type(content["primaryType"], content["types"])
