"""Arguments of calls: which signatures of functions there are, and which data is a call in canonical form."""

from __future__ import annotations

import re
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import abi_reference

from ordersigner.payloads.abi import MAX_HEAD, Function, Parameter

APPROVE = "approve(address spender, uint256 amount)"
ORDER = (
    "(address offerer, address zone, (uint8 itemType, address token, uint256 id, uint256 start, uint256 end)[] offer, "
    "(uint8 itemType, address token, uint256 id, uint256 start, uint256 end, address recipient)[] consideration, "
    "uint8 orderType, uint256 startTime, uint256 endTime, bytes32 zoneHash, uint256 salt, bytes32 conduit, uint256 n)[]"
)
# Selectors that block explorers show, with the signatures of the functions.
SELECTORS = {
    APPROVE: "095ea7b3",
    "transfer(address to, uint256 amount)": "a9059cbb",
    "deposit()": "d0e30db0",
    "setPreSignature(bytes orderUid, bool signed)": "ec6cb13f",
    "swapExactTokensForTokens(uint256 a, uint256 b, address[] path, address to, uint256 deadline)": "38ed1739",
    "exactInputSingle((address i,address o,uint24 f,address r,uint256 d,uint256 a,uint256 m,uint160 s) p)": "414bf389",
    "execute(bytes commands, bytes[] inputs, uint256 deadline)": "3593564c",
    f"cancel({ORDER} orders)": "fd9f1e10",
}


@pytest.mark.parametrize("text", SELECTORS)
def test_the_selector_is_the_known_one(text: str) -> None:
    assert Function(text).selector.hex() == SELECTORS[text]


def test_blanks_do_not_count() -> None:
    spread = "  approve ( address  spender ,\tuint256 amount )  "
    assert Function(spread).signature == Function(APPROVE).signature == "approve(address,uint256)"


WRONG = {
    "": "NAME(TYPE NAME",
    "approve": "NAME(TYPE NAME",
    "0x095ea7b3": "NAME(TYPE NAME",
    "approve(address,uint256)": "needs a type and a name",
    "function approve(address spender)": "NAME(TYPE NAME",
    "approve(address spender) returns (bool)": "nothing follows",
    "approve(address spender, uint amount)": "write uint256",
    "f(int a)": "write int256",
    "f(uint256 calldata a)": "NAME(TYPE NAME",
    "f(function a)": "begins with its type",
    "f(fixed128x18 a)": "begins with its type",
    "f(uint7 a)": "uint8 to uint256",
    "f(bytes33 a)": "bytes1 to bytes32",
    "f(addr a)": "begins with its type",
    "f(Address a)": "did you mean address",
    "f(() a)": "needs a type and a name",
    "f(uint256[0] a)": "NAME(TYPE NAME",
    "f(uint256[02] a)": "NAME(TYPE NAME",
    "f(uint256 a,)": "needs a type and a name",
    "f(uint256 a": "NAME(TYPE NAME",
    "f(uint256 a, uint8 a)": "two parameters have the name a",
    "f(uint256[][][][][][][][][] a)": "at most 8 dimensions",
    f"f({'(' * 8}uint256 a{') b' * 8})": "at most 8 deep",
    "f(uint256[481] a)": "15360 bytes",
    "f(uint256[100][100] a)": "15360 bytes",
    "f((uint256[100000] a)[] b)": "15360 bytes",
    f"f({', '.join(f'uint8 a{number}' for number in range(481))})": "15360 bytes",
    f"f({'(' * 3000}": "at most 8 deep",
    "f(uint256 " + "a" * 20_000 + ")": "characters",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_signature_is_refused_with_the_reason(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(WRONG[text])):
        Function(text)


def test_the_largest_signatures_are_read() -> None:
    assert Function("f(uint256[480] a)").arguments(Function("f(uint256[480] a)").selector + bytes(MAX_HEAD))
    nested = f"f({'(' * 7}uint256{'[]' * 8} a{') b' * 7})"
    assert Function(nested).arguments(Function(nested).selector) is None


def test_names_are_the_paths_to_the_values() -> None:
    function = Function("f((address to, uint8[] parts)[2] pairs, string note)")
    values = ([("0x" + "11" * 20, [1, 2]), ("0x" + "22" * 20, [])], "é")
    data = function.selector + encode(["(address,uint8[])[2]", "string"], values)
    assert function.arguments(data) == {
        "pairs": [{"to": b"\x11" * 20, "parts": [1, 2]}, {"to": b"\x22" * 20, "parts": []}],
        "note": "é",
    }
    assert function.arguments(b"\0" + data[1:]) is None
    assert function.arguments(data[:3]) is None
    assert function.arguments(b"") is None


def test_a_function_without_parameters_takes_no_byte() -> None:
    function = Function("deposit()")
    assert function.arguments(function.selector) == {}
    assert function.arguments(function.selector + b"\0") is None


# Random functions, and values for them.
ATOMS = ("address", "bool", "bytes", "string", "uint8", "uint256", "int8", "int256", "bytes1", "bytes32")
LENGTHS = st.lists(st.sampled_from([0, 0, 1, 2]), max_size=2)
BASES = st.recursive(
    st.sampled_from(ATOMS),
    lambda bases: st.lists(st.tuples(bases, LENGTHS), min_size=1, max_size=3),
    max_leaves=5,
)
PARAMETERS = st.lists(st.tuples(BASES, LENGTHS), min_size=1, max_size=4)


def declared(base: Any, lengths: list[int], name: str) -> str:
    """A parameter as a signature has it. base: an atom, or the members of a tuple."""
    if not isinstance(base, str):
        base = f"({', '.join(declared(one, more, f'm{number}') for number, (one, more) in enumerate(base))})"
    return f"{base}{''.join(f'[{length or str()}]' for length in lengths)} {name}"


def value(draw: Any, parameter: Parameter, dimensions: int | None = None) -> Any:
    """One that eth-abi encodes."""
    dimensions = len(parameter.lengths) if dimensions is None else dimensions
    if dimensions:
        length = parameter.lengths[dimensions - 1] or draw(st.integers(0, 3))
        return [value(draw, parameter, dimensions - 1) for _ in range(length)]
    base = parameter.base
    if not isinstance(base, str):
        return tuple(value(draw, member) for member in base)
    if base == "address":
        return "0x" + draw(st.binary(min_size=20, max_size=20)).hex()
    if base == "bool":
        return draw(st.booleans())
    if base == "string":
        return draw(st.text(st.characters(codec="utf-8"), max_size=40))
    if base.startswith("bytes"):
        size = int(base[5:] or 0)
        return draw(st.binary(min_size=size, max_size=size or 40))
    bits = int(base.rpartition("int")[2])
    return draw(st.integers(0, 2**bits - 1) if base[0] == "u" else st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1))


