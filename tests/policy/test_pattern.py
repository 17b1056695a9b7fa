"""Patterns: the language, what they match, and that a text is matched in linear time."""

from __future__ import annotations

import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordersigner.policy.pattern import MAX_PATTERN, MAX_POSITIONS, MAX_TEXT, Pattern


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
def test_a_pattern_that_is_wrong_is_refused_with_the_reason(pattern: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        Pattern(pattern)


# Patterns, against the standard library's regular expressions.
characters = st.sampled_from([*"abc01 -", r"\.", r"\\", r"\n", r"\-", r"\[", "é"])
sets = st.lists(st.sampled_from(["a", "b", "a-c", "0-9", r"\-", r"\]", " "]), min_size=1, max_size=3).map("".join)
atoms = characters | st.just(".") | sets.map(lambda inner: f"[{inner}]") | sets.map(lambda inner: f"[^{inner}]")
counts = st.sampled_from(["", "", "", "?", "*", "+", "{1}", "{2}", "{0,2}", "{1,3}", "{2,}", "{0,}", "{3,4}"])
rows = st.lists(st.tuples(atoms, counts).map("".join), max_size=7).map("".join)
patterns = st.lists(rows, min_size=1, max_size=3).map("|".join).filter(bool)
texts = st.text("abc01 -.\n[]é\\", max_size=12)


def matches(pattern: str, text: str) -> bool:
    return Pattern(pattern).matches(text)


@given(patterns, st.lists(texts, min_size=1, max_size=8))
def test_a_pattern_means_what_it_means_elsewhere(pattern: str, some: list[str]) -> None:
    for text in some:
        assert matches(pattern, text) == (re.fullmatch(pattern, text) is not None)


@given(st.data(), patterns)
def test_a_text_made_from_a_pattern_matches(data: st.DataObject, pattern: str) -> None:
    text = data.draw(st.from_regex(pattern, fullmatch=True, alphabet=st.characters(codec="utf-8")))
    assert matches(pattern, text)


def test_a_set_may_reach_to_the_last_of_all_characters() -> None:
    last = chr(sys.maxunicode)
    assert matches(f"[b-{last}]", last)
    assert not matches(f"[b-{last}]", "a")
    assert matches(f"[^b-{last}]", "a")
    assert not matches(f"[^b-{last}]", last)


def test_the_longest_counts_are_counted_exactly() -> None:
    pattern = f"a{{{MAX_POSITIONS - 1}}}b?"
    assert matches(pattern, "a" * (MAX_POSITIONS - 1))
    assert matches(pattern, "a" * (MAX_POSITIONS - 1) + "b")
    assert not matches(pattern, "a" * MAX_POSITIONS)
    assert not matches(pattern, "a" * (MAX_POSITIONS - 2))


def work(pattern: Pattern, text: str) -> int:
    """How many functions are called to match a text."""
    calls = 0

    def count(frame: object, event: str, function: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        pattern.matches(text)
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("text", ["a*" * 100 + "b", "|".join([".*b"] * 100)])
def test_what_a_backtracking_matcher_never_ends_is_the_same_work_for_each_character(text: str) -> None:
    pattern = Pattern(text)
    assert not pattern.matches("a" * MAX_TEXT)
    without, one, most = (work(pattern, "a" * length) for length in (0, 1, MAX_TEXT))
    assert most - without == (one - without) * MAX_TEXT


@pytest.mark.parametrize("text", ["I agree to the terms of 2026. " * 13 + ".*", "|".join([".*b"] * 100)])
def test_the_work_for_a_character_does_not_grow_with_the_pattern(text: str) -> None:
    # All characters are different, so nothing is known about the next one from those before.
    beginning = text[: -len(".*")] if text.endswith(".*") else ""
    others = "".join(map(chr, range(0x4E00, 0x4E00 + MAX_TEXT - len(beginning))))
    assert work(Pattern(text), beginning + others) < 10 * MAX_TEXT
