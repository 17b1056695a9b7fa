"""Messages: which texts and bytes are signed, which are refused, and what a policy learns of them."""

from __future__ import annotations

import re
import sys
import unicodedata
from typing import Any

import pytest
from eth_account.messages import encode_defunct
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st
from support.daemon import vectors

from ordersigner.payloads import messages
from ordersigner.payloads.messages import NOT_PLAIN
from ordersigner.refusal import CODES, Refusal
from ordersigner.signing.keys import Signer

ROWS = [row for row in vectors("typed-data/personal") if row["version"] == "0x45"]
DIGEST = "be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2"


def refusal(request: dict[str, Any]) -> tuple[str, str]:
    with pytest.raises(Refusal) as caught:
        messages.read(request)
    ((field, (problem,)),) = caught.value.context.items()
    assert problem.code in CODES
    return field, problem.code


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row["name"]))
def test_a_published_message(row: dict[str, Any]) -> None:
    requests = [{"hex": row["message_hex"]}, *([{"text": row["text"]}] if "text" in row else [])]
    for message in map(messages.read, requests):
        assert message.digest.hex() == row["digest"][2:]
        assert message.content.hex() == row["message_hex"][2:]
        assert message.is_hash == (row.get("text_check") in ("not_text", "looks_like_hash"))
        assert message.is_plain == (row.get("text_check") != "not_text")
        if "text" in row:
            assert message.text == row["text"]
        if "private_key" in row:
            assert Signer(row["private_key"]).sign(message.digest) == row["signature"]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_text_is_its_utf_8_and_gets_the_digest_of_eth_account(text: str) -> None:
    signable = encode_defunct(text=text)
    message = messages.read({"text": text})
    assert message.digest == keccak(b"\x19" + signable.version + signable.header + signable.body)
    assert messages.read({"hex": "0x" + text.encode().hex()}) == message._replace(key="hex")


@given(st.binary())
def test_bytes_get_the_digest_of_eth_account(content: bytes) -> None:
    signable = encode_defunct(content)
    message = messages.read({"hex": "0x" + content.hex()})
    assert message.digest == keccak(b"\x19" + signable.version + signable.header + signable.body)
    assert message.content == content


def test_text_that_looks_like_hex_is_text() -> None:
    assert messages.read({"text": "0x4243"}).content == b"0x4243"


@pytest.mark.parametrize(
    ("request_keys", "field", "code"),
    [
        ({}, "text", "missing"),
        ({"text": None}, "text", "empty"),
        ({"text": 1}, "text", "wrong_type"),
        ({"text": ["a"]}, "text", "wrong_type"),
        ({"text": "\ud800"}, "text", "wrong_encoding"),
        ({"text": "a", "hex": "0x61"}, "hex", "unexpected"),
        ({"text": None, "hex": "0x61"}, "hex", "unexpected"),
        ({"text": "a", "hex": None}, "hex", "unexpected"),
        ({"hex": None}, "hex", "empty"),
        ({"hex": 1}, "hex", "wrong_type"),
        ({"hex": ""}, "hex", "not_hex"),
        ({"hex": "61"}, "hex", "not_hex"),
        ({"hex": "0X61"}, "hex", "not_hex"),
        ({"hex": "0x6"}, "hex", "not_hex"),
        ({"hex": "0x6g"}, "hex", "not_hex"),
        ({"hex": "0x61 "}, "hex", "not_hex"),
        ({"hex": "0x 6 1"}, "hex", "not_hex"),
        ({"hex": "0x\u0661\u0661"}, "hex", "not_hex"),
    ],
    ids=repr,
)
def test_a_message_is_exactly_one_text_or_hex(request_keys: dict[str, Any], field: str, code: str) -> None:
    assert refusal(request_keys) == (field, code)


@pytest.mark.parametrize("text", [DIGEST, "0x" + DIGEST, "0X" + DIGEST, DIGEST.upper(), "0x" + DIGEST.upper()])
def test_64_hexadecimal_digits_are_a_hash(text: str) -> None:
    assert messages.read({"text": text}).is_hash
    assert messages.read({"hex": "0x" + text.encode().hex()}).is_hash


def test_32_bytes_are_a_hash_whichever_they_are() -> None:
    assert messages.read({"hex": "0x" + DIGEST}).is_hash
    assert messages.read({"text": "a" * 32}).is_hash


@pytest.mark.parametrize("text", ["", DIGEST[1:], DIGEST + "0", DIGEST[1:] + "g", DIGEST + "\n", "a" * 31, "a" * 33])
def test_other_texts_are_no_hash(text: str) -> None:
    assert not messages.read({"text": text}).is_hash


@pytest.mark.parametrize("text", ["", "a", "a\tb\nc", "é", "日本", "שלום", "\U0001f600"])
def test_a_text_that_people_see_as_it_is(text: str) -> None:
    assert messages.read({"text": text}).is_plain


@pytest.mark.parametrize("character", [*map(chr, [0, 8, 11, 12, 13, 27, 31, 127, 128, 155, 159]), *"\u2028\u2029"])
def test_a_control_character_is_not_plain(character: str) -> None:
    assert not messages.read({"text": f"a{character}b"}).is_plain


# Characters that are default ignorable according to their names, and are no format characters for Unicode.
IGNORABLE = re.compile("COMBINING GRAPHEME JOINER|VARIATION SELECTOR|KHMER VOWEL INHERENT|HANGUL .*FILLER").search
NEWER = {0x0890, 0x0891, 0x180F, *range(0x13439, 0x13440)}  # not assigned in the Unicode of the oldest Python
RESERVED = {0x2065, *range(0xFFF0, 0xFFF9), *range(0xE0000, 0xE1000)}  # to be ignored before they are assigned


def test_what_this_pythons_unicode_does_not_show_is_not_plain_and_nothing_else() -> None:
    for code in {*range(sys.maxunicode + 1)} - {*range(0xD800, 0xE000)}:
        character = chr(code)
        category = unicodedata.category(character)
        hidden = category in ("Cc", "Cf", "Zl", "Zp") and character not in "\t\n"
        ignorable = code in RESERVED or IGNORABLE(unicodedata.name(character, "")) is not None
        if category != "Cn" or code not in NEWER:
            assert (NOT_PLAIN(character) is not None) == (hidden or ignorable), f"U+{code:04X}"


def test_bytes_that_are_no_text_have_none_and_are_not_plain() -> None:
    message = messages.read({"hex": "0xff"})
    assert message.text is None
    assert not message.is_plain


@pytest.mark.parametrize(
    ("request_keys", "words"),
    [
        ({"text": "1550791374642"}, 'a message of 13 bytes, "1550791374642",'),
        ({"hex": "0x6869"}, 'a message of 2 bytes, "hi",'),
        ({"hex": "0xff"}, "a message of 1 byte, 0xff,"),
    ],
)
def test_the_journal_says_what_a_message_is(request_keys: dict[str, Any], words: str) -> None:
    message = messages.read(request_keys)
    assert message.type == "message"
    text = words.split(", ", 1)[1].rstrip(",").strip('"')
    assert message.entry() == (words, (f"ORDERSIGNER_TEXT={text}",))


def test_a_message_does_not_show_its_content() -> None:
    assert repr(messages.read({"text": "secret"})) == "Message(6 bytes)"
