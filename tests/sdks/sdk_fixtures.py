"""Fixtures for the tests of most SDKs, which name this file in pytest_plugins."""

from __future__ import annotations

import os
import random
import secrets
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sides import Sides, both_sides

NOW = 1_800_000_000


@pytest.fixture
def sides(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sides]:
    """A key and its address. The test's module may have SECTIONS of a policy and ALLOWS, settings of its rule."""
    sections, allows = (getattr(request.module, name, "") for name in ("SECTIONS", "ALLOWS"))
    with both_sides(request.node.nodeid, tmp_path, monkeypatch, sections, allows) as sides:
        yield sides


@pytest.fixture
def _still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clock and random numbers are the same each time, so that what is sent can be compared."""
    monkeypatch.setattr(time, "time", lambda: float(NOW))
    monkeypatch.setattr(time, "time_ns", lambda: NOW * 10**9)
    monkeypatch.setattr(os, "urandom", lambda size: size * b"\5")
    monkeypatch.setattr(secrets, "token_bytes", lambda size=32: size * b"\5")
    monkeypatch.setattr(secrets, "token_hex", lambda size=32: size * "05")
    monkeypatch.setattr(secrets, "randbits", lambda bits: 5)
    monkeypatch.setattr(secrets, "randbelow", lambda limit: 5)
    monkeypatch.setattr(random, "random", lambda: 0.5)
    monkeypatch.setattr(random, "randint", lambda least, most: least)
    monkeypatch.setattr(random, "randrange", lambda *arguments: 5)
    monkeypatch.setattr(random, "getrandbits", lambda bits: 5)
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=5))
