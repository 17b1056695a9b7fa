"""SDKs of exchanges with the account whose key the daemon holds, as docs/sdks.rst has them, in their own environment.

A venue on this machine takes the exchange's place. What it gets must be signed with the key.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import eth_account
import pytest
from eth_utils.crypto import keccak
from hyperliquid import exchange
from hyperliquid.utils import signing
from polymarket import environments
from polymarket.clients import secure
from support.daemon import SOURCE, Daemon, standalone
from support.held import address, holding, rule
from venue import Sent, Venue

from ordersigner.account import Account, passing_actions
from ordersigner.client import SignerError

KEY = 64 * "1"
LOCAL, NOT_HELD = (eth_account.Account.from_key(key) for key in (KEY, 64 * "2"))
OTHER = "0x" + 40 * "5"
TREASURY = "0x" + 40 * "7"
TOKEN = str(2**256 // 3)  # as large as those in use; the SDK takes small ones to another contract
TYPED_DATA: dict[str, Any] = {
    "types": {"EIP712Domain": [{"name": "name", "type": "string"}], "Mail": [{"name": "text", "type": "string"}]},
    "domain": {"name": "Mail"},
    "primaryType": "Mail",
    "message": {"text": "Hello"},
}
POLICY = f"""
[typed mail]
type = Mail(string text)
domain.name = Mail

[typed usd-send]
type = HyperliquidTransaction:UsdSend(string hyperliquidChain,string destination,string amount,uint64 time)
domain.name = HyperliquidSignTransaction
domain.version = 1
domain.chainId = 421614
domain.verifyingContract = 0x0000000000000000000000000000000000000000
message.hyperliquidChain = Testnet
message.destination = {OTHER}
message.amount = 1.5

[hyperliquid perps]
actions = order cancel
assets = 0
max-size = 0.2
network = testnet

[hyperliquid multi-sig]
actions = order
multi-sig = {TREASURY} {OTHER}

[transaction approve]
chain = 5
to = {OTHER}
function = approve(address spender, uint256 amount)
fee(18) <= 0.01
args.spender = {OTHER}
args.amount <= 7
"""


def polymarket_policy() -> str:
    """The one in the documentation, with what an operator puts in."""
    text = (SOURCE / "docs/venues/polymarket.policy").read_text()
    for given, put_in in {
        "0x" + 40 * "1": LOCAL.address,
        "tokenId = 1234": f"tokenId = {TOKEN}",
        "makerAmount(6) <= 50\n": "makerAmount(6) <= 5\n",
        "users = polymarket-bot": f"users = {os.geteuid()}",
    }.items():
        assert given in text
        text = text.replace(given, put_in)
    return text


@pytest.fixture(autouse=True)
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    """Holds one key, with rules for what the SDKs sign."""
    allows = "typed = mail usd-send\nhyperliquid = perps multi-sig\ntransactions = approve\n"
    policy = POLICY + rule("sdks", address(KEY), allows=allows)
    held = holding(tmp_path, {"one": KEY}, policy + polymarket_policy())
    with standalone(tmp_path, *held, "--state", str(tmp_path)) as running:
        monkeypatch.setenv("ORDERSIGNER_SOCKET", running.path)
        yield running


def signed(daemon: Daemon) -> list[tuple[str, str]]:
    """What the daemon has signed, in the journal's words, and its digest."""
    return re.findall(
        r"^ordersigner: Signed (.+) by 0x.+: digest (0x[0-9a-f]{64}) ORDERSIGNER_TYPE=", daemon.log, re.MULTILINE
    )


def example(section: str) -> str:
    """The code that the page of SDKs shows from that section's heading to the next."""
    text = ("\n" + (SOURCE / "docs/sdks.rst").read_text()).partition(f"\n{section}\n")[2]
    text = re.split(r"\n[^\n]+\n[-=~]{3,}\n", text[len(section) + 1 :])[0]
    blocks = re.findall(r"\.\. code-block:: python\n\n((?:    .*\n|\n)+)", text)
    assert blocks
    return "".join(map(textwrap.dedent, blocks))


def run(section: str, **names: Any) -> tuple[dict[str, Any], list[Any]]:
    """The names that an example defines, and what it prints."""
    printed: list[Any] = []
    program = {**names, "print": lambda *values: printed.extend(values)}
    exec(example(section), program)
    return program, printed


def test_the_first_example_signs_typed_data() -> None:
    program, printed = run("Use exchanges' SDKs", address=LOCAL.address, typed_data=TYPED_DATA)
    program["account"].close()
    expected = LOCAL.sign_typed_data(full_message=TYPED_DATA)
    assert printed == ["0x" + bytes(expected.signature).hex(), expected.v]


