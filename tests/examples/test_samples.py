"""The samples for the shell, Go and Rust, with Debian's tools: they sign the same three requests."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from support.daemon import EXAMPLE, Daemon
from support.held import address
from support.servers import Server, answering

from examples.conftest import EXAMPLES, OTHER, inside
from examples.toolchain import Toolchain

# How each is made, if it has to be, and run.
COMMANDS = {
    "sign.sh": ("", "./sign.sh"),
    "sign.go": ("go build -o sign-go sign.go", "./sign-go"),
    "sign.rs": ("rustc -O -D warnings -o sign-rs sign.rs", "./sign-rs"),
}
ACCOUNT = Account.from_key(EXAMPLE["request"]["signer"])
OFFER: dict[str, Any] = {
    "types": {
        "EIP712Domain": [{"name": "name", "type": "string"}, {"name": "chainId", "type": "uint256"}],
        "Offer": [{"name": "item", "type": "string"}, {"name": "price", "type": "uint256"}],
    },
    "primaryType": "Offer",
    "domain": {"name": "Example", "chainId": 1},
    "message": {"item": "Tea", "price": 10**18},
}
TRANSFER: dict[str, Any] = {
    "type": 2,
    "chainId": 1,
    "nonce": 7,
    "maxPriorityFeePerGas": 10**9,
    "maxFeePerGas": 2 * 10**10,
    "gas": 21_000,
    "to": OTHER,
    "value": 10**15,
}


@pytest.fixture(scope="module", params=COMMANDS)
def sample(request: pytest.FixtureRequest, toolchain: Toolchain) -> str:
    """A command that takes the address."""
    make, run = COMMANDS[request.param]
    if make:
        assert toolchain.run(*make.split()) == ""
    return run


def test_every_sample_is_tried() -> None:
    assert {path.name for path in EXAMPLES.iterdir() if path.suffix != ".mjs"} == COMMANDS.keys()


def test_a_sample_signs(sample: str, toolchain: Toolchain, holder: Daemon) -> None:
    typed_data, transaction = ACCOUNT.sign_typed_data(full_message=OFFER), ACCOUNT.sign_transaction(TRANSFER)
    assert toolchain.run(sample, ACCOUNT.address, socket=inside(toolchain, holder.path)).splitlines() == [
        EXAMPLE["expect"]["signature"],
        "0x" + bytes(typed_data.signature).hex(),
        "0x" + bytes(transaction.raw_transaction).hex(),
    ]


def test_a_sample_says_what_is_refused(sample: str, toolchain: Toolchain, holder: Daemon) -> None:
    said = toolchain.run(sample, address(64 * "2"), socket=inside(toolchain, holder.path), status=1)
    assert said.count("signer: unknown_signer") == len(said.splitlines()) == 1


def test_a_sample_says_that_the_daemon_failed(
    sample: str, toolchain: Toolchain, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    failed = b'{"ok": false, "error": {"type": "InternalError", "message": "Failed.", "context": {}}}'
    with Server(answering(failed)) as server:
        said = toolchain.run(sample, ACCOUNT.address, socket=inside(toolchain, server.path), status=1)
    assert ["InternalError" in line for line in said.splitlines()] == [True]


def test_a_sample_fails_without_a_daemon(sample: str, toolchain: Toolchain) -> None:
    said = toolchain.run(sample, ACCOUNT.address, socket="/project/nothing", status=1)
    assert re.search("no such file", said, re.IGNORECASE)
