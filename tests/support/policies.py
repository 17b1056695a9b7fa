"""Policies, and sections of policies, from text."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ordersigner.policy.reader import read, split
from ordersigner.policy.rules import Policy
from ordersigner.policy.settings import Section, WrongSection


def policy_of(text: str) -> Policy:
    reading = read(text, "policy")
    assert (list(reading.errors), list(reading.warnings)) == ([], [])
    return reading.policy


def section_of(kind: str, settings: str) -> Section:
    """A section of [KIND name] in line 1. settings: PATH OPERATOR VALUE, one a line."""
    lines = [f"[{kind} name]", *filter(None, map(str.strip, settings.split("\n")))]
    (section,), errors = split("\n".join(lines))
    assert not errors
    return section


def problems_of(section: Section, compile: Callable[[Section], object]) -> dict[str, str]:
    """The errors of a section: the reasons, by the word before their first colon."""
    with pytest.raises(WrongSection):
        compile(section)
    problems = {}
    for line, text in section.errors:
        subject, _, reason = text.partition(": ")
        assert subject not in problems
        named = {**section.settings, **{setting.name: setting for setting in section.conditions}}
        assert line == (named[subject].line if subject in named else line)
        problems[subject] = reason
    return problems
