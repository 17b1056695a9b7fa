"""What the benchmark asks of daemons: requests of each type, and the policies that allow them for held keys.

A Setup is a daemon with its options, and the rows that clients get from it. benchmark.py says what each row's clients
do. All requests of a row differ, so the daemon has to compute each digest and each signature.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from support import held

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
EXAMPLE = json.loads((VECTORS / "example.json").read_text())["request"]
KEY = EXAMPLE["signer"]
ADDRESS = "0x202a093beaa3b1e52c393ea2c4e2c935b48c0b8e"  # of the same key
DIFFERENT = 1000  # requests of each kind
CROWDS = (8, 32, 128)  # clients
IDLE = 128  # connections
RULES = (1, 50, 190)  # each with a key of its own

MARKET = f"""
[market LEV/ETH]
base = {EXAMPLE["instrument"]["base"]["address"]} 9
quote = {EXAMPLE["instrument"]["quote"]["address"]} 18
"""
ANY = "accounts = any\nmarkets = LEV/ETH\ntypes = LMT\n"
AMOUNTS = "max-quantity = 50000\nmin-price = 0.00025\nmax-price = 25\nmax-notional = 500\n"
CLOCK = "clock = 1000000000\n"
RATE = "rate = 100000/second\n"
EVERY_LIMIT = f"""
accounts = {EXAMPLE["order"]["accountId"]}
markets = LEV/ETH
sides = buy
types = LMT
{AMOUNTS}{CLOCK}{RATE}"""

EXCHANGES = json.loads((VECTORS / "typed-data/exchanges.json").read_text())
COW = next(row for row in EXCHANGES if row["name"].startswith("CoW"))
ACTION = next(row for row in EXCHANGES if row["name"] == "Hyperliquid L1: limit order, mainnet")["hyperliquid"]
COW_SECTION = f"""
[typed cow]
type = {"Order(" + ",".join(f"{field['type']} {field['name']}" for field in COW["types"]["Order"]) + ")"}
domain.name = {COW["domain"]["name"]}
domain.version = {COW["domain"]["version"]}
domain.chainId = {COW["domain"]["chainId"]}
domain.verifyingContract = {COW["domain"]["verifyingContract"]}
message.receiver = {COW["message"]["receiver"]}
message.kind = {COW["message"]["kind"]}
message.sellAmount <= 2000000000000000000
message.buyAmount >= 1
"""
PRICE_LIST_AND_TIME = f"""message.buyAmount(6) / message.sellAmount(18) >= 0.000000001
message.sellToken = {COW["message"]["sellToken"]} 0x0000000000000000000000000000000000000000
message.validTo within 1000000000
"""
HYPERLIQUID_SECTION = """
[hyperliquid perps]
actions = order cancel
network = mainnet
vault = none
assets = 1
max-size = 100
min-price = 90
max-price = 110
max-notional = 10000
max-orders = 4
tif = Alo Ioc Gtc
triggers = none
groupings = na
builder = none
"""
MESSAGE_SECTION = """
[message login]
pattern = Sign in: [0-9]{13}
"""
TOKEN, SPENDER = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", "0xC92E8bdf79f0507f65a392b0ab4667716BFE0110"
TRANSACTION_SECTION = f"""
[transaction approve]
chain = 1
to = {TOKEN}
function = approve(address spender, uint256 amount)
fee(18) <= 0.01
args.spender = {SPENDER}
args.amount(6) <= 1000
"""


def order(number: int) -> dict[str, Any]:
    return {**EXAMPLE, "order": {**EXAMPLE["order"], "timestamp": 1_575_332_212_506_984 + number}}


def cow(number: int) -> dict[str, Any]:
    """An order of CoW Protocol, valid for a day, each time with another amount."""
    content = {name: COW[name] for name in ("types", "primaryType", "domain")}
    message = {**COW["message"], "sellAmount": str(10**18 + number), "validTo": _in_a_day()}
    return {"type": "typed_data", "typed_data": {**content, "message": message}}


@functools.lru_cache(maxsize=None)
def _in_a_day() -> int:
    return int(time.time()) + 86400


def hyperliquid(number: int) -> dict[str, Any]:
    """A limit order of Hyperliquid, each time with another nonce."""
    nonce = 1_700_000_000_000 + number
    return {"type": "hyperliquid", "action": ACTION["action"], "nonce": nonce, "network": "mainnet"}


def message(number: int) -> dict[str, Any]:
    return {"type": "message", "text": f"Sign in: {1_550_791_374_642 + number}"}


def transaction(number: int) -> dict[str, Any]:
    """An approval of an ERC-20 token, each time with another nonce."""
    content = {
        "type": 2,
        "chainId": 1,
        "nonce": number,
        "maxPriorityFeePerGas": 10**9,
        "maxFeePerGas": 2 * 10**10,
        "gas": 60_000,
        "to": TOKEN,
        "value": 0,
        "data": f"0x095ea7b3{SPENDER[2:].lower():0>64}{10**9:064x}",
        "accessList": [],
    }
    return {"type": "transaction", "transaction": content}


def lines(request: Callable[[int], dict[str, Any]], signers: Sequence[str] = (KEY,)) -> list[bytes]:
    """Different requests, with these signers in turn: private keys, or addresses of held keys."""
    numbered = zip(range(DIFFERENT), itertools.cycle(signers))
    return [json.dumps({**request(number), "signer": signer}).encode() + b"\n" for number, signer in numbered]


ORDERS = lines(order)  # with their key


class Row(NamedTuple):
    """Clients of one kind. way: what they do, by its name in benchmark.WAYS."""

    name: str
    way: str
    lines: list[bytes]
    clients: int = 1
    idle: int = 0  # connections of others, that asked once


class Setup(NamedTuple):
    """A daemon, and the rows that it is for."""

    rows: list[Row]
    level: str = "notice"  # of its journal; with "info", each signature leaves an entry
    keys: Sequence[str] = ()  # that it holds
    policy: str = ""
    state: bool = False  # whether it has a directory for what lasts longer than the process
    processes: int = 1  # on one socket
    memory: str = ""  # what the rows about its memory are called; none without


def setups() -> Iterator[Setup]:
    one, orders = "one client", ORDERS
    for level, label in (("notice", ""), ("info", ", entries on")):
        rows = [
            Row(f"{one} pipelining{label}", "pipelining", orders),
            Row(f"{one} in lock-step{label}", "lock-step", orders),
            Row(f"a connection for each request{label}", "connecting", orders),
            Row(f"{one} in lock-step next to {IDLE} idle{label}", "lock-step", orders, idle=IDLE),
            *crowds(orders, label),
        ]
        yield Setup(rows, level, memory="" if label else "memory, keys sent")
    label = ", two processes"
    yield Setup([Row(f"{one} in lock-step{label}", "lock-step", orders), *crowds(orders, label)], processes=2)
    for kind, request, section, allows in (
        ("order", order, MARKET, EVERY_LIMIT),
        ("CoW order", cow, COW_SECTION, "typed = cow\n"),
        ("Hyperliquid order", hyperliquid, HYPERLIQUID_SECTION, "hyperliquid = perps\n"),
        ("message", message, MESSAGE_SECTION, "messages = login\n"),
        ("transaction", transaction, TRANSACTION_SECTION, "transactions = approve\n"),
    ):
        for name, signer in (("key sent", KEY), ("held key", ADDRESS)):
            asked = lines(request, [signer])
            rows = [
                Row(f"{kind}, {name}: pipelining", "pipelining", asked),
                Row(f"{kind}, {name}: lock-step", "lock-step", asked),
                Row(f"{kind}, {name}: a connection for each", "connecting", asked),
            ]
            if name == "held key":
                yield Setup(rows, keys=[KEY], policy=section + held.rule("all", ADDRESS, allows=allows))
            elif kind != "order":  # which the first setup has
                yield Setup(rows)
    held_orders, held_cow = lines(order, [ADDRESS]), lines(cow, [ADDRESS])
    for name, allows, state in (
        ("no limits but the type", ANY, False),
        ("amounts and prices", ANY + AMOUNTS, False),
        ("a clock", ANY + CLOCK, False),
        ("a rate", ANY + RATE, False),
        ("every limit but totals", EVERY_LIMIT, False),
        ("no limits but the type, and frozen rules kept", ANY, True),
        ("a rate, kept", ANY + RATE, True),
        ("a total", ANY + "max-total-notional = 1000000000000/day\n", True),
    ):
        row = Row(f"held key, {name}", "pipelining", held_orders)
        yield Setup([row], keys=[KEY], policy=MARKET + held.rule("all", ADDRESS, allows=allows), state=state)
    for name, conditions in (
        ("a price, a list and a time more", PRICE_LIST_AND_TIME),
        ("a total more", "total message.sellAmount(18) <= 1000000000000/day\n"),
    ):
        policy = COW_SECTION + conditions + held.rule("all", ADDRESS, allows="typed = cow\n")
        row = Row(f"CoW order, held key, {name}", "pipelining", held_cow)
        yield Setup([row], keys=[KEY], policy=policy, state=conditions.startswith("total"))
    for number in RULES:
        yield _many(number)


def crowds(asked: list[bytes], label: str) -> list[Row]:
    return [Row(f"{clients} clients{label}", "crowd", asked, clients) for clients in CROWDS]


def _many(number: int) -> Setup:
    """A daemon with as many keys, each with a rule of its own with every limit. All are used in turn."""
    keys = ["0x" + hashlib.sha256(b"%d" % each).hexdigest() for each in range(number)]
    addresses = [held.address(key) for key in keys]
    rules = (held.rule(f"rule-{each}", address, allows=EVERY_LIMIT) for each, address in enumerate(addresses))
    asked, label = lines(order, addresses), f", rules and keys: {number}"
    rows = [Row(f"one client pipelining{label}", "pipelining", asked), *crowds(asked, label)]
    memory = f"memory, {number} rules and keys" if number == max(RULES) else ""
    return Setup(rows, keys=keys, policy=MARKET + "\n".join(rules), memory=memory)
