"""The code that docs/use/sdks.rst shows does what it says."""

from __future__ import annotations

import re
import textwrap
from typing import Any

import pytest
from eth_account import Account
from sides import Sides
from support.daemon import SOURCE
from test_web3 import SECTIONS as APPROVALS
from test_web3 import TOKEN, Node, approval
from venue import Venue

pytest_plugins = ["sdk_fixtures"]
pytestmark = [pytest.mark.filterwarnings("ignore:websockets.legacy is deprecated:DeprecationWarning")]
SECTIONS = f"{APPROVALS}[hyperliquid perps]\nactions = order\nassets = 0\nmax-size = 0.2\nnetwork = testnet\n"
ALLOWS = "hyperliquid = perps\ntransactions = approve\n"
PAGE = (SOURCE / "docs/use/sdks.rst").read_text()
INSTALL, FIRST, HYPERLIQUID, WEB3, CCXT, BY_ITSELF = (
    textwrap.dedent(block) for block in re.findall(r"\.\. code-block:: python\n\n((?:    .*\n|\n)+)", PAGE)
)
MAIL: dict[str, Any] = {
    "types": {"EIP712Domain": [{"name": "name", "type": "string"}], "Mail": [{"name": "text", "type": "string"}]},
    "domain": {"name": "Mail"},
    "primaryType": "Mail",
    "message": {"text": "Hello"},
}


def run(block: str, **names: Any) -> tuple[dict[str, Any], list[Any]]:
    """The names that an example defines, and what it prints."""
    printed: list[Any] = []
    program = {**names, "print": lambda *values: printed.extend(values)}
    exec(INSTALL + block, program)
    return program, printed


def test_an_account_and_its_signature(sides: Sides) -> None:
    real: Any = Account.from_key(sides.key)
    expected = real.sign_typed_data(full_message=MAIL).signature
    program, _ = run(FIRST, address=sides.address, typed_data=MAIL)
    assert program["signed"].signature == expected
    program, printed = run(BY_ITSELF, address=sides.address, typed_data=MAIL)
    program["account"].close()
    assert printed == ["0x" + bytes(expected).hex()]


def test_hyperliquid(sides: Sides) -> None:
    def information(asked: dict[str, Any]) -> dict[str, Any]:
        return {"tokens": [], "universe": [{"name": "ETH", "szDecimals": 4}] if asked["type"] == "meta" else []}

    with Venue({"/info": information, "/exchange": {"status": "ok"}}).running() as venue:
        _, printed = run(HYPERLIQUID, address=sides.address, url=venue.url)
    assert printed == [{"status": "ok"}]
    sent = next(sent for sent in venue.sent if sent.path == "/exchange").body
    from hyperliquid.utils import signing

    recovered = signing.recover_agent_or_user_from_l1_action(
        sent["action"], sent["signature"], sent["vaultAddress"], sent["nonce"], sent["expiresAfter"], False
    )
    assert recovered == sides.address


def test_web3(sides: Sides) -> None:
    node = Node()
    with Venue({"/": node.answer}).running() as venue:
        _, printed = run(WEB3, address=sides.address, url=venue.url, token=TOKEN, data=approval(7))
    assert len(printed) == len(node.sent) == 1
    assert Account.recover_transaction(node.sent[0]) == sides.address


def test_ccxt(sides: Sides) -> None:
    order = {"a": 0, "b": True, "p": "1100", "s": "0.2", "r": False, "t": {"limit": {"tif": "Gtc"}}}
    signatures = []
    for key in (sides.key, sides.address):
        program, _ = run(CCXT, account=sides.address, address=key)
        program["exchange"].set_sandbox_mode(True)
        action = {"type": "order", "orders": [order], "grouping": "na"}
        signatures.append(program["exchange"].sign_l1_action(action, 1_700_000_000_000))
    assert signatures[0] == signatures[1]
