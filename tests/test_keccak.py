"""Keccak-256, by whichever library this Python has it from."""

from __future__ import annotations

import pytest
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from ordersigner.keccak import keccak_256


@pytest.mark.parametrize(
    ("data", "digest"),
    [
        (b"", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),
        (b"abc", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"),
    ],
)
def test_it_is_the_one_of_ethereum(data: bytes, digest: str) -> None:
    assert keccak_256(data).hex() == digest


@given(st.binary(max_size=300))  # a block has 136 bytes
def test_it_is_the_one_of_eth_utils(data: bytes) -> None:
    assert keccak_256(data) == keccak(data)
    assert keccak_256(data) == keccak(data)  # and the first call left nothing behind
