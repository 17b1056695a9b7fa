"""py-clob-client and py-clob-client-v2: each request that they sign is that of the private key, byte by byte."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import httpx
import py_clob_client.clob_types as v1_types
import py_clob_client_v2.clob_types as v2_types
import pytest
from py_clob_client.client import ClobClient as V1
from py_clob_client.headers import headers as v1_headers
from py_clob_client.http_helpers import helpers as v1_http
from py_clob_client_v2.client import ClobClient as V2
from py_clob_client_v2.headers import headers as v2_headers
from py_clob_client_v2.http_helpers import helpers as v2_http
from py_clob_client_v2.order_builder import builder as v2_builder
from py_clob_client_v2.order_utils import utils as v2_utils
from py_clob_client_v2.order_utils.exchange_order_builder_v2 import ExchangeOrderBuilderV2
from py_order_utils import utils as v1_utils
from py_order_utils.signer import Signer as OrderSigner
from sides import Sides, both_sides
from venue import Sent, Venue

from ordersigner import sdks
from ordersigner.sdks import BareHash

sdks.install()

NOW = datetime.fromtimestamp(1_800_000_000)
FUNDER = "0x7777777777777777777777777777777777777777"
TAKER = "0x5555555555555555555555555555555555555555"
TOKEN, POSITION = str(2**256 // 3), str(2**256 // 5)
EOA, PROXY, SAFE, DEPOSIT = range(4)
CREDENTIALS = {"apiKey": "a", "secret": "c2VjcmV0", "passphrase": "p"}
BOOK = ("market", "asset_id", "timestamp", "last_trade_price", "min_order_size", "neg_risk", "tick_size", "hash")
BYTES32 = "0x" + 32 * "ab"


class Fixed(datetime):
    @classmethod
    def now(cls, zone: Any = None) -> Any:
        return NOW


@pytest.fixture
def sides(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sides]:
    monkeypatch.setattr(v1_headers, "datetime", Fixed)
    monkeypatch.setattr(v2_headers, "datetime", Fixed)
    monkeypatch.setattr(v1_utils, "datetime", Fixed)
    clock = SimpleNamespace(time_ns=lambda: int(NOW.timestamp()) * 10**9)
    monkeypatch.setattr(v2_utils, "time", clock)
    monkeypatch.setattr(v2_builder, "time", clock)
    with both_sides(request.node.nodeid, tmp_path, monkeypatch) as sides, httpx.Client() as http:
        monkeypatch.setattr(v1_http, "_http_client", http)
        monkeypatch.setattr(v2_http, "_http_client", http)
        yield sides


def answers(version: int, neg_risk: bool) -> dict[str, Any]:
    levels = [{"price": "0.4", "size": "100"}, {"price": "0.5", "size": "100"}]
    return {
        "/auth": CREDENTIALS,
        "/tick-size": {"minimum_tick_size": 0.01},
        "/neg-risk": {"neg_risk": neg_risk},
        "/fee-rate": {"base_fee": 0},
        "/fees": {"builder_maker_fee_rate_bps": 1, "builder_taker_fee_rate_bps": 2},
        "/book": {**dict.fromkeys(BOOK, "1"), "bids": levels, "asks": levels},
        "/version": {"version": version},
        "/markets-by-token": {"condition_id": "0x" + 64 * "1"},
        "/clob-markets": {"t": [{"t": TOKEN}, {"t": POSITION}], "mts": 0.01, "nr": neg_risk},
        "/order": {"success": True},
    }


def sent_by_both(
    sides: Sides, monkeypatch: pytest.MonkeyPatch, venue: Venue, program: Callable[[str], None]
) -> list[Sent]:
    """The requests of the program, which are the same with the private key and with the held key's address."""
    requests = []
    for key in (sides.key, "0x" + sides.key, sides.address, sides.address[2:].lower()):
        salts = itertools.count(1)
        monkeypatch.setattr(v1_utils, "random", lambda salts=salts: next(salts) / 1000)
        monkeypatch.setattr(v2_utils, "random", SimpleNamespace(random=v1_utils.random))
        venue.sent.clear()
        program(key)
        requests.append(list(venue.sent))
    assert requests[1:] == requests[:1] * 3
    return requests[0]


class Market(NamedTuple):
    version: int  # of the orders
    neg_risk: bool


