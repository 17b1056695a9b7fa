"""web3.py: transactions and messages by a held key, wherever it takes a private key, under the limits of a policy."""

from __future__ import annotations

from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_utils.crypto import keccak
from sides import Sides
from venue import Venue
from web3 import Web3
from web3.middleware import SignAndSendRawMiddlewareBuilder

from ordersigner import sdks
from ordersigner.client import SignerError

sdks.install()

pytest_plugins = ["sdk_fixtures"]
pytestmark = [pytest.mark.filterwarnings("ignore:websockets.legacy is deprecated:DeprecationWarning")]
TOKEN, SPENDER = "0x" + 40 * "5", "0x" + 40 * "6"
SECTIONS = f"""
[transaction approve]
chain = 5
to = {TOKEN}
function = approve(address spender, uint256 amount)
fee(18) <= 0.01
args.spender = {SPENDER}
args.amount <= 7
"""
ALLOWS = "transactions = approve\n"


def approval(amount: int) -> str:
    return f"0x095ea7b3{SPENDER[2:]:0>64}{amount:064x}"


class Node:
    """A node's JSON-RPC, as far as web3.py needs it to send a transaction. sent: raw transactions."""

    def __init__(self, price: int = 10**9) -> None:
        self.sent: list[str] = []
        self._results: dict[str, Any] = {
            "eth_chainId": "0x5",
            "eth_getTransactionCount": "0x3",
            "eth_estimateGas": "0xc350",
            "eth_gasPrice": hex(price),
            "eth_maxPriorityFeePerGas": hex(price),
            "eth_getBlockByNumber": {"number": "0x1", "gasLimit": "0x1c9c380", "baseFeePerGas": hex(price)},
        }

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["method"] == "eth_sendRawTransaction":
            (raw,) = asked["params"]
            self.sent.append(raw)
            result = "0x" + keccak(hexstr=raw).hex()
        else:
            result = self._results[asked["method"]]
        return {"jsonrpc": "2.0", "id": asked["id"], "result": result}


def connected(url: str, signer: Any, sender: str) -> Any:
    node: Any = Web3(Web3.HTTPProvider(url))
    middleware: Any = SignAndSendRawMiddlewareBuilder.build(signer)
    node.middleware_onion.inject(middleware, layer=0)
    node.eth.default_account = sender
    return node


def test_the_middleware_takes_an_address_or_an_account(sides: Sides) -> None:
    node = Node()
    with Venue({"/": node.answer}).running() as venue:
        for key in sides[:2]:
            for signer in (key, Account.from_key(key), bytes.fromhex(key.replace("0x", ""))):
                web3 = connected(venue.url, signer, sides.address)
                assert web3.eth.send_transaction({"to": TOKEN, "data": approval(7)})
    assert len(node.sent) == 6
    assert len(set(node.sent)) == 1
    assert Account.recover_transaction(node.sent[0]) == sides.address


def test_accounts_of_the_node_sign_by_address(sides: Sides) -> None:
    web3 = Web3()
    transaction = {"to": TOKEN, "data": approval(7), "nonce": 3, "gas": 50_000, "gasPrice": 10, "chainId": 5}
    message = encode_defunct(text="a")
    signed = [
        (
            web3.eth.account.sign_transaction(transaction, key).raw_transaction,
            web3.eth.account.from_key(key).sign_transaction(transaction).hash,
            web3.eth.account.sign_message(message, private_key=key).signature,
            web3.eth.account.from_key(key).sign_message(message).signature.hex(),
        )
        for key in sides[:2]
    ]
    assert signed[0] == signed[1]


def test_the_policy_limits_what_is_sent_and_what_a_node_asks_for(sides: Sides) -> None:
    node, greedy = Node(), Node(price=10**12)
    with Venue({"/": node.answer}).running() as venue:
        web3 = connected(venue.url, sides.address, sides.address)
        with pytest.raises(SignerError, match=r"transaction\.data\.amount"):
            web3.eth.send_transaction({"to": TOKEN, "data": approval(8)})
        with pytest.raises(SignerError, match=r"transaction\.value"):
            web3.eth.send_transaction({"to": TOKEN, "data": approval(7), "value": 1})
    with Venue({"/": greedy.answer}).running() as venue, pytest.raises(SignerError, match=r"transaction\.gas: "):
        connected(venue.url, sides.address, sides.address).eth.send_transaction({"to": TOKEN, "data": approval(7)})
    assert node.sent == greedy.sent == []