def plain(parameters: Any, values: Any) -> dict[str, Any]:
    """Values of eth-abi as arguments() gives them."""
    return {
        parameter.name: one(parameter, len(parameter.lengths), value) for parameter, value in zip(parameters, values)
    }


def one(parameter: Parameter, dimensions: int, value: Any) -> Any:
    if dimensions:
        return [one(parameter, dimensions - 1, element) for element in value]
    if not isinstance(parameter.base, str):
        return plain(parameter.base, value)
    return bytes.fromhex(value[2:]) if parameter.base == "address" else value


@st.composite
def calls(draw: Any) -> tuple[Function, bytes]:
    """A function, and the data of a call of it that the standard encoder writes."""
    text = ", ".join(declared(base, lengths, f"p{number}") for number, (base, lengths) in enumerate(draw(PARAMETERS)))
    function = Function(f"f({text})")
    values = [value(draw, parameter) for parameter in function.parameters]
    return function, function.selector + encode([parameter.type for parameter in function.parameters], values)


WORDS = st.one_of(
    st.integers(0, 20).map(lambda number: 32 * number),
    st.integers(0, 40),
    st.sampled_from([2**255, 2**256 - 1, 2**160, 2**64, 128]),
)


@st.composite
def mutated(draw: Any) -> tuple[Function, bytes]:
    """A call with some words or bytes changed."""
    function, data = draw(calls())
    content = bytearray(data[4:])
    for _ in range(draw(st.integers(1, 3))):
        way = draw(st.integers(0, 5))
        at = draw(st.integers(0, max(0, len(content) // 32 - 1))) * 32
        if way <= 2:
            content[at : at + 32] = draw(WORDS).to_bytes(32, "big")
        elif way == 3 and content:
            content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
        elif way == 4:
            content[at:at] = bytes(32)
        else:
            del content[draw(st.integers(0, len(content))) :]
    return function, data[:4] + bytes(content)


@pytest.mark.once
@given(calls())
def test_what_the_standard_encoder_writes_is_read(call: tuple[Function, bytes]) -> None:
    function, data = call
    assert function.selector == keccak(function.signature.encode())[:4]
    values = abi_reference.arguments([parameter.type for parameter in function.parameters], data[4:])
    assert values is not None
    assert function.arguments(data) == plain(function.parameters, values)


@pytest.mark.once
@settings(max_examples=400)
@given(mutated())
def test_a_call_is_read_exactly_if_encoding_it_again_gives_the_same_bytes(call: tuple[Function, bytes]) -> None:
    function, data = call
    values = abi_reference.arguments([parameter.type for parameter in function.parameters], data[4:])
    assert function.arguments(data) == (None if values is None else plain(function.parameters, values))
