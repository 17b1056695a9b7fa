"""The commands freeze and thaw: their output and exit status."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.command import run
from support.daemon import EXAMPLE, Daemon, standalone
from support.held import MARKET, address, holding, rule
from support.servers import Peer, Server, answering

KEY: str = EXAMPLE["request"]["signer"]
needs_uid_0 = pytest.mark.skipif(os.getuid() != 0, reason="only root thaws")


@contextlib.contextmanager
def answered(**members: Any) -> Iterator[Server]:
    with Server(answering(json.dumps({"ok": True, "confirmed": True, **members}).encode())) as server:
        yield server


@pytest.fixture
def holder(directory: Path) -> Iterator[Daemon]:
    (directory / "state").mkdir()
    policy = MARKET + rule("bids", address(KEY)) + rule("asks", address(KEY))
    options = [*holding(directory, {"example": KEY[2:]}, policy), "--state", str(directory / "state")]
    with standalone(directory, *options) as daemon:
        yield daemon


@needs_uid_0
def test_rules_are_frozen_and_thawed_by_name_or_all(holder: Daemon) -> None:
    assert run(holder.path, "freeze", "bids") == (0, "Frozen: bids\n", "")
    assert run(holder.path, "signers") == (0, f"{address(KEY)} bids (frozen), asks\n", "")
    assert run(holder.path, "freeze") == (0, "Frozen: asks, bids\n", "")
    assert run(holder.path, "freeze", "later") == (0, "Frozen: asks, bids, later\n", "")
    assert run(holder.path, "thaw", "bids", "later") == (0, "Frozen: asks\n", "")
    assert run(holder.path, "thaw") == (0, "No rule is frozen.\n", "")
    assert run(holder.path, "thaw", "--json") == (0, '{"ok": true, "frozen": [], "confirmed": true}\n', "")


def test_a_refusal_is_status_1(holder: Daemon) -> None:
    for command in ("freeze", "thaw"):
        status, output, errors = run(holder.path, command, "no name")
        assert (status, output) == (1, "")
        if os.getuid() == 0:
            assert errors.startswith("ordersigner: rules: The name of a rule has at most 64 letters")
        status, output, errors = run(holder.path, command, "no name", "--json")
        assert (status, json.loads(output)["ok"], errors) == (1, False, "")


@pytest.mark.parametrize(
    ("members", "status", "output", "errors"),
    [
        ({"frozen": ["bids"]}, 0, "Frozen: bids\n", ""),
        ({"frozen": ["bids"], "confirmed": False}, 3, "Frozen: bids\n", "may still be signed"),
        ({"frozen": ["bids"], "kept": False}, 0, "Frozen: bids\n", "no directory for state"),
        ({"frozen": ["bids"], "kept": False, "confirmed": False}, 3, "Frozen: bids\n", "no directory for state"),
        ({"frozen": []}, 1, "", "the policy has no rule for this user, so nothing was frozen"),
        ({"frozen": "bids"}, 2, "", "the response has no valid frozen rules"),
        ({"frozen": ["\x1b[2J"]}, 2, "", "the response has no valid frozen rules"),
        ({"frozen": [], "confirmed": 1}, 2, "", "the response has no valid frozen rules"),
        ({}, 2, "", "the response has no valid frozen rules"),
    ],
)
def test_a_freeze_ends_with_0_only_if_it_is_confirmed(
    members: dict[str, Any], status: int, output: str, errors: str
) -> None:
    with answered(**members) as server:
        ended = run(server.path, "freeze")
    assert ended[:2] == (status, output)
    assert errors in ended[2]
    assert bool(errors) == bool(ended[2])


def test_names_are_sent_as_they_are_and_none_means_all() -> None:
    asked = []

    def behave(peer: Peer) -> None:
        asked.append(json.loads(peer.line()))
        peer.send(b'{"ok": true, "frozen": ["a"], "confirmed": true}\r\n')

    with Server(behave) as server:
        for arguments in (["freeze"], ["freeze", "a", "b/c"], ["thaw"], ["thaw", "a"]):
            assert run(server.path, *arguments)[0] == 0
    assert asked == [
        {"type": "freeze"},
        {"type": "freeze", "rules": ["a", "b/c"]},
        {"type": "thaw"},
        {"type": "thaw", "rules": ["a"]},
    ]


def test_no_daemon_is_status_2(tmp_path: Path) -> None:
    for command in ("freeze", "thaw"):
        assert run(str(tmp_path / "socket"), command)[0] == 2
