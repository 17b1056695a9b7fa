"""What a section says about messages: patterns, which are matched in linear time, and hashes."""

from __future__ import annotations

import re
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.daemon import vectors

from ordersigner.payloads import messages
from ordersigner.policy.message_limits import MAX_PATTERN, MAX_POSITIONS, MAX_TEXT, MessageLimits, _compile
from ordersigner.policy.settings import SettingsError

HASH = "be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2"
PUBLISHED = {row["name"]: row for row in vectors("typed-data/personal")}


def denied(limits: MessageLimits, **request: Any) -> tuple[str, str] | None:
    """The field and the code of the objection to a message."""
    found = limits.judge(messages.read(request), 0.0)
    return found and (found.field, found.code)


def problems(**settings: Any) -> dict[str, str]:
    with pytest.raises(SettingsError) as caught:
        MessageLimits(**settings)
    return dict(caught.value.problems)


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("Leverj login: the nonce header", "[0-9]{13}"),
        ("Derive REST login", "1[0-9]{12}"),
        ("Extended (x10) request", "/api/v1/user/[a-z]+@[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z"),
        ("Reya cancel", r'\{"orderId":"[0-9]{1,20}","status":"cancelled","actionType":"changeStatus"\}'),
        ("ApeX Omni onboarding", r"Address: 0x[0-9A-Fa-f]{40}\nAction: ApeX Omni Onboarding"),
    ],
)
def test_a_section_for_a_venue(name: str, pattern: str) -> None:
    text = PUBLISHED[name]["text"]
    limits = MessageLimits(pattern=pattern)
    assert denied(limits, text=text) is None
    assert denied(limits, hex="0x" + text.encode().hex()) is None
    assert denied(limits, text=text + "0") == ("text", "not_allowed")
    assert denied(limits, text=text[1:]) == ("text", "not_allowed")
    assert denied(limits, hex="0x" + text[1:].encode().hex()) == ("hex", "not_allowed")


def test_a_hash_is_refused_whatever_the_pattern() -> None:
    limits = MessageLimits(pattern=".*")
    for request in ({"hex": "0x" + HASH}, {"text": HASH}, {"text": "0x" + HASH}, {"text": "a" * 32}):
        (field,) = request
        assert denied(limits, **request) == (field, "ambiguous")


def test_hashes_are_allowed_by_a_section_that_says_so() -> None:
    limits = MessageLimits(hashes="yes")
    assert denied(limits, hex="0x" + HASH) is None
    assert denied(limits, text=HASH) is None
    assert denied(limits, text="1550791374642") == ("text", "not_allowed")
    both = MessageLimits(hashes="yes", pattern="[0-9]{13}")
    assert denied(both, text="1550791374642") is None
    assert denied(both, text=HASH) is None


@pytest.mark.parametrize("text", ["a\0b", "a\rb", "a\x1b[0m", "a\x7f", "a\u202eb", "a\u2066b", "a\u2028b"])
def test_a_text_that_people_do_not_see_as_it_is_is_refused(text: str) -> None:
    limits = MessageLimits(pattern=r"[^\n]*")
    assert denied(limits, text="a b") is None
    assert denied(limits, text=text) == ("text", "not_allowed")


def test_bytes_that_are_no_text_are_refused() -> None:
    assert denied(MessageLimits(pattern=".*"), hex="0xff") == ("hex", "not_allowed")


def test_a_text_that_is_too_long_is_refused() -> None:
    limits = MessageLimits(pattern="a*")
    assert denied(limits, text="a" * MAX_TEXT) is None
    assert denied(limits, text="a" * (MAX_TEXT + 1)) == ("text", "not_allowed")


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("", "missing"),
        ("(a)", "before ("),
        ("a)", "before )"),
        ("^a", "before ^"),
        ("a$", "before $"),
        ("*a", "before *"),
        ("a**", "before *"),
        ("a{2}{3}", "before {"),
        ("a+?", "before ?"),
        ("a{", "before {"),
        ("a}", "before }"),
        ("]", "before ]"),
        ("[", "too early"),
        ("[a", "too early"),
        ("[]", "nothing in"),
        ("[^]", "nothing in"),
        ("[b-a]", "backwards"),
        ("[a-]", "before ]"),
        ("[-a]", "before -"),
        ("[[a]", "before ["),
        ("a\\", "stands before"),
        ("\\d", "stands before"),
        ("\\é", "stands before"),
        ("a{0}", "not {0}"),
        ("a{3,2}", "not {0}"),
        ("a{,2}", "before {"),
        ("a{12345}", "not {0}"),
        (f"a{{{MAX_POSITIONS + 1}}}", "at most"),
        ("a{1000}b{1000}", "at most"),
        ("a" * (MAX_PATTERN + 1), "at most"),
    ],
)
def test_a_pattern_that_is_wrong_is_named(pattern: str, reason: str) -> None:
    found = problems(pattern=pattern)
    assert list(found) == ["pattern"]
    assert reason in found["pattern"]