@pytest.mark.parametrize("neg_risk", [False, True])
@pytest.mark.parametrize("wallet", [EOA, PROXY, SAFE])
def test_version_1_sends_the_same(sides: Sides, monkeypatch: pytest.MonkeyPatch, wallet: int, neg_risk: bool) -> None:
    with Venue(answers(1, neg_risk)).running() as venue:

        def program(key: str) -> None:
            client = V1(venue.url, 137, key, signature_type=wallet, funder=None if wallet == EOA else FUNDER)
            assert client.get_address() == sides.address
            client.set_api_creds(client.create_or_derive_api_creds())
            client.derive_api_key(nonce=3)
            for side in ("BUY", "SELL"):
                client.create_and_post_order(v1_types.OrderArgs(TOKEN, 0.5, 10.0, side))
                order = v1_types.OrderArgs(TOKEN, 0.37, 12.34, side, 0, 7, 1_900_000_000, TAKER)
                client.post_order(client.create_order(order), v1_types.OrderType.GTD)
                market = v1_types.MarketOrderArgs(TOKEN, 10.0, side)
                client.post_order(client.create_market_order(market), v1_types.OrderType.FOK)
            client.post_orders(
                [v1_types.PostOrdersArgs(client.create_order(v1_types.OrderArgs(TOKEN, 0.5, 1.0, "BUY")))]
            )

        requests = sent_by_both(sides, monkeypatch, venue, program)
        assert [sent.path for sent in requests].count("/order") == 6
        assert [sent.path for sent in requests].count("/orders") == 1
        assert len({sent.body["order"]["signature"] for sent in requests if sent.path == "/order"}) == 6


@pytest.mark.parametrize("neg_risk", [False, True])
@pytest.mark.parametrize(
    ("version", "wallet"), [(1, EOA), (1, PROXY), (1, SAFE), (2, EOA), (2, PROXY), (2, SAFE), (2, DEPOSIT)]
)
def test_version_2_sends_the_same(
    sides: Sides, monkeypatch: pytest.MonkeyPatch, version: int, wallet: int, neg_risk: bool
) -> None:
    with Venue(answers(version, neg_risk)).running() as venue:

        def program(key: str) -> None:
            client = V2(venue.url, 137, key, signature_type=wallet, funder=None if wallet == EOA else FUNDER)
            assert client.get_address() == sides.address
            client.set_api_creds(client.create_or_derive_api_key())
            client.derive_api_key(nonce=3)
            for side in ("BUY", "SELL"):
                client.create_and_post_order(v2_types.OrderArgsV2(TOKEN, 0.5, 10.0, side))
                order = v2_types.OrderArgsV2(TOKEN, 0.37, 12.34, side, 1_900_000_000, BYTES32, BYTES32)
                client.post_order(client.create_order(order), v2_types.OrderType.GTD)
                client.create_and_post_market_order(v2_types.MarketOrderArgsV2(TOKEN, 10.0, side))
                if version == 2:  # combos
                    combo = v2_types.OrderArgsV2(None, 0.5, 10.0, side, position_id=POSITION)
                    client.create_and_post_order(combo)

        requests = sent_by_both(sides, monkeypatch, venue, program)
        orders = [sent.body["order"] for sent in requests if sent.path == "/order"]
        assert len(orders) == len({order["signature"] for order in orders}) == (6 if version == 1 else 8)


def test_threads_that_sign_at_once_get_their_own_signatures(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(v1_utils, "random", lambda: 0.5)
    with Venue(answers(1, False)).running() as venue, ThreadPoolExecutor(16) as pool:
        theirs, *ours = (V1(venue.url, 137, key) for key in (sides.key, *[sides.address] * 8))

        def sign(client: Any, number: int) -> Any:
            headers = v1_headers.create_level_1_headers(client.signer)  # the same for all
            return headers, client.create_order(v1_types.OrderArgs(TOKEN, 0.5, 1.0 + number // 16, "BUY")).dict()

        numbers = range(160)
        signed = list(pool.map(lambda number: sign(ours[number % 8], number), numbers))
        assert signed == [sign(theirs, number) for number in numbers]


def test_a_hash_that_nobody_knows_is_refused(sides: Sides) -> None:
    for signer in (V1("", 137, sides.address).signer, V2("", 137, sides.address).signer, OrderSigner(sides.address)):
        with pytest.raises(BareHash, match=f"{BYTES32}: the daemon signs no hashes"):
            signer.sign(BYTES32)
    assert OrderSigner(sides.key).sign(BYTES32)


def test_a_deposit_wallets_order_that_is_hashed_otherwise_is_refused(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    from py_clob_client_v2.order_utils import exchange_order_builder_v2 as module

    builder = ExchangeOrderBuilderV2(FUNDER, 137, V2("", 137, sides.address).signer)
    data = module.OrderDataV2(
        maker=FUNDER, tokenId=TOKEN, makerAmount="1", takerAmount="2", side=0, signer=FUNDER, signatureType=DEPOSIT
    )
    assert builder.build_signed_order(data).signature
    monkeypatch.setattr(module, "DEPOSIT_WALLET_VERSION_HASH", bytes(32))
    with pytest.raises(BareHash, match="not that of its TypedDataSign"):
        builder.build_signed_order(data)
