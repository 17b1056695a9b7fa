"""SDKs of exchanges with the account whose key the daemon holds, as docs/sdks.rst has them, in their own environment.

A venue on this machine takes the exchange's place. What it gets must be signed with the key.
"""

from __future__ import annotations

import dataclasses
import re
import textwrap
from collections.abc import Iterator
from typing import Any

import eth_account
import pytest
from daemon import SOURCE
from eth_account.messages import encode_defunct, encode_typed_data
from hyperliquid import exchange
from hyperliquid.utils import signing
from polymarket import environments
from polymarket.clients import secure
from typed_signer import HELD, typed_signer
from venue import Sent, Venue

from ordersigner.account import Account
from ordersigner.client import Client

LOCAL = HELD[0]
OTHER = "0x" + 40 * "5"
TYPED_DATA: dict[str, Any] = {
    "types": {"EIP712Domain": [], "Mail": [{"name": "text", "type": "string"}]},
    "domain": {},
    "primaryType": "Mail",
    "message": {"text": "Hello"},
}


@pytest.fixture(autouse=True)
def requests(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """What the daemon is asked."""
    asked: list[dict[str, Any]] = []
    with typed_signer(asked) as server:
        monkeypatch.setenv("ORDERSIGNER_SOCKET", server.path)
        yield asked


def example(section: str, page: str = "sdks") -> str:
    """The code that a page shows from that section's heading to the next."""
    text = ("\n" + (SOURCE / "docs" / f"{page}.rst").read_text()).partition(f"\n{section}\n")[2]
    text = re.split(r"\n[^\n]+\n[-=~]{3,}\n", text[len(section) + 1 :])[0]
    blocks = re.findall(r"\.\. code-block:: python\n\n((?:    .*\n|\n)+)", text)
    assert blocks
    return "".join(map(textwrap.dedent, blocks))


def run(section: str, page: str = "sdks", **names: Any) -> tuple[dict[str, Any], list[Any]]:
    """The names that an example defines, and what it prints."""
    printed: list[Any] = []
    program = {**names, "print": lambda *values: printed.extend(values)}
    exec(example(section, page), program)
    return program, printed


def test_the_first_example_signs_typed_data() -> None:
    program, printed = run("Use exchanges' SDKs", address=LOCAL.address, typed_data=TYPED_DATA)
    program["account"].close()
    expected = LOCAL.sign_typed_data(full_message=TYPED_DATA)
    assert printed == ["0x" + bytes(expected.signature).hex(), expected.v]


def test_the_client_signs_typed_data_messages_and_actions() -> None:
    parts = {name: TYPED_DATA[name] for name in ("types", "domain", "message")}
    names = {"signer": LOCAL.address, "typed_data": TYPED_DATA, **parts}
    section = "Typed data, messages and actions"
    with Client() as client:
        _, printed = run(section, "python", client=client, **names)
    messages = [encode_defunct(text="1700000000000"), encode_defunct(b"\x00\xff")]
    signed = [LOCAL.sign_typed_data(full_message=TYPED_DATA)] * 2 + [
        LOCAL.sign_message(message) for message in messages
    ]
    assert printed[:4] == ["0x" + bytes(one.signature).hex() for one in signed]
    cancel = {"type": "cancel", "cancels": [{"a": 0, "o": 5}]}
    parts = {"r": "0x" + printed[4][2:66], "s": "0x" + printed[4][66:130], "v": int(printed[4][130:], 16)}
    signer = signing.recover_agent_or_user_from_l1_action(cancel, parts, None, 1_700_000_000_000, None, False)
    assert signer == LOCAL.address


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


def test_hyperliquid_trades_and_transfers(hyperliquid: Venue, requests: list[dict[str, Any]]) -> None:
    program, printed = run("Hyperliquid", address=LOCAL.address, url=hyperliquid.url)
    venue = program["venue"]
    assert printed == [{"status": "ok"}]
    venue.cancel("ETH", 5)
    venue.expires_after, venue.vault_address = 1_900_000_000_000, OTHER
    venue.order("ETH", False, 0.2, 1100, {"limit": {"tif": "Ioc"}})
    actions = [sent for sent in hyperliquid.sent if sent.path == "/exchange"]
    assert [signer_of_action(sent) for sent in actions] == [LOCAL.address] * 3
    assert [request["type"] for request in requests] == ["hyperliquid"] * 3
    assert [list(request["action"].items()) for request in requests] == [
        list(sent.body["action"].items()) for sent in actions
    ]

    venue.expires_after = venue.vault_address = None
    venue.usd_transfer(1.5, OTHER)
    sent = hyperliquid.sent[-1].body
    fields = signing.USD_SEND_SIGN_TYPES, "HyperliquidTransaction:UsdSend"
    signer = signing.recover_user_from_user_signed_action(sent["action"], sent["signature"], *fields, False)
    assert signer == LOCAL.address
    assert requests[-1]["typed_data"]["primaryType"] == "HyperliquidTransaction:UsdSend"
    venue.wallet.close()


def test_hyperliquid_still_trades_with_an_account_of_eth_account(
    hyperliquid: Venue, requests: list[dict[str, Any]]
) -> None:
    program, _ = run("Hyperliquid", address=LOCAL.address, url=hyperliquid.url)
    program["venue"].wallet.close()
    requests.clear()
    exchange.Exchange(HELD[1], hyperliquid.url).cancel("ETH", 5)
    assert signer_of_action(hyperliquid.sent[-1]) == HELD[1].address
    assert requests == []


def test_hyperliquid_without_passing_says_what_to_do(hyperliquid: Venue) -> None:
    venue = exchange.Exchange(Account(LOCAL.address), hyperliquid.url)
    with pytest.raises(TypeError, match="passing_typed_data"):
        venue.usd_transfer(1.5, OTHER)


def test_polymarket_logs_in_and_signs_an_order(monkeypatch: pytest.MonkeyPatch, requests: list[dict[str, Any]]) -> None:
    market = {"t": [{"t": "123"}], "mts": 0.01, "nr": False}
    tokens = {"condition_id": "0x" + 64 * "1", "primary_token_id": "123", "secondary_token_id": "2"}
    credentials = {"apiKey": "a", "secret": "c2VjcmV0", "passphrase": "p"}
    answers = {"/auth": credentials, "/markets-by-token": tokens, "/clob-markets": market}
    monkeypatch.setattr(secure, "Account", secure.Account)  # as it was, after the test
    config = environments.PRODUCTION._config
    with Venue(answers).running() as venue:
        object.__setattr__(environments.PRODUCTION, "_config", dataclasses.replace(config, clob_url=venue.url))
        try:
            program, (order,) = run("Polymarket", address=LOCAL.address, wallet=LOCAL.address, token="123")
        finally:
            object.__setattr__(environments.PRODUCTION, "_config", config)
        program["client"].close()
        program["client"]._ctx.signer.close()
    headers = {name.upper(): value for name, value in venue.sent[0].headers.items()}
    assert headers["POLY_ADDRESS"] == LOCAL.address
    assert signer_of(requests[0]["typed_data"], headers["POLY_SIGNATURE"]) == LOCAL.address
    assert signer_of(requests[1]["typed_data"], order.signature) == LOCAL.address
    message = requests[1]["typed_data"]["message"]
    assert (message["tokenId"], message["makerAmount"], message["takerAmount"]) == (123, 5_000_000, 10_000_000)
    assert (message["salt"], message["signer"]) == (order.salt, LOCAL.address)


def signer_of(typed_data: dict[str, Any], signature: str) -> str:
    return str(eth_account.Account.recover_message(encode_typed_data(full_message=typed_data), signature=signature))