def test_a_section_says_something() -> None:
    assert list(problems()) == ["pattern"]
    assert list(problems(hashes="no")) == ["pattern"]
    assert list(problems(hashes="Yes")) == ["hashes"]
    assert list(problems(pattern="(", hashes="1")) == ["pattern", "hashes"]


def test_a_section_in_words() -> None:
    logins = MessageLimits(pattern="[0-9]{13}")
    assert logins.permits() == ["messages that match [0-9]{13}"]
    assert logins.leaves_open() == []
    hashes = MessageLimits(pattern="a", hashes="yes")
    assert hashes.permits() == ["messages that match a", "messages that are hashes"]
    assert "transactions" in hashes.leaves_open()[0]


# Patterns, against the standard library's regular expressions.
characters = st.sampled_from([*"abc01 -", r"\.", r"\\", r"\n", r"\-", r"\[", "é"])
sets = st.lists(st.sampled_from(["a", "b", "a-c", "0-9", r"\-", r"\]", " "]), min_size=1, max_size=3).map("".join)
atoms = characters | st.just(".") | sets.map(lambda inner: f"[{inner}]") | sets.map(lambda inner: f"[^{inner}]")
counts = st.sampled_from(["", "", "", "?", "*", "+", "{1}", "{2}", "{0,2}", "{1,3}", "{2,}", "{0,}", "{3,4}"])
rows = st.lists(st.tuples(atoms, counts).map("".join), max_size=7).map("".join)
patterns = st.lists(rows, min_size=1, max_size=3).map("|".join).filter(bool)
texts = st.text("abc01 -.\n[]é\\", max_size=12)


def matches(pattern: str, text: str) -> bool:
    return _compile(pattern).matches(text)


@given(patterns, st.lists(texts, min_size=1, max_size=8))
def test_a_pattern_means_what_it_means_elsewhere(pattern: str, some: list[str]) -> None:
    for text in some:
        assert matches(pattern, text) == (re.fullmatch(pattern, text) is not None)


@given(st.data(), patterns)
def test_a_text_made_from_a_pattern_matches(data: st.DataObject, pattern: str) -> None:
    text = data.draw(st.from_regex(pattern, fullmatch=True, alphabet=st.characters(codec="utf-8")))
    assert matches(pattern, text)


def test_the_longest_counts_are_counted_exactly() -> None:
    pattern = f"a{{{MAX_POSITIONS - 1}}}b?"
    assert matches(pattern, "a" * (MAX_POSITIONS - 1))
    assert matches(pattern, "a" * (MAX_POSITIONS - 1) + "b")
    assert not matches(pattern, "a" * MAX_POSITIONS)
    assert not matches(pattern, "a" * (MAX_POSITIONS - 2))


@pytest.mark.parametrize("pattern", ["a*" * 100 + "b", "|".join([".*b"] * 100)])
def test_what_a_backtracking_matcher_never_ends_is_a_step_for_each_character(pattern: str) -> None:
    compiled = _compile(pattern)
    steps = 0
    skip = compiled._skip

    def counted(states: int) -> int:
        nonlocal steps
        steps += 1
        return skip(states)

    compiled._skip = counted  # type: ignore[method-assign]
    assert not compiled.matches("a" * MAX_TEXT)
    assert steps == MAX_TEXT + 1


@pytest.mark.parametrize("pattern", ["I agree to the terms of 2026. " * 13 + ".*", "|".join([".*b"] * 100)])
def test_the_work_for_a_character_does_not_grow_with_the_pattern(pattern: str) -> None:
    # All characters are different, so nothing is known about the next one from those before.
    beginning = pattern[: -len(".*")] if pattern.endswith(".*") else ""
    others = "".join(map(chr, range(0x4E00, 0x4E00 + MAX_TEXT - len(beginning))))
    limits = MessageLimits(pattern=pattern)
    calls = 0

    def count(frame: object, event: str, function: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        denied(limits, text=beginning + others)
    finally:
        sys.setprofile(None)
    assert calls < 10 * MAX_TEXT
