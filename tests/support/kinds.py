"""A request of each kind, and a policy with a section that allows it and one that allows anything."""

from __future__ import annotations

from typing import Any

from ordersigner.policy.kinds import KINDS
from support.daemon import EXAMPLE, vectors
from support.services import ADDRESS

_FUTURES = next(row["request"] for row in vectors("published-orders") if row["request"]["type"] == "futures")
_TYPES = {
    "EIP712Domain": [{"name": "name", "type": "string"}, {"name": "chainId", "type": "uint256"}],
    "Trade": [
        {"name": "token", "type": "address"},
        {"name": "amount", "type": "uint256"},
        {"name": "note", "type": "string"},
        {"name": "partial", "type": "bool"},
        {"name": "hash", "type": "bytes32"},
        {"name": "parts", "type": "Part[]"},
    ],
    "Part": [{"name": "id", "type": "uint256"}],
}
TOKEN = "0x" + "ab" * 20
_HYPERLIQUID_ORDER = {"a": 1, "b": True, "p": "100.5", "s": "3", "r": False, "t": {"limit": {"tif": "Gtc"}}}

# By the type of request, without their signer.
REQUESTS: dict[str, dict[str, Any]] = {
    "spot": {key: value for key, value in EXAMPLE["request"].items() if key != "signer"},
    "futures": {key: value for key, value in _FUTURES.items() if key != "signer"},
    "typed_data": {
        "typed_data": {
            "types": _TYPES,
            "primaryType": "Trade",
            "domain": {"name": "Test venue", "chainId": 7},
            "message": {
                "token": TOKEN,
                "amount": "1000000000000000000",
                "note": "a note",
                "partial": False,
                "hash": "0x" + "cd" * 32,
                "parts": [{"id": 5}, {"id": 6}],
            },
        },
    },
    "message": {"text": "Sign in"},
    "hyperliquid": {
        "action": {"type": "order", "orders": [_HYPERLIQUID_ORDER, _HYPERLIQUID_ORDER], "grouping": "na"},
        "nonce": 1,
        "network": "mainnet",
    },
}
REQUESTS["transaction"] = {
    "transaction": {
        "type": 2,
        "chainId": 1,
        "nonce": 7,
        "maxPriorityFeePerGas": 10**9,
        "maxFeePerGas": 2 * 10**10,
        "gas": 60_000,
        "to": TOKEN,
        "value": 0,
        "data": f"0x095ea7b3{12 * '00'}{20 * '11'}{31 * '00'}05",
        "accessList": [],
    }
}
assert REQUESTS.keys() == KINDS.keys()
SECTIONS = {
    "spot": "leveth",
    "futures": "perp",
    "typed_data": "trade",
    "message": "login",
    "hyperliquid": "perps",
    "transaction": "approval",
}

_TRADE = "Trade(address token,uint256 amount,string note,bool partial,bytes32 hash,Part[] parts)Part(uint256 id)"


def _token(token: dict[str, Any]) -> str:
    return f"{token['address']} {token['decimals']}"


POLICY = f"""
[market leveth]
base = {_token(REQUESTS["spot"]["instrument"]["base"])}
quote = {_token(REQUESTS["spot"]["instrument"]["quote"])}

[market perp]
instrument = {REQUESTS["futures"]["order"]["instrument"]}
quote = {REQUESTS["futures"]["order"]["quote"]} {REQUESTS["futures"]["instrument"]["quote"]["decimals"]}

[typed trade]
type = {_TRADE}
domain.name = Test venue
domain.chainId = 7
message.token = {TOKEN} 0x{"11" * 20}
message.amount <= {10**77}
message.amount >= 1
message.partial = false
message.parts.*.id >= 1

[message login]
pattern = Sign in.*

[hyperliquid perps]
actions = order

[transaction approval]
chain = 1
to = {TOKEN}
function = approve(address spender, uint256 amount)
fee(18) <= 0.01
args.spender = 0x{20 * "11"}
args.amount(6) <= 1000

[rule all]
key = {ADDRESS}
users = 1001
accounts = any
markets = leveth perp
typed = trade
messages = login
hyperliquid = perps
transactions = approval
"""


def request_of(kind: str, signer: str = ADDRESS) -> dict[str, Any]:
    """A request of a kind with a signer: by default the key that services of support.services hold."""
    return {**REQUESTS[kind], "type": kind, "signer": signer}