def information(asked: dict[str, Any]) -> dict[str, Any]:
    return {"tokens": [], "universe": [{"name": "ETH", "szDecimals": 4}] if asked["type"] == "meta" else []}


@pytest.fixture
def hyperliquid(monkeypatch: pytest.MonkeyPatch) -> Iterator[Venue]:
    monkeypatch.setattr(signing, "encode_typed_data", signing.encode_typed_data)  # as it was, after the test
    monkeypatch.setattr(exchange, "sign_l1_action", exchange.sign_l1_action)
    with Venue({"/info": information, "/exchange": {"status": "ok"}}).running() as venue:
        yield venue


def signer_of_action(sent: Sent) -> str:
    parts = [sent.body[name] for name in ("action", "signature", "vaultAddress", "nonce", "expiresAfter")]
    return str(signing.recover_agent_or_user_from_l1_action(*parts, False))


def test_hyperliquid_trades_and_transfers(hyperliquid: Venue, daemon: Daemon) -> None:
    program, printed = run("Hyperliquid", address=LOCAL.address, url=hyperliquid.url)
    venue = program["venue"]
    assert printed == [{"status": "ok"}]
    venue.cancel("ETH", 5)
    venue.expires_after, venue.vault_address = 1_900_000_000_000, OTHER
    venue.order("ETH", False, 0.2, 1100, {"limit": {"tif": "Ioc"}})
    actions = [sent for sent in hyperliquid.sent if sent.path == "/exchange"]
    assert [signer_of_action(sent) for sent in actions] == [LOCAL.address] * 3
    assert [what for what, _ in signed(daemon)] == [
        'Hyperliquid action "order" on testnet to buy "0.2" of asset 0 at "1100"',
        'Hyperliquid action "cancel" on testnet of asset 0',
        f'Hyperliquid action "order" on testnet for vault {OTHER} to sell "0.2" of asset 0 at "1100"',
    ]

    venue.expires_after = venue.vault_address = None
    venue.usd_transfer(1.5, OTHER)
    sent = hyperliquid.sent[-1].body
    fields = signing.USD_SEND_SIGN_TYPES, "HyperliquidTransaction:UsdSend"
    signer = signing.recover_user_from_user_signed_action(sent["action"], sent["signature"], *fields, False)
    assert signer == LOCAL.address
    assert signed(daemon)[3][0].startswith(
        'typed data "HyperliquidTransaction:UsdSend" for "HyperliquidSignTransaction", 421614, 0x'
    )
    with pytest.raises(SignerError, match=r"action\.orders\[0\]\.s: .*over_limit"):
        venue.order("ETH", True, 0.3, 1100, {"limit": {"tif": "Gtc"}})
    with pytest.raises(SignerError, match=r"typed_data\.message\.amount: .*not_allowed"):
        venue.usd_transfer(2, OTHER)
    venue.wallet.close()


def test_hyperliquid_still_trades_with_an_account_of_eth_account(hyperliquid: Venue, daemon: Daemon) -> None:
    program, _ = run("Hyperliquid", address=LOCAL.address, url=hyperliquid.url)
    program["venue"].wallet.close()
    exchange.Exchange(NOT_HELD, hyperliquid.url).cancel("ETH", 5)
    assert signer_of_action(hyperliquid.sent[-1]) == NOT_HELD.address
    assert len(signed(daemon)) == 1


def test_hyperliquids_modify_order_sends_batch_modify(hyperliquid: Venue) -> None:
    venue = exchange.Exchange(NOT_HELD, hyperliquid.url)
    venue.modify_order(5, "ETH", True, 0.2, 1100, {"limit": {"tif": "Gtc"}})
    assert hyperliquid.sent[-1].body["action"]["type"] == "batchModify"


def test_a_signature_for_a_multi_sig_user_of_hyperliquid_is_that_of_the_sdk(
    hyperliquid: Venue, monkeypatch: pytest.MonkeyPatch, daemon: Daemon
) -> None:
    order = {"a": 0, "b": True, "p": "1100", "s": "0.2", "r": False, "t": {"limit": {"tif": "Gtc"}}}
    action = {"type": "order", "orders": [order], "grouping": "na"}
    members = (action, False, None, 0, None, TREASURY, OTHER)
    expected = signing.sign_multi_sig_l1_action_payload(LOCAL, *members)
    monkeypatch.setattr(signing, "sign_l1_action", passing_actions(signing.sign_l1_action))
    with Account(LOCAL.address) as account:
        assert signing.sign_multi_sig_l1_action_payload(account, *members) == expected
    assert f"for multi-sig user {TREASURY}, outer signer {OTHER}" in signed(daemon)[0][0]


