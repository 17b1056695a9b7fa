"""Keccak-256, by each of its three implementations: OpenSSL's, pycryptodome's, and our own."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from types import ModuleType
from typing import Callable

import pytest
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st
from support.daemon import SOURCE

from ordersigner.keccak import LIBRARY, keccak_256

Hash = Callable[[bytes], bytes]
BLOCK = 136  # bytes


def without(*libraries: str) -> ModuleType:
    """The module on a machine without these libraries."""

    def new(name: str) -> None:
        raise ValueError(f"unsupported hash type {name}")

    spec = importlib.util.spec_from_file_location("keccak_without", SOURCE / "ordersigner/keccak.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        if "OpenSSL" in libraries:
            patch.setattr(hashlib, "new", new)
        if "pycryptodome" in libraries:
            for name in ("Crypto", "Crypto.Hash", "Cryptodome", "Cryptodome.Hash"):
                patch.setitem(sys.modules, name, None)
        spec.loader.exec_module(module)
    return module


OURS: Hash = without("OpenSSL", "pycryptodome").keccak_256
PYCRYPTODOMES: Hash = without("OpenSSL").keccak_256
ALL: dict[str, Hash] = {"ours": OURS, "pycryptodome's": PYCRYPTODOMES, "the one of this Python": keccak_256}


@pytest.fixture(params=list(ALL))
def implementation(request: pytest.FixtureRequest) -> Hash:
    return ALL[request.param]


# Sources: ShortMsgKAT_256.txt of the Keccak team, for no byte and one; the selector of a transfer of tokens.
@pytest.mark.parametrize(
    ("data", "digest"),
    [
        (b"", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),
        (b"abc", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"),
        (b"\xcc", "eead6dbfc7340a56caedc044696a168870549a6a7f6f56961e84a54bd9970b8a"),
        (b"transfer(address,uint256)", "a9059cbb2ab09eb219583f4a59a5d0623ade346d962bcd4e46b11da047c9049b"),
    ],
)
def test_it_is_the_one_of_ethereum(implementation: Hash, data: bytes, digest: str) -> None:
    assert implementation(data).hex() == digest


def test_it_is_the_one_of_eth_utils_for_every_length_up_to_three_blocks(implementation: Hash) -> None:
    """The padding depends on the length, and is a single byte where one is left of a block."""
    data = bytes(range(256)) * 2
    assert len(data) > 3 * BLOCK
    for length in range(3 * BLOCK + 1):
        assert implementation(data[:length]) == keccak(data[:length]), length


@pytest.mark.parametrize("length", [65_536, 100 * BLOCK - 1, 100 * BLOCK, 100 * BLOCK + 1])
def test_it_is_the_one_of_eth_utils_for_much_data(implementation: Hash, length: int) -> None:
    data = (bytes(range(256)) * 300)[:length]
    assert len(data) == length
    assert implementation(data) == keccak(data)


@pytest.mark.parametrize("name", list(ALL))
@given(data=st.binary(max_size=300))
def test_it_is_the_one_of_eth_utils(name: str, data: bytes) -> None:
    assert ALL[name](data) == keccak(data)
    assert ALL[name](data) == keccak(data)  # and the first call left nothing behind


def test_what_computes_it_is_named() -> None:
    """The daemon asks: see test_extras.py."""
    assert without("OpenSSL", "pycryptodome").LIBRARY is None
    assert without("OpenSSL").LIBRARY == "pycryptodome"
    try:
        hashlib.new("keccak-256")
    except ValueError:
        assert LIBRARY == "pycryptodome"
    else:
        assert LIBRARY == "OpenSSL"
