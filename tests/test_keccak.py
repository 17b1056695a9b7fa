"""Keccak-256, by whichever library this Python has it from."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st
from support.daemon import SOURCE

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


def test_without_a_library_that_has_it_the_error_says_what_to_install() -> None:
    program = "import sys; sys.modules.update({'Crypto': None, 'Cryptodome': None}); import ordersigner.keccak"
    run = subprocess.run([sys.executable, "-c", program], cwd=SOURCE, capture_output=True, text=True, check=False)
    if "keccak-256" in hashlib.algorithms_available:
        assert run.returncode == 0
    else:
        assert "ImportError: keccak-256 needs OpenSSL 3.2 or later, or pycryptodome: install" in run.stderr
