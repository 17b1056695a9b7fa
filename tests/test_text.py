"""Text from a client: hexadecimal digits, Unicode, and its form in the journal."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordersigner.text import MAX_IN_ENTRY, cleaned, counted, entered, from_hex, masked, similar, utf_8, without_0x


@given(st.binary())
def test_hexadecimal_digits_are_bytes_in_any_case(content: bytes) -> None:
    assert from_hex(content.hex()) == from_hex(content.hex().upper()) == content


@given(st.text() | st.text(string.hexdigits + string.whitespace + "xX_-\u0661"))
def test_text_is_hexadecimal_digits_alone_or_nothing(text: str) -> None:
    is_hex = len(text) % 2 == 0 and all(character in string.hexdigits for character in text)
    assert (from_hex(text) is not None) == is_hex


@pytest.mark.parametrize("text", ["0", "0x00", "00 ", " 00", "0 00", "00\n11", "0g", "\u0661\u0661", "é"])
def test_other_text_has_no_bytes(text: str) -> None:
    assert from_hex(text) is None


@pytest.mark.parametrize(("text", "digits"), [("0x12", "12"), ("12", "12"), ("0X12", "0X12"), ("0x0x", "0x"), ("", "")])
def test_one_0x_is_left_out(text: str, digits: str) -> None:
    assert without_0x(text) == digits


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_unicode_has_its_utf_8(text: str) -> None:
    assert utf_8(text) == text.encode()


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\ude00\ud83d"])
def test_half_of_a_surrogate_pair_has_no_utf_8(text: str) -> None:
    assert utf_8(text) is None


@given(st.text())
def test_text_for_the_journal_is_short_and_printable(text: str) -> None:
    in_field = cleaned(text)
    assert in_field.isprintable()
    assert len(in_field) == min(len(text), MAX_IN_ENTRY + 1)
    assert in_field.endswith("…") == text[: MAX_IN_ENTRY + 1].endswith("…") or len(text) > MAX_IN_ENTRY
    assert all(a in (b, "?") for a, b in zip(in_field[:MAX_IN_ENTRY], text))


@pytest.mark.parametrize(
    ("value", "in_field"),
    [
        (7, "7"),
        (10**50, "1" + "0" * 31 + "…"),
        (10**99, "…"),
        (10**31, "1" + "0" * 31),
        (True, "True"),
        (1.5, ""),
        (None, ""),
    ],
)
def test_the_journal_takes_text_and_integers(value: object, in_field: str) -> None:
    assert cleaned(value) == in_field
    assert entered(value) == (in_field, in_field)


@given(st.text() | st.text('"\\\\, x'))
def test_among_words_text_is_a_json_string(text: str) -> None:
    in_field, in_words = entered(text)
    assert in_field == cleaned(text)
    assert json.loads(in_words) == in_field
    assert in_words == json.dumps(in_field, ensure_ascii=False)


DIGITS = st.text(string.hexdigits, min_size=64, max_size=200)


@given(st.text(), DIGITS, st.text())
def test_the_journal_takes_no_part_of_what_looks_like_a_key(before: str, digits: str, after: str) -> None:
    before = before.rstrip(string.hexdigits)
    entered = cleaned(before + digits + after)
    assert entered == cleaned(before + "…")


@given(st.text(), DIGITS, st.text())
def test_a_name_is_masked_from_where_it_looks_like_a_key(before: str, digits: str, after: str) -> None:
    before = before.rstrip(string.hexdigits)
    for text in (before + digits + after, f"{before}{digits} {digits}{after}"):
        assert masked(text) == before + "…"


@given(st.text() | st.text(string.hexdigits, max_size=63))
def test_a_name_without_64_hexadecimal_digits_in_a_row_is_left_as_it_is(name: str) -> None:
    assert masked(name) == name


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("future", "futures"),
        ("FUTURES", "futures"),
        ("typedData", "typed_data"),
        ("typed-data", "typed_data"),
        ("spot ", "spot"),
        ("x", ""),
        ("", ""),
        ("futures" * 5, ""),
        ("é", ""),
    ],
)
def test_a_word_that_is_close_to_a_known_one_is_found(word: str, meant: str) -> None:
    assert similar(word, ["spot", "futures", "typed_data"]) == meant


@pytest.mark.parametrize(("number", "words"), [(0, "0 keys"), (1, "1 key"), (2, "2 keys")])
def test_one_thing_is_in_the_singular(number: int, words: str) -> None:
    assert counted(number, "key") == words
