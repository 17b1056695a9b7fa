"""What a section says about messages: texts that match a pattern, and hashes."""

from __future__ import annotations

import re
from typing import Any

import pytest
from support.daemon import SOURCE, vectors
from support.policies import problems_of, section_of

from ordersigner.payloads import messages
from ordersigner.policy.message_limits import MAX_TEXT, MessageLimits
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
    assert objection.message == "No rule allows a message of several lines."
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
    assert logins.leaves_open() == []
    assert limits_of(pattern=".*").leaves_open() == ["what is at .* in .*"]
    assert limits_of(pattern=r"login [^\n]{8}|\[.+").leaves_open() == [
        rf"what is at {item} in login [^\n]{{8}}|\[.+" for item in (r"[^\n]{8}", ".+")
    ]
    hashes = limits_of(pattern="a", hashes="yes")
    assert hashes.permits() == ["messages of one line that match a", "messages that are hashes"]
    assert "transactions" in hashes.leaves_open()[0]
