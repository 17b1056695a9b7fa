"""polymarket-client: the client logs in and signs orders by a held key, with the address in place of the key."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from polymarket import environments
from polymarket.clients.async_secure import AsyncSecureClient
from polymarket.clients.secure import SecureClient
from sides import Sides
from venue import Venue

from ordersigner import sdks

sdks.install()

pytest_plugins = ["sdk_fixtures"]
pytestmark = [pytest.mark.usefixtures("_still")]
TOKEN = str(2**256 // 3)  # as large as those in use; the SDK takes small ones to another contract
ANSWERS = {
    "/auth": {"apiKey": "a", "secret": "c2VjcmV0", "passphrase": "p"},
    "/markets-by-token": {"condition_id": "0x" + 64 * "1", "primary_token_id": TOKEN, "secondary_token_id": "2"},
    "/clob-markets": {"t": [{"t": TOKEN}], "mts": 0.01, "nr": False},
}


@pytest.fixture
def venue() -> Iterator[Venue]:
    config: Any = environments.PRODUCTION._config
    with Venue(ANSWERS).running() as venue:
        object.__setattr__(environments.PRODUCTION, "_config", dataclasses.replace(config, clob_url=venue.url))
        try:
            yield venue
        finally:
            object.__setattr__(environments.PRODUCTION, "_config", config)


ORDERS = [
    {"token_id": TOKEN, "price": "0.5", "size": 10, "side": "BUY"},
    {"token_id": TOKEN, "price": "0.25", "size": 3, "side": "SELL"},
]


def test_login_and_orders(sides: Sides, venue: Venue) -> None:
    orders = []
    for key in sides[:2]:
        client: Any = SecureClient.create(private_key=key, wallet=sides.address)
        orders.append([client.create_limit_order(**order) for order in ORDERS])
        client.close()
    assert orders[0] == orders[1]
    assert all(len(order.signature) == 132 for order in orders[0])
    logins = [sent.headers for sent in venue.sent if sent.path.startswith("/auth")]
    logins = [{name.upper(): value for name, value in headers.items()} for headers in logins]
    first, second = ([headers[name] for name in ("POLY_ADDRESS", "POLY_SIGNATURE")] for headers in logins)
    assert first == second
    assert first[0] == sides.address


def test_the_asynchronous_client(sides: Sides, venue: Venue) -> None:
    async def order(key: str) -> Any:
        client: Any = await AsyncSecureClient.create(private_key=key, wallet=sides.address)
        try:
            return await client.create_limit_order(**ORDERS[0])
        finally:
            await client.close()

    first, second = (asyncio.run(order(key)) for key in sides[:2])
    assert first == second


def test_every_kind_of_signature_in_its_modules(sides: Sides) -> None:
    """What the modules sign that the client reaches only with more answers of the venue."""
    from polymarket._internal.actions.perps import signing as perps

    owner: Any = [Account.from_key(key) for key in sides[:2]]
    payload = {
        "types": {"EIP712Domain": [{"name": "name", "type": "string"}], "Op": [{"name": "data", "type": "bytes32"}]},
        "primaryType": "Op",
        "domain": {"name": "Polymarket"},
        "message": {"data": 32 * b"\5"},
    }
    first, second = (perps.sign_owner_typed_data(account, payload, what="an operation") for account in owner)
    assert first == second
    first, second = (account.sign_message(encode_typed_data(full_message=payload)).signature for account in owner)
    assert first == second
