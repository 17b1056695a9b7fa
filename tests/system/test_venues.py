"""Sealed keys sign for venues, under the policies that the package brings, for users that never see a key."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import eth_account
import pytest
from support.daemon import wait_until
from support.pages import sides
from support.venues import ADDRESS, KEY, ROWS, STRANGER, Row, adapted, moved, response_of

from ordersigner.signing.journal import SIGNED
from system.conftest import MEMBER, ask, one_suite
from system.machine import Machine
from system.test_held_keys import KEYS, holder, refusal, restart, seal, set_policy

__all__ = ["holder"]  # a fixture

POLICIES = "/usr/share/doc/ordersigner/examples/policies"
OTHER_MEMBER = "carol"


class Venue(NamedTuple):
    """A venue whose policy and key the daemon has, and what the venue's SDK makes."""

    name: str
    policy: str
    rows: list[Row]


@pytest.fixture(params=sorted({row.policy for row in ROWS}))
def venue(request: pytest.FixtureRequest, holder: Machine) -> Any:
    name: str = request.param
    rows = [row for row in ROWS if row.policy == name]
    seal(holder, name, KEY[2:])
    policy = adapted(holder.run("cat", f"{POLICIES}/{name}.policy") + "\n", MEMBER, rows)
    set_policy(holder, policy)
    assert holder.run("ordersignerd", "--check") != ""
    holder.run("useradd", "--groups", "ordersigner", OTHER_MEMBER)
    restart(holder)
    yield Venue(name, policy, rows)
    holder.run("userdel", OTHER_MEMBER)


@one_suite
def test_a_sealed_key_signs_what_the_venues_sdk_makes_and_for_its_user_only(holder: Machine, venue: Venue) -> None:
    before = holder.now()
    for row in venue.rows:
        request = moved(row, venue.policy, before // 10**6 - row.now)
        assert ask(holder, request) == response_of(request), str(row)
        for user in (OTHER_MEMBER, "root"):
            assert refusal(ask(holder, request, user=user)) == ("signer", "unknown_signer")
    assert (
        refusal(ask(holder, {"type": "message", "text": "I give it all away", "signer": ADDRESS}))[1] == "not_allowed"
    )
    assert not holder.succeeds("cat", f"{KEYS}/{venue.name}", user=MEMBER)
    # The journal for held keys may only just have started.
    signed = len(venue.rows)
    assert wait_until(lambda: len(holder.entries(f"MESSAGE_ID={SIGNED}", since=before)) == signed)
    assert KEY[2:] not in json.dumps(holder.entries("SYSLOG_IDENTIFIER=ordersigner", since=before))


TOKEN, SPENDER = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", "0xC92E8bdf79f0507f65a392b0ab4667716BFE0110"


def approval(spender: str, amount: int, **changed: Any) -> dict[str, Any]:
    """A transaction that approves an amount of the smallest units, and costs 0.01 ether at the most."""
    return {
        "type": 2,
        "chainId": 1,
        "nonce": 7,
        "maxPriorityFeePerGas": 0,
        "maxFeePerGas": 10**11,
        "gas": 100_000,
        "to": TOKEN,
        "value": 0,
        "data": f"0x095ea7b3{spender[2:].lower():0>64}{amount:064x}",
        "accessList": [],
        **changed,
    }


def test_a_user_who_never_sees_the_key_approves_what_the_rule_allows_and_nothing_else(holder: Machine) -> None:
    seal(holder, "transactions", KEY[2:])
    policy = holder.run("cat", f"{POLICIES}/transactions.policy") + "\n"
    set_policy(holder, adapted(policy, MEMBER, []))
    may, _ = sides(holder.run("ordersignerd", "--check"))
    assert "that approve at most 1000 of the token at 0xa0b8" in may
    restart(holder)
    before = holder.now()

    def asked(transaction: dict[str, Any], user: str = MEMBER) -> Any:
        return ask(holder, {"type": "transaction", "transaction": transaction, "signer": ADDRESS}, user=user)

    allowed = approval(SPENDER, 1000 * 10**6)
    signed = eth_account.Account.sign_transaction(allowed, KEY)
    raw = signed.raw_transaction.to_0x_hex()
    answered = asked(allowed)
    assert (answered["ok"], answered["transaction"], answered["hash"]) == (True, raw, signed.hash.to_0x_hex())
    for other, field, code in (
        (approval(SPENDER, 1000 * 10**6 + 1), "data.amount", "over_limit"),
        (approval(STRANGER, 1), "data.spender", "not_allowed"),
        (approval(SPENDER, 1, chainId=10), "chainId", "not_allowed"),
        (approval(SPENDER, 1, maxFeePerGas=10**11 + 1), "gas", "over_limit"),
        (approval(SPENDER, 1, value=1), "value", "not_allowed"),
    ):
        assert refusal(asked(other)) == (f"transaction.{field}", code)
    assert refusal(asked(allowed, "root")) == ("signer", "unknown_signer")
    assert not holder.succeeds("cat", f"{KEYS}/transactions", user=MEMBER)
    entries = [f"MESSAGE_ID={SIGNED}", "ORDERSIGNER_SECTION=usdc-approve"]
    assert wait_until(lambda: holder.entries(*entries, since=before))
    said = json.dumps(holder.entries("SYSLOG_IDENTIFIER=ordersigner", since=before))
    assert signed.hash.to_0x_hex() in said
    assert raw[-64:] not in said
