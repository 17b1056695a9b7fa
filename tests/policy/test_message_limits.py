"""The sections on messages: texts that match a pattern, and hashes."""

from __future__ import annotations

import re
from typing import Any

import pytest
from support.daemon import SOURCE, vectors
from support.policies import problems_of, section_of

from ordersigner.payloads import messages
from ordersigner.policy.message_limits import MessageLimits
from ordersigner.policy.pattern import MAX_TEXT
from ordersigner.policy.settings import Section

HASH = "be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2"
PUBLISHED = {row["name"]: row for row in vectors("typed-data/personal")}


def denied(limits: MessageLimits, **request: Any) -> tuple[str, str] | None:
    """The field and the code of the objection to a message."""
    found = limits.judge(messages.read(request), 0.0)
    return found and (found.field, found.code)


def section(**settings: str) -> Section:
    return section_of("message", "\n".join(f"{name} = {value}" for name, value in settings.items()))


def limits_of(**settings: str) -> MessageLimits:
    return MessageLimits(section(**settings))


def problems(**settings: str) -> dict[str, str]:
    return problems_of(section(**settings), MessageLimits)


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
    limits = limits_of(pattern=pattern)
    assert denied(limits, text=text) is None
    assert denied(limits, hex="0x" + text.encode().hex()) is None
    assert denied(limits, text=text + "0") == ("text", "not_allowed")
    assert denied(limits, text=text[1:]) == ("text", "not_allowed")
    assert denied(limits, hex="0x" + text[1:].encode().hex()) == ("hex", "not_allowed")


def test_a_message_of_several_lines_needs_newlines_in_the_pattern() -> None:
    text = "example.com wants you to sign in.\nURI: https://example.com\nNonce: 1\tand more"
    manual = (SOURCE / "docs/man/ordersigner-policy.rst").read_text()
    found = re.search(r"needs a pattern like ``(.*)``", manual)
    assert found
    assert denied(limits_of(pattern=found[1]), text=text) is None
    one_line = limits_of(pattern=".*")
    assert denied(one_line, text=text) == ("text", "not_allowed")
    objection = one_line.judge(messages.read({"text": text}), 0.0)
    assert objection is not None
    assert objection.text == f"No message section of yours allows this text of {len(text)} characters in 3 lines."
    assert one_line.permits() == ["messages of one line that match .*"]
    for pattern in (found[1], "[^a]*", "a\\nb", "a|\\n"):
        assert limits_of(pattern=pattern).permits() == [f"messages that match {pattern}"]
    assert denied(limits_of(pattern=".*\\n.*\\n[^\\t]*\\t.*"), text=text) is None


def test_a_hash_is_refused_whatever_the_pattern() -> None:
    limits = limits_of(pattern=".*")
    for request in ({"hex": "0x" + HASH}, {"text": HASH}, {"text": "0x" + HASH}, {"text": "a" * 32}):
        (field,) = request
        assert denied(limits, **request) == (field, "ambiguous")


def test_hashes_are_allowed_by_a_section_that_says_so() -> None:
    limits = limits_of(hashes="yes")
    assert denied(limits, hex="0x" + HASH) is None
    assert denied(limits, text=HASH) is None
    assert denied(limits, text="1550791374642") == ("text", "not_allowed")
    both = limits_of(hashes="yes", pattern="[0-9]{13}")
    assert denied(both, text="1550791374642") is None
    assert denied(both, text=HASH) is None


@pytest.mark.parametrize("pattern", [".*", r"[^\n]*", "[\t-\U0010ffff]*"])
@pytest.mark.parametrize(
    "character", [*"\0\r\x1b\x7f\u2028", *"\u202e\u2066\u200e\u061c", *"\u200b\u2060\ufeff\u00ad\u3164\ufe0f\U000e0041"]
)
def test_a_text_that_people_do_not_see_as_it_is_is_refused(pattern: str, character: str) -> None:
    limits = limits_of(pattern=pattern)
    assert denied(limits, text="a b") is None
    for text in (f"a{character}b", character, f"a{character}", f"{character}b"):
        assert denied(limits, text=text) == ("text", "not_allowed")
        assert denied(limits, hex="0x" + text.encode().hex()) == ("hex", "not_allowed")


def test_bytes_that_are_no_text_are_refused() -> None:
    assert denied(limits_of(pattern=".*"), hex="0xff") == ("hex", "not_allowed")


def test_a_text_that_is_too_long_is_refused() -> None:
    limits = limits_of(pattern="a*")
    assert denied(limits, text="a" * MAX_TEXT) is None
    assert denied(limits, text="a" * (MAX_TEXT + 1)) == ("text", "not_allowed")


def test_a_section_says_something() -> None:
    assert list(problems()) == ["pattern"]
    assert list(problems(hashes="no")) == ["pattern"]
    assert list(problems(hashes="Yes")) == ["hashes"]
    assert list(problems(pattern="(", hashes="1")) == ["pattern", "hashes"]


