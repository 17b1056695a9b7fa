"""safe-eth-py: what it signs and sends is what it signs with the private key, byte by byte."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from safe_eth.eth import EthereumClient, EthereumNetwork
from safe_eth.eth.clients.cowswap import CowSwapAPI, Order
from safe_eth.safe import safe_tx
from sides import Sides, both_sides
from venue import Venue

from ordersigner import sdks
from ordersigner.sdks import BareHash

sdks.install()

SAFE, OTHER = "0x5555555555555555555555555555555555555555", "0x7777777777777777777777777777777777777777"
EXEC = (
    "execTransaction(address to, uint256 value, bytes data, uint8 operation, uint256 safeTxGas, uint256 baseGas,"
    " uint256 gasPrice, address gasToken, address refundReceiver, bytes signatures)"
)
OWNER = Account.from_key(64 * "2")
SECTIONS = f"""
[transaction ether]
chain = 5
to = {OTHER}
function = none
value(18) <= 1
fee(18) <= 1

[transaction exec]
chain = 5
to = {SAFE}
function = {EXEC}
fee(18) <= 1

[transaction transfer]
chain = 5
to = {OTHER}
function = transfer(address to, uint256 amount)
fee(18) <= 1
"""


@pytest.fixture
def sides(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sides]:
    allows = "transactions = ether exec transfer\n"
    with both_sides(request.node.nodeid, tmp_path, monkeypatch, SECTIONS, allows) as sides:
        yield sides


def transaction(version: str, client: Any = None, **settings: Any) -> safe_tx.SafeTx:
    given = {
        "to": OTHER,
        "value": 5,
        "data": b"\x01\x02",
        "operation": 0,
        "safe_tx_gas": 1,
        "base_gas": 2,
        "gas_price": 3,
        "gas_token": None,
        "refund_receiver": OTHER,
        "safe_nonce": 7,
        "chain_id": 5,
        **settings,
    }
    return safe_tx.SafeTx(client, SAFE, safe_version=version, **given)


@pytest.mark.parametrize("version", ["0.1.0", "1.0.0", "1.1.1", "1.3.0", "1.4.1", "1.5.0"])
def test_signatures_for_a_safe_are_the_same(sides: Sides, version: str) -> None:
    for settings in ({}, {"data": b"", "value": 2**255, "operation": 1}, {"gas_token": SAFE, "safe_nonce": 2**40}):
        ours, theirs = (transaction(version, **settings) for _ in range(2))
        assert ours.sign(sides.address) == theirs.sign(sides.key)
        assert ours.signatures == theirs.signatures
        assert ours.signers == [sides.address]


@pytest.mark.parametrize("first", [True, False])
def test_they_are_sorted_among_those_of_other_owners(sides: Sides, first: bool) -> None:
    ours, theirs = transaction("1.4.1"), transaction("1.4.1")
    for tx, key in ((ours, sides.address[2:]), (theirs, "0x" + sides.key)):
        for one in (key, OWNER.key.hex()) if first else (OWNER.key.hex(), key):
            tx.sign(one)
    assert ours.signatures == theirs.signatures
    assert set(ours.signers) == {sides.address, OWNER.address}
    again = ours.signatures
    ours.sign(sides.address)
    assert ours.signatures == again


def test_what_is_hashed_otherwise_is_refused(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_tx.SafeTx, "safe_tx_hash", bytes(32))
    with pytest.raises(BareHash, match="not that of its SafeTx"):
        transaction("1.4.1").sign(sides.address)


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    results = {
        "eth_chainId": "0x5",
        "eth_getTransactionCount": "0x3",
        "eth_estimateGas": "0xc350",
        "eth_gasPrice": hex(10**9),
        "eth_maxPriorityFeePerGas": hex(10**9),
        "eth_getBlockByNumber": {"number": "0x1", "gasLimit": "0x1c9c380", "baseFeePerGas": hex(10**9)},
        "eth_feeHistory": {"baseFeePerGas": [hex(10**9)] * 2, "reward": [[hex(10**9)]], "oldestBlock": "0x1"},
        "eth_getBalance": hex(10**20),
        "eth_sendRawTransaction": "0x" + 64 * "1",
        "eth_call": "0x" + 63 * "0" + "1",
        "eth_getCode": "0x60",
    }
    return {"jsonrpc": "2.0", "id": asked["id"], "result": results[asked["method"]]}


def sent_by_both(sides: Sides, program: Any) -> list[Any]:
    """What a node is asked by the program, which is the same with the private key and with the held key's address."""
    asked = []
    with Venue({"/": answer}).running() as venue:
        for key in (sides.key, sides.address):
            venue.sent.clear()
            client = EthereumClient(venue.url)
            program(client, key)
            client.http_session.close()
            asked.append([(sent.body["method"], sent.body["params"]) for sent in venue.sent])
    assert asked[0] == asked[1]
    return [raw for method, (raw, *_) in ((method, params or [None]) for method, params in asked[0]) if "Raw" in method]


def test_a_safes_transaction_is_executed_by_the_same(sides: Sides) -> None:
    def program(client: EthereumClient, key: str) -> None:
        tx = transaction("1.4.1", client)
        tx.sign(OWNER.key.hex())
        tx.execute(key, tx_gas=200_000, tx_nonce=3)
        tx = transaction("1.4.1", client)
        tx.sign(key)
        tx.execute(key, tx_gas_price=10**9)

    assert len(set(sent_by_both(sides, program))) == 2


def test_an_order_for_cow_swap_is_the_same(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is signed as a message of 32 bytes, which a policy allows with hashes = yes."""
    with Venue({"/api/v1/orders": "0x1"}).running() as venue:
        monkeypatch.setattr(CowSwapAPI, "API_BASE_URLS", {EthereumNetwork.GNOSIS: venue.url})
        api = CowSwapAPI(EthereumNetwork.GNOSIS)
        for key in (sides.key, sides.address):
            order = Order(OTHER, SAFE, OTHER, 5, 6, 1_900_000_000, {}, 1, "sell", False, "erc20", "erc20")
            assert api.place_order(order, key) == "0x1"
        api.http_session.close()
        ours, theirs = (sent.body for sent in venue.sent)
        assert ours == theirs
        assert ours["from"] == sides.address


def test_ether_and_tokens_are_sent_by_the_same(sides: Sides) -> None:
    def program(client: EthereumClient, key: str) -> None:
        client.send_eth_to(key, OTHER, 10**9, 10**15, 21_000)
        client.erc20.send_tokens(SAFE, 10, OTHER, key, gas=60_000, gas_price=10**9)
        fields = {"to": OTHER, "value": 1, "gas": 21_000, "gasPrice": 10**9, "chainId": 5, "data": b""}
        client.send_unsigned_transaction(fields, private_key=key)

    assert len(set(sent_by_both(sides, program))) == 3
