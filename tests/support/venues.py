"""Requests for the ready-made policies."""

from __future__ import annotations

import copy
import re
from typing import Any, NamedTuple

from oracles import oracle

from support.typed_data import content_of, named

# What an operator puts in.
OWN, PARTNER = "0x" + 40 * "1", "0x" + 40 * "2"

KEY = named("exchange-shapes", "CoW order, mainnet")["private_key"]

ADDRESS = oracle.signer_address(KEY)

LIMITS = {"<= 50000000\n": "<= 100000000\n", "takerAmount >= 100000000\n": "takerAmount >= 50000000\n"}  # Polymarket's

NOW = 1_893_455_900  # shortly before the examples end

SOON = NOW + 100

STRANGER = "0x" + 40 * "9"

WETH, USDC = "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2", "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"

PERMIT2, ZEROEX = "0x000000000022d473030f116ddee9f6b43ac78ba3", "0xdef1c0ded9bec7f1a1670819833240f027b25eff"


class Example(NamedTuple):
    """What a venue publishes, and what is put into it: values by their paths in the typed data."""

    policy: str
    file: str
    name: str
    put_in: dict[str, Any]

    @property
    def content(self) -> Any:
        content = content_of(named(self.file, self.name))
        for path, value in self.put_in.items():
            content = changed(content, path, value)
        return content


IN_0X = {
    "domain.chainId": 1,
    "domain.verifyingContract": ZEROEX,
    "message.maker": ADDRESS,
    "message.makerToken": WETH,
    "message.takerToken": USDC,
    "message.takerAmount": 3_000_000_000,
    "message.expiry": SOON,
}

EXAMPLES = [
    Example("cow", "exchange-shapes", "CoW order, mainnet", {}),
    Example("cow", "exchange-shapes", "CoW OrderCancellations", {}),
    Example("polymarket", "exchange-shapes", "Polymarket order v2 by an EOA", {}),
    Example(
        "polymarket",
        "exchanges",
        "Polymarket ClobAuth (login)",
        {"domain.chainId": 137, "message.address": ADDRESS},
    ),
    Example(
        "permit2",
        "exchanges",
        "Permit2 PermitSingle",
        {
            "domain.verifyingContract": PERMIT2,
            "message.details.token": USDC,
            "message.details.amount": "1000000000",
            "message.details.expiration": SOON,
            "message.spender": PARTNER,
            "message.sigDeadline": SOON,
        },
    ),
    Example(
        "permit2",
        "exchanges",
        "Permit2 PermitTransferFrom",
        {
            "domain.verifyingContract": PERMIT2,
            "message.permitted.token": USDC,
            "message.permitted.amount": "1000000000",
            "message.spender": PARTNER,
            "message.deadline": SOON,
        },
    ),
    Example("permit2", "exchange-shapes", "Permit2 PermitWitnessTransferFrom, UniswapX V2DutchOrder", {}),
    Example("seaport", "exchange-shapes", "Seaport 1.6 OrderComponents", {}),
    Example("0x", "exchanges", "0x v4 LimitOrder, signed", IN_0X),
    Example("0x", "exchanges", "0x v4 RfqOrder, signed", {**IN_0X, "message.txOrigin": PARTNER}),
    Example("1inch", "exchanges", "1inch limit order v4, live on mainnet", {"message.maker": ADDRESS}),
]

BY_NAME = {example.name: example for example in EXAMPLES}


def changed(content: Any, path: str, value: Any) -> Any:
    """A copy with another value at a path, such as message.offer[0].token."""
    content = copy.deepcopy(content)
    *steps, last = [int(step) if step.isdecimal() else step for step in re.findall(r"[^.\[\]]+", path)]
    inner = content
    for step in steps:
        inner = inner[step]
    assert last in inner if isinstance(inner, dict) else last < len(inner)
    inner[last] = value
    return content


def adapted(text: str, key: str, user: str) -> str:
    """A policy for a venue with what an operator puts in: the address, the user and limits."""
    text = text.replace(OWN, oracle.signer_address(key))
    text = re.sub("^users = .+$", f"users = {user}", text, flags=re.MULTILINE)
    for limit, other in LIMITS.items():
        text = text.replace(limit, other)
    return text


ORDER = named("exchanges", "Hyperliquid L1: limit order, mainnet")