def test_a_section_in_words() -> None:
    logins = limits_of(pattern="[0-9]{13}")
    assert logins.permits() == ["messages of one line that match [0-9]{13}"]
    text, when = logins.leaves_open()
    assert text == "any text that matches [0-9]{13}"
    assert when.startswith("when ")
    assert limits_of(pattern=".*").leaves_open() == ["any text that matches .*", "what is at .* in .*", when]
    assert limits_of(pattern=r"login [^\n]{8}|\[.+").leaves_open() == [
        r"any text that matches login [^\n]{8}|\[.+",
        *(rf"what is at {item} in login [^\n]{{8}}|\[.+" for item in (r"[^\n]{8}", ".+")),
        when,
    ]
    hashes = limits_of(pattern="a", hashes="yes")
    assert hashes.permits() == ["messages of one line that match a", "messages that are hashes"]
    assert hashes.leaves_open()[0] == when
    assert "transactions" in hashes.leaves_open()[1]
    assert limits_of(hashes="yes").leaves_open() == hashes.leaves_open()[1:]


@pytest.mark.parametrize(
    ("lines", "permits", "leaves_open"),
    [
        ("text(3) about 60", "at most 60 seconds before or after now", []),
        ("text(3) within 60", "between now and 60 seconds from now", []),
        ("text(0) until 60", "from 0 to now plus 60 seconds", []),
        ("text(0) <= 1.5", "from 0 to 1.5", ["when"]),
        ("text(0) >= 1.5", "at least 1.5", ["how high text may be", "when"]),
        ("text(0) about 9\npattern = [0-9]+", "at most 9 seconds before or after now", []),
    ],
)
def test_a_text_that_is_a_number_in_words(lines: str, permits: str, leaves_open: list[str]) -> None:
    limits = MessageLimits(section_of("message", lines))
    assert limits.permits()[-1] == f"with {lines.split()[0]} {permits}"
    found = limits.leaves_open()
    assert len(found) == len(leaves_open)
    assert all(words.startswith(beginning) for words, beginning in zip(found, leaves_open))


@pytest.mark.parametrize(
    ("pattern", "is_one"),
    [
        ("abc", True),
        (r"a\.b\n{2}", True),
        ("[a]{3}", True),
        ("a?", False),
        ("[ab]", False),
        ("a|b", False),
        (".", False),
    ],
)
def test_a_pattern_that_only_one_text_matches_leaves_open_only_when(pattern: str, is_one: bool) -> None:
    assert any("any text" in words for words in limits_of(pattern=pattern).leaves_open()) != is_one


# The text as a number.
@pytest.mark.parametrize(
    ("line", "text", "code"),
    [
        ("text(3) about 60", "1700000060750", None),
        ("text(3) about 60", "1700000060750.000000000001", "over_limit"),
        ("text(3) about 60", "1699999940750", None),
        ("text(3) about 60", "1699999940749.9", "over_limit"),
        ("text(0) within 60", "1700000000", None),
        ("text(0) within 60", "1699999999", "over_limit"),
        ("text(0) within 60", "01700000000", "not_allowed"),
        ("text(0) within 60", "1700000000 ", "not_allowed"),
        ("text(0) within 60", "1700000000\n", "not_allowed"),
        ("text(0) within 60", "", "not_allowed"),
        ("text(2) <= 1.5", "150", None),
        ("text(2) <= 1.5", "150.1", "over_limit"),
        ("text(2) >= 1.5", "149", "over_limit"),
    ],
)
def test_a_condition_on_the_text(line: str, text: str, code: str | None) -> None:
    limits = MessageLimits(section_of("message", line))
    for request in ({"text": text}, {"hex": "0x" + text.encode().hex()}):
        objection = limits.judge(messages.read(request), 1_700_000_000.75)
        (field,) = request
        assert (objection and (objection.field, objection.code)) == (code and (field, code))


def test_a_pattern_and_a_condition_must_both_hold() -> None:
    limits = MessageLimits(section_of("message", "pattern = [0-9]{4}\ntext(0) <= 5000"))
    texts = ("0999", "4999", "5000", "5001", "999", "10000")
    assert [denied(limits, text=text) is None for text in texts] == [False, True, True, False, False, False]


def test_a_condition_does_not_allow_a_hash() -> None:
    number = "1" * 32
    limits = MessageLimits(section_of("message", "text(0) >= 0"))
    assert denied(limits, text="1" * 31) is None
    assert denied(limits, text=number) == ("text", "ambiguous")
    objection = limits.judge(messages.read({"text": number}), 0.0)
    assert objection is not None
    assert objection.text.endswith('allows this text of 32 characters. It needs a section with "hashes = yes".')


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("text about 60", "decimals, such as text(0)"),
        ("text(3) = 5", "a text takes within"),
        ("text(3) matches 5", "a text takes within"),
        ("text = 5", "a text takes within"),
        ("total text(3) <= 5/day", "a text takes within"),
        ("text(3) / text(0) <= 5", "a text takes within"),
        ("count(text) <= 5", "limited by its pattern"),
        ("bits(text, 0, 1) <= 5", "of the type string"),
        ("word(text, 0) <= 5", "of the type string"),
        ("sum(text(0)) <= 5", "needs a"),
        ("txt(3) about 60", "did you mean text?"),
        ("message.text(3) about 60", "conditions on text"),
        ("patterns = a", "did you mean pattern?"),
        ("pattern <= a", "a message section has pattern"),
    ],
)
def test_a_condition_that_is_wrong_is_named(line: str, reason: str) -> None:
    section = section_of("message", f"hashes = yes\n{line}")
    found = problems_of(section, MessageLimits)
    assert [reason in text for text in found.values()] == [True], found
    assert [error.line for error in section.errors] == [3]
