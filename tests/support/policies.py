"""Policies from text."""

from __future__ import annotations

from ordersigner.policy.reader import read
from ordersigner.policy.rules import Policy


def policy_of(text: str) -> Policy:
    reading = read(text, "policy")
    assert (list(reading.errors), list(reading.warnings)) == ([], [])
    return reading.policy
