"""A new kind of request needs only a payload module, a limits module, and a line in the table of kinds.

tests/support/receipts is such a kind. Here the whole daemon runs with it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_keys.datatypes import Signature
from support.daemon import PING, SOURCE, Daemon, running, wait_until
from support.held import address, holding

HELD, OTHER = "11" * 32, "22" * 32
POLICY = f"""
[receipt small]
max-amount = 100

[rule bot]
key = {address(HELD)}
users = {os.geteuid()}
receipts = small
"""


def command(*arguments: str) -> list[str]:
    path = [str(SOURCE / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return ["env", f"PYTHONPATH={':'.join(path)}", sys.executable, "-m", "support.receipts.daemon", *arguments]


@pytest.fixture
def options(directory: Path) -> list[str]:
    return holding(directory, {"bot": HELD}, POLICY)


@pytest.fixture
def daemon(directory: Path, options: list[str]) -> Iterator[Daemon]:
    path = str(directory / "socket")
    with running(command("--socket", path, *options), directory, path) as daemon:
        wait_until(lambda: "Listening on" in daemon.log)
        yield daemon


def ask(daemon: Daemon, signer: str, **receipt: Any) -> Any:
    request = {"type": "receipt", "receipt": receipt, "signer": signer}
    return json.loads(daemon.ask(json.dumps(request).encode() + b"\n"))


def codes(response: Any) -> dict[str, str]:
    return {field: problems[0]["code"] for field, problems in response["error"]["context"].items()}


@pytest.mark.parametrize("signer", [address(HELD), HELD])
def test_it_is_signed_and_the_response_has_its_own_members(daemon: Daemon, signer: str) -> None:
    response = ask(daemon, signer, by=address(HELD), amount=100)
    assert response.keys() == {"ok", "signature", "stamped"}
    assert response["stamped"] == f"100:{response['signature']}"
    content = bytes.fromhex(response["signature"][2:])
    signature = Signature(content[:64] + bytes([content[64] - 27]))
    packed = b"receipt" + bytes.fromhex(address(HELD)[2:]) + (100).to_bytes(32, "big")
    assert signature.recover_public_key_from_msg(packed).to_address() == address(HELD)


@pytest.mark.parametrize("signer", [address(HELD), HELD])
def test_the_member_that_names_the_signer_must_agree(daemon: Daemon, signer: str) -> None:
    response = ask(daemon, signer, by=address(OTHER), amount=100)
    assert response["error"]["type"] == "ValueError"
    assert codes(response) == {"receipt.by": "not_valid_choice"}


def test_its_limits_hold_for_a_held_key(daemon: Daemon) -> None:
    assert codes(ask(daemon, address(HELD), by=address(HELD), amount=101)) == {"receipt.amount": "over_limit"}
    assert ask(daemon, OTHER, by=address(OTHER), amount=101)["ok"]


def test_its_members_are_known(daemon: Daemon) -> None:
    assert codes(json.loads(daemon.ask(b'{"type": "receipt", "price": 1}\n'))) == {
        "receipt": "missing",
        "signer": "missing",
        "price": "unexpected",
    }


def test_it_is_in_the_journal_and_in_the_status(daemon: Daemon) -> None:
    ask(daemon, address(HELD), by=address(HELD), amount=7)
    assert f"receipt of 7 tokens by {address(HELD)}, rule bot, section small, for uid" in daemon.log
    assert " ORDERSIGNER_RULE=bot ORDERSIGNER_SECTION=small " in daemon.log
    assert json.loads(daemon.ask(b'{"type": "status"}\n'))["status"]["signed_by_type"] == {"receipt": 1}


def test_the_policy_is_explained_with_it(options: list[str]) -> None:
    shown = subprocess.run(command("--check", *options), cwd=SOURCE, capture_output=True, text=True, check=True).stdout
    assert "\n  [receipt small]\n  receipts\n  of at most 100 tokens\n" in shown


def test_a_mistake_in_its_section_is_named_with_its_line(options: list[str], directory: Path) -> None:
    (directory / "policy").write_text(POLICY.replace("= 100", "= many"))
    shown = subprocess.run(command("--check", *options), cwd=SOURCE, capture_output=True, text=True, check=False)
    assert shown.stderr.startswith(f"{directory}/policy:3: max-amount: ")


def test_the_daemon_as_released_does_not_know_it(directory: Path) -> None:
    path = str(directory / "socket")
    with running([sys.executable, "-m", "ordersigner", "--socket", path], directory, path) as daemon:
        wait_until(lambda: "Listening on" in daemon.log)
        assert json.loads(daemon.ask(PING))["ok"]
        assert "not_valid_choice" in codes(ask(daemon, HELD, by=address(HELD), amount=1)).values()
