"""Private keys: which text is one, what it signs, and that it never shows."""

from __future__ import annotations

import pickle
import traceback

import pytest
from coincurve import PublicKey
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st
from oracles import oracle
from support.daemon import EXAMPLE

from ordersigner.refusal import Refusal
from ordersigner.signing.keys import Signer

KEY = EXAMPLE["request"]["signer"]
ORDER_OF_THE_CURVE = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141  # source: SEC 2, section 2.4.1

keys = st.integers(1, ORDER_OF_THE_CURVE - 1).map(lambda number: f"{number:064x}")
digests = st.binary(min_size=32, max_size=32)


@given(keys, digests)
def test_a_signature_is_the_one_that_eth_account_makes(key: str, digest: bytes) -> None:
    expected = Account.unsafe_sign_hash(digest, "0x" + key)
    assert Signer(key).sign(digest) == "0x" + bytes(expected.signature).hex()


@given(keys, digests)
def test_a_signature_has_low_s_and_gives_the_signer_back(key: str, digest: bytes) -> None:
    signature = bytes.fromhex(Signer(key).sign(digest)[2:])
    assert len(signature) == 65
    assert signature[64] in (27, 28)
    assert int.from_bytes(signature[32:64], "big") <= ORDER_OF_THE_CURVE // 2
    recovered = PublicKey.from_signature_and_message(signature[:64] + bytes([signature[64] - 27]), digest, hasher=None)
    assert recovered.format() == PublicKey.from_secret(bytes.fromhex(key)).format()


@given(keys)
def test_the_address_is_that_of_the_key(key: str) -> None:
    assert Signer(key).address == oracle.signer_address(key)


def test_the_key_may_be_written_with_or_without_0x_and_in_any_case() -> None:
    addresses = {Signer(key).address for key in (KEY, KEY[2:], KEY[2:].upper(), "0x" + KEY[2:].upper())}
    assert len(addresses) == 1


@pytest.mark.parametrize(
    "text",
    [
        "0x",
        "futures",
        KEY[:-1],
        KEY + "0",
        KEY + "00",
        KEY + "\n",
        " " + KEY,
        "0x" + KEY,
        "0X" + KEY[2:],
        "0x" + " " * 64,
        KEY[:33] + " " + KEY[34:],
        "0x" + KEY[2:-2] + "  ",
        "0x" + "g" * 64,
        "0x" + "é" * 64,
        "0x" + "\u0661" * 64,
        "00" * 32,
        f"{ORDER_OF_THE_CURVE:064x}",
        f"{ORDER_OF_THE_CURVE + 1:064x}",
        "ff" * 32,
    ],
)
def test_text_that_is_not_a_key_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(Refusal) as caught:
        Signer(text)
    assert [(field, [p.code for p in problems]) for field, problems in caught.value.context.items()] == [
        ("signer", ["not_key"])
    ]
    said = repr(caught.value.context) + "".join(
        traceback.format_exception(type(caught.value), caught.value, caught.value.__traceback__)
    )
    assert len(text) < 10 or text not in said


@pytest.mark.parametrize("number", [1, ORDER_OF_THE_CURVE - 1])
def test_the_first_and_the_last_key_are_keys(number: int) -> None:
    assert Signer(f"{number:064x}").address == oracle.signer_address(f"{number:064x}")


def test_a_key_does_not_show_itself() -> None:
    signer = Signer(KEY)
    assert repr(signer) == str(signer) == f"Signer({signer.address})"
    with pytest.raises(TypeError):
        pickle.dumps(signer)
