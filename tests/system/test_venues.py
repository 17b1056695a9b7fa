"""Sealed keys sign for venues, under the policies that the package brings, for users that never see a key."""

from __future__ import annotations

import json
from typing import Any

import eth_account
import pytest
from eth_account.messages import encode_typed_data
from support.daemon import wait_until
from support.held import address
from support.venues import BY_NAME, KEY, ORDER, STRANGER, adapted, changed

from ordersigner.signing.journal import SIGNED
from system.conftest import MEMBER, ask
from system.machine import Machine
from system.test_held_keys import KEYS, holder, refusal, restart, seal, set_policy

__all__ = ["holder"]  # a fixture

POLICIES = "/usr/share/doc/ordersigner/examples/policies"
OTHER_MEMBER = "carol"
HYPERLIQUID = {"nonce": ORDER["hyperliquid"]["nonce"], "network": "mainnet"}
# What is signed, and what is not: each with the times that have to be soon, and a change with its field and code.
VENUES: dict[str, tuple[str, tuple[str, ...], str, Any, str]] = {
    "cow": ("CoW order, mainnet", ("message.validTo",), "message.receiver", STRANGER, "not_allowed"),
    "polymarket": ("Polymarket order v2 by an EOA", (), "message.makerAmount", 100_000_001, "over_limit"),
    "permit2": (
        "Permit2 PermitSingle",
        ("message.details.expiration", "message.sigDeadline"),
        "message.spender",
        STRANGER,
        "not_allowed",
    ),
}


@pytest.fixture(params=[*VENUES, "hyperliquid"])
def venue(request: pytest.FixtureRequest, holder: Machine) -> Any:
    """The name of a venue, whose policy and key the daemon has."""
    name: str = request.param
    key = key_of(name)
    seal(holder, name, key[2:])
    set_policy(holder, adapted(holder.run("cat", f"{POLICIES}/{name}.policy") + "\n", key, MEMBER))
    assert holder.run("ordersignerd", "--check") != ""
    holder.run("useradd", "--groups", "ordersigner", OTHER_MEMBER)
    restart(holder)
    yield name
    holder.run("userdel", OTHER_MEMBER)


def key_of(name: str) -> str:
    key: str = ORDER["private_key"] if name == "hyperliquid" else KEY
    return key


def signed_and_refused(name: str, now: int) -> tuple[Any, str, Any, tuple[str, str]]:
    """A request, its signature, another request, and the field and code of its refusal."""
    signer = address(key_of(name))
    if name == "hyperliquid":
        content: dict[str, Any] = {"type": "hyperliquid", "signer": signer, **HYPERLIQUID}
        action = ORDER["hyperliquid"]["action"]
        larger = changed(action, "orders[0].s", "100.01")
        refused = "action.orders[0].s", "over_limit"
        return {**content, "action": action}, ORDER["signature"], {**content, "action": larger}, refused
    example, times, path, value, code = VENUES[name]
    data = BY_NAME[example].content
    for time in times:
        data = changed(data, time, now + 600)
    signed = eth_account.Account.sign_message(encode_typed_data(full_message=data), KEY)
    request = {"type": "typed_data", "signer": signer, "typed_data": data}
    other = {**request, "typed_data": changed(data, path, value)}
    return request, "0x" + bytes(signed.signature).hex(), other, (f"typed_data.{path}", code)


def test_a_sealed_key_signs_for_a_venue_and_for_its_user_only(holder: Machine, venue: str) -> None:
    before = holder.now()
    request, signature, other, refused = signed_and_refused(venue, before // 10**6)
    assert ask(holder, request) == {"ok": True, "signature": signature}
    assert refusal(ask(holder, other)) == refused
    for user in (OTHER_MEMBER, "root"):
        assert refusal(ask(holder, request, user=user)) == ("signer", "unknown_signer")
    assert not holder.succeeds("cat", f"{KEYS}/{venue}", user=MEMBER)
    # The journal for held keys may only just have started.
    assert wait_until(lambda: holder.entries(f"MESSAGE_ID={SIGNED}", f"ORDERSIGNER_RULE={venue}", since=before))
    assert key_of(venue)[2:] not in json.dumps(holder.entries("SYSLOG_IDENTIFIER=ordersigner", since=before))
