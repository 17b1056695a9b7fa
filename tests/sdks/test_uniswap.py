"""uniswap-universal-router-decoder: permits for Permit2, and the calls that have them, by a held key."""

from __future__ import annotations

from typing import Any

from eth_account import Account
from sides import Sides
from uniswap_universal_router_decoder import RouterCodec

from ordersigner import sdks

sdks.install()

pytest_plugins = ["sdk_fixtures"]

TOKEN, ROUTER = "0x" + 40 * "5", "0x" + 40 * "7"


def test_permits(sides: Sides) -> None:
    codec: Any = RouterCodec()
    calls = []
    single, message = codec.create_permit2_signable_message(
        TOKEN, 2**160 - 1, 1_800_003_600, 3, ROUTER, 1_800_000_180, 1
    )
    details: Any = [{"token": TOKEN, "amount": 5, "expiration": 1_800_003_600, "nonce": nonce} for nonce in (0, 1)]
    batch, messages = codec.create_permit2_batch_signable_message(details, ROUTER, 1_800_000_180, 1)
    for key in sides[:2]:
        for account in (Account.from_key(key), Account().from_key(key)):
            build = codec.encode.chain().permit2_permit(single, account.sign_message(message))
            build = build.permit2_permit_batch(batch, account.sign_message(messages))
            calls.append(build.build(1_800_000_180))
    assert len(calls[0]) > 1000
    assert calls == 4 * [calls[0]]
