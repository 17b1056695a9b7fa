"""cowdao-cowpy: what it signs and sends is what it signs with the private key, byte by byte.

It asks its API already when it is imported, so httpx answers in place of the API.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import eth_account
import httpx
import pytest
from sides import Sides, accounts, both_sides, only

from ordersigner import sdks
from ordersigner.sdks import BareHash

sdks.install()

# It warns about itself.
pytestmark = [
    pytest.mark.filterwarnings("ignore:This AsyncLimiter:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
]

SELL, BUY, OTHER = ("0x" + 40 * digit for digit in "257")
UID = "0x" + 112 * "1"
QUOTE = {
    "quote": {
        "sellToken": SELL,
        "buyToken": BUY,
        "receiver": OTHER,
        "sellAmount": "1000000",
        "buyAmount": "2000000",
        "validTo": 1_800_000_000,
        "appData": "0x" + 64 * "0",
        "feeAmount": "0",
        "kind": "sell",
        "partiallyFillable": False,
    },
    "from": OTHER,
    "expiration": "2030-01-01T00:00:00Z",
    "id": 1,
    "verified": True,
}


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The requests so far: method, address and body."""
    requests: list[Any] = []

    async def send(self: Any, request: httpx.Request, **options: Any) -> httpx.Response:
        requests.append((request.method, str(request.url), request.content))
        answers = {"quote": QUOTE, "orders": UID}
        return httpx.Response(200, json=answers.get(request.url.path.rpartition("/")[2], {}), request=request)

    monkeypatch.setattr(httpx.AsyncClient, "send", send)
    return requests


@pytest.fixture
def sides(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sides]:
    with both_sides(request.node.nodeid, tmp_path, monkeypatch) as sides:
        yield sides


def test_a_swap_sends_the_same(sides: Sides, sent: list[Any]) -> None:
    from cowdao_cowpy.common.chains import Chain
    from cowdao_cowpy.cow.swap import swap_tokens

    requests, orders = [], []
    for account in accounts(sides):
        sent.clear()
        orders.append(asyncio.run(swap_tokens(1_000_000, account, Chain.MAINNET, SELL, BUY)))
        requests.append(list(sent))
    assert only(orders).uid.root == UID
    _, order = only(requests)
    assert order[:2] == ("POST", "https://api.cow.fi/mainnet/api/v1/orders")
    assert json.loads(order[2])["from"].lower() == sides.address.lower()


def order(**others: Any) -> Any:
    from cowdao_cowpy.contracts.order import Order

    settings = {
        "sell_token": SELL,
        "buy_token": BUY,
        "receiver": OTHER,
        "sell_amount": "1000000",
        "buy_amount": 2**200,
        "valid_to": 1_800_000_000,
        "app_data": "0x" + 64 * "a",
        "fee_amount": "0",
        "kind": "sell",
    }
    return Order(**{**settings, **others})


@pytest.mark.parametrize(
    "others",
    [
        {},
        {"kind": "buy", "partially_fillable": True},
        {"sell_token_balance": "external", "buy_token_balance": "internal"},
    ],
    ids=str,
)
@pytest.mark.usefixtures("sent")
def test_orders_are_the_same(sides: Sides, others: Any) -> None:
    from cowdao_cowpy.common.chains import Chain
    from cowdao_cowpy.contracts import domain, sign

    for chain in Chain:
        settlement = domain.domain(chain, OTHER)
        signatures = [
            sign.sign_order(settlement, order(**others), account, sign.SigningScheme.EIP712)
            for account in accounts(sides)
        ]
        assert len(only(signatures).to_string()) == 132


@pytest.mark.usefixtures("sent")
def test_cancellations_are_the_same(sides: Sides) -> None:
    from cowdao_cowpy.common.chains import Chain
    from cowdao_cowpy.contracts import domain, sign

    settlement = domain.domain(Chain.GNOSIS, OTHER)
    uids = [bytes.fromhex(UID[2:]), bytes(56)]
    scheme = sign.SigningScheme.EIP712
    only([sign.sign_order_cancellation(settlement, uids[0], account, scheme) for account in accounts(sides)])
    only([sign.sign_order_cancellations(settlement, uids, account, scheme) for account in accounts(sides)])
    only([sign.sign_order_cancellations(settlement, [UID], account, scheme) for account in accounts(sides)])


@pytest.mark.usefixtures("sent")
def test_what_is_hashed_otherwise_is_refused(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    from cowdao_cowpy.common.chains import Chain
    from cowdao_cowpy.contracts import domain, sign

    monkeypatch.setattr(sign, "hash_typed_data", lambda *parts: bytes(32))
    with pytest.raises(BareHash, match="not that of its Order"):
        sign.sign_order(
            domain.domain(Chain.GNOSIS, OTHER),
            order(),
            eth_account.Account.from_key(sides.address),
            sign.SigningScheme.EIP712,
        )