def test_hyperliquid_without_passing_says_what_to_do(hyperliquid: Venue) -> None:
    venue = exchange.Exchange(Account(LOCAL.address), hyperliquid.url)
    with pytest.raises(TypeError, match="passing_typed_data"):
        venue.usd_transfer(1.5, OTHER)


def test_polymarket_logs_in_and_signs_an_order(monkeypatch: pytest.MonkeyPatch, daemon: Daemon) -> None:
    market = {"t": [{"t": TOKEN}], "mts": 0.01, "nr": False}
    tokens = {"condition_id": "0x" + 64 * "1", "primary_token_id": TOKEN, "secondary_token_id": "2"}
    credentials = {"apiKey": "a", "secret": "c2VjcmV0", "passphrase": "p"}
    answers = {"/auth": credentials, "/markets-by-token": tokens, "/clob-markets": market}
    monkeypatch.setattr(secure, "Account", secure.Account)  # as it was, after the test
    config = environments.PRODUCTION._config
    with Venue(answers).running() as venue:
        object.__setattr__(environments.PRODUCTION, "_config", dataclasses.replace(config, clob_url=venue.url))
        try:
            program, (order,) = run("Polymarket", address=LOCAL.address, wallet=LOCAL.address, token=TOKEN)
        finally:
            object.__setattr__(environments.PRODUCTION, "_config", config)
        program["client"].close()
        program["client"]._ctx.signer.close()
    headers = {name.upper(): value for name, value in venue.sent[0].headers.items()}
    assert headers["POLY_ADDRESS"] == LOCAL.address
    (login, login_digest), (ordered, order_digest) = signed(daemon)
    assert login.startswith(
        f'typed data "ClobAuth" for "ClobAuthDomain", 137 with message.address {LOCAL.address.lower()}'
    )
    assert ordered.startswith('typed data "Order" for "Polymarket CTF Exchange", 137, 0xe111')
    assert signer_of(login_digest, headers["POLY_SIGNATURE"]) == LOCAL.address
    assert signer_of(order_digest, order.signature) == LOCAL.address
    assert (order.token_id, order.maker_amount, order.taker_amount) == (TOKEN, 5_000_000, 10_000_000)


def signer_of(digest: str, signature: str) -> str:
    return str(eth_account.Account._recover_hash(bytes.fromhex(digest[2:]), signature=signature))


# web3.py
def approval(amount: int) -> str:
    return f"0x095ea7b3{OTHER[2:]:0>64}{amount:064x}"


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


@pytest.fixture
def _registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The example registers Account, which cannot be undone. So it gets a class of its own."""
    with contextlib.ExitStack() as accounts:

        class Own(Account):
            def __init__(self, address: str) -> None:
                super().__init__(address)
                accounts.callback(self.close)

        monkeypatch.setattr("ordersigner.account.Account", Own)
        yield


web3 = pytest.mark.filterwarnings("ignore:websockets.legacy is deprecated:DeprecationWarning")


@web3
@pytest.mark.usefixtures("_registered")
def test_web3_sends_what_the_policy_allows(daemon: Daemon) -> None:
    node = Node()
    with Venue({"/": node.answer}).running() as venue:
        names = {"address": LOCAL.address, "url": venue.url, "token": OTHER, "data": approval(7)}
        program, printed = run("web3.py", **names)
        (raw,) = node.sent
        assert printed == ["0x" + keccak(hexstr=raw).hex()]
        assert eth_account.Account.recover_transaction(raw) == LOCAL.address
        with pytest.raises(SignerError, match=r"transaction\.data\.amount"):
            program["node"].eth.send_transaction({"to": OTHER, "data": approval(8)})
        with pytest.raises(SignerError, match=r"transaction\.value"):
            program["node"].eth.send_transaction({"to": OTHER, "data": approval(7), "value": 1})
        assert node.sent == [raw]
    ((what, _),) = signed(daemon)
    assert what.startswith(f"a transaction of type 2 on chain 5 to {OTHER}, function 0x095ea7b3, with nonce 3, 0 wei ")


@web3
@pytest.mark.usefixtures("_registered")
def test_a_node_that_asks_for_too_high_a_price_gets_no_transaction(daemon: Daemon) -> None:
    node = Node(price=10**12)
    names = {"address": LOCAL.address, "token": OTHER, "data": approval(7)}
    with Venue({"/": node.answer}).running() as venue, pytest.raises(SignerError, match=r"transaction\.gas: "):
        run("web3.py", url=venue.url, **names)
    assert node.sent == []
