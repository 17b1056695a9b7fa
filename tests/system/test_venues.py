"""Sealed keys sign for venues, under the policies that the package brings, for users that never see a key."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest
from support.daemon import wait_until
from support.venues import ADDRESS, KEY, ROWS, Row, adapted, moved, signature_of

from ordersigner.signing.journal import SIGNED
from system.conftest import MEMBER, ask
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


def test_a_sealed_key_signs_what_the_venues_sdk_makes_and_for_its_user_only(holder: Machine, venue: Venue) -> None:
    before = holder.now()
    for row in venue.rows:
        request = moved(row, venue.policy, before // 10**6 - row.now)
        assert ask(holder, request) == {"ok": True, "signature": signature_of(request)}, str(row)
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
