"""Policies, and sections of policies, from text."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ordersigner.policy.reader import read
from ordersigner.policy.rules import Policy
from ordersigner.policy.settings import Section, Setting, WrongSection


def policy_of(text: str) -> Policy:
    reading = read(text, "policy")
    assert (list(reading.errors), list(reading.warnings)) == ([], [])
    return reading.policy


def section_of(kind: str, settings: str) -> Section:
    """A section in line 1. settings: PATH OPERATOR VALUE, one a line."""
    section = Section(1, kind, "name")
    for line, text in enumerate(filter(None, map(str.strip, settings.split("\n"))), 2):
        path, operator, *value = text.split(None, 2)
        setting = Setting(line, path, operator, "".join(value))
        assert setting.name not in section.settings
        section.settings[setting.name] = setting
    return section


def problems_of(section: Section, compile: Callable[[Section], object]) -> dict[str, str]:
    """What is wrong with a section: the reasons, by what stands before their first colon."""
    with pytest.raises(WrongSection):
        compile(section)
    problems = {}
    for line, text in section.errors:
        subject, _, reason = text.partition(": ")
        assert subject not in problems
        assert line == (section.settings[subject].line if subject in section.settings else line)
        problems[subject] = reason
    return problems
