"""Transactions under rules: the verdicts of the vectors, and what --check says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from oracles import abi_reference
from support.daemon import SOURCE, vectors
from support.venues import ROWS as OF_SDKS
from support.venues import adapted

from ordersigner.payloads import transactions
from ordersigner.payloads.abi import Function
from ordersigner.peer import Peer
from ordersigner.policy import reader
from ordersigner.policy.rules import Denied, Objection, Permit
from ordersigner.refusal import Refusal
from ordersigner.state.memory import Memory

ROWS = vectors("transactions/transaction-policies")
JUDGED = [row for row in ROWS if "request" in row]
WRONG = [row for row in ROWS if "errors" in row["verdict"]]
RULE = """
[rule bot]
key = 0x2c7536e3605d9c16a7a3d7b1898e529396a65c23
users = 1000
transactions = s
"""


@pytest.mark.parametrize("row", WRONG, ids=[row["name"] for row in WRONG])
def test_a_wrong_line_is_named(row: dict[str, Any]) -> None:
    reading = reader.read(row["policy"], "policy")
    assert sorted({line for line, _ in reading.errors}) == row["verdict"]["errors"]


@pytest.mark.parametrize("row", JUDGED, ids=[row["name"] for row in JUDGED])
def test_a_request_gets_the_verdict_of_the_vectors(row: dict[str, Any]) -> None:
    reading = reader.read(row["policy"], "policy")
    assert list(reading.errors) == []
    verdict = judged(reading, row["request"], row["uid"], row["now"])
    if row["verdict"].get("allowed"):
        assert verdict == row["verdict"]["rule"]
    else:
        assert verdict == (row["verdict"]["field"], row["verdict"]["code"])


def judged(reading: reader.Reading, request: dict[str, Any], uid: int = 1000, now: float = 0) -> Any:
    """The name of the rule that allows it; or the field and the code of the refusal."""
    payload = transactions.read(request)
    grant = reading.policy.grants(Peer(1, uid, uid)).get(request["signer"].lower())
    if grant is None:
        return "signer", "unknown_signer"
    try:
        permit = grant.allow(payload, now=now, ledger=Memory())
    except Denied as denied:
        ((field, (problem,)),) = denied.context.items()
        return field, problem.code
    permit.judge.entry(payload)
    return permit.rule.name


# The ready-made sections, with calls that eth-abi encodes.
OWN, OTHER, STRANGER = ("0x" + 40 * digit for digit in "123")
NOW = 1_795_000_000
USDC = "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"
WETH = "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2"
USDC_E = "0x2791bca1f2de4661ed88a30c99a7a9449aa84174"
RELAYER = "0xc92e8bdf79f0507f65a392b0ab4667716bfe0110"
ROUTER = "0x66a9893cc07d91d95644aedd05d03f95e1dba8af"
EXCHANGE = "0x4bfb41d5b3570defd03c39a9a4d8de6bd8b8982e"
BRIDGE = "0x2df1c51e09aecf9cacb7bc98cb1742757f163df7"
UID, CONDITION, ZERO = b"\7" * 56, b"1" * 32, bytes(32)
SHARES = (USDC_E, ZERO, CONDITION)


def order(offerer: str) -> tuple[Any, ...]:
    """An order of Seaport, with an item on each side."""
    item = (2, WETH, 5, 1, 1)
    return offerer, OTHER, [item], [(*item, OWN)], 0, 0, NOW, ZERO, 1, ZERO, 0


def swap(**changed: Any) -> tuple[Any, ...]:
    parts = {
        "tokenIn": USDC,
        "tokenOut": WETH,
        "fee": 500,
        "recipient": OWN,
        "deadline": NOW + 600,
        "amountIn": 2500 * 10**6,
        "amountOutMinimum": 625 * 10**15,
        "sqrtPriceLimitX96": 0,
    }
    return ((*{**parts, **changed}.values(),),)


# By the section: arguments that it allows; and for arguments that it refuses, the one at fault.
CALLS: dict[str, tuple[tuple[Any, ...], list[tuple[str, tuple[Any, ...]]]]] = {
    "usdc-approve": (
        (RELAYER, 1000 * 10**6),
        [("amount", (RELAYER, 1000 * 10**6 + 1)), ("amount", (RELAYER, 2**256 - 1)), ("spender", (STRANGER, 1))],
    ),
    "usdc-transfer": ((OTHER, 10**9), [("amount", (OTHER, 10**9 + 1)), ("to", (STRANGER, 1)), ("to", (OWN, 1))]),
    "weth-wrap": ((), []),
    "weth-unwrap": ((2 * 10**18,), [("amount", (2 * 10**18 + 1,))]),
    "uniswap-buy": (
        swap(),
        [
            ("params.recipient", swap(recipient=STRANGER)),
            ("params.tokenIn", swap(tokenIn=WETH)),
            ("params.tokenOut", swap(tokenOut=STRANGER)),
            ("params.deadline", swap(deadline=NOW + 601)),
            ("params.deadline", swap(deadline=NOW - 1)),
            ("params.amountIn", swap(amountIn=2500 * 10**6 + 1, amountOutMinimum=10**19)),
            ("params.amountOutMinimum", swap(amountOutMinimum=625 * 10**15 - 1)),
            ("params.amountOutMinimum", swap(amountOutMinimum=0)),
        ],
    ),
    "permit2-approve": (
        (USDC, ROUTER, 10**9, NOW + 86400),
        [
            ("token", (WETH, ROUTER, 1, NOW)),
            ("spender", (USDC, STRANGER, 1, NOW)),
            ("amount", (USDC, ROUTER, 10**9 + 1, NOW)),
            ("expiration", (USDC, ROUTER, 1, NOW + 86401)),
        ],
    ),
    "cow-cancel": ((UID, False), [("signed", (UID, True))]),
    "seaport-cancel": (
        ([order(OWN), order(OWN)],),
        [("orders[1].offerer", ([order(OWN), order(STRANGER)],)), ("orders", ([],))],
    ),
    "seaport-cancel-all": ((), []),
    "1inch-cancel": ((0,), [("series", (1,))]),
    "polymarket-approve": ((EXCHANGE, 10**9), [("spender", (STRANGER, 1)), ("amount", (EXCHANGE, 10**9 + 1))]),
    "polymarket-approve-shares": ((EXCHANGE, True), [("operator", (STRANGER, True))]),
    "polymarket-split": (
        (*SHARES, [1, 2], 10**8),
        [
            ("collateralToken", (STRANGER, ZERO, CONDITION, [1, 2], 1)),
            ("partition[1]", (*SHARES, [1, 3], 1)),
            ("partition", (*SHARES, [1, 2, 4], 1)),
            ("partition", (*SHARES, [1], 1)),
            ("amount", (*SHARES, [1, 2], 10**8 + 1)),
        ],
    ),
    "polymarket-merge": ((*SHARES, [1, 2], 10**12), [("partition[0]", (*SHARES, [2, 1], 1))]),
    "polymarket-redeem": ((*SHARES, [1, 2]), [("indexSets[0]", (*SHARES, [3])), ("indexSets", (*SHARES, []))]),
    "hyperliquid-deposit": (
        (BRIDGE, 5 * 10**6),
        [("amount", (BRIDGE, 5 * 10**6 - 1)), ("amount", (BRIDGE, 5 * 10**8 + 1)), ("to", (STRANGER, 10**7))],
    ),
    "aave-supply": (
        (USDC, 10**9, OWN, 0),
        [
            ("asset", (WETH, 1, OWN, 0)),
            ("amount", (USDC, 10**9 + 1, OWN, 0)),
            ("onBehalfOf", (USDC, 1, STRANGER, 0)),
        ],
    ),
    "aave-withdraw": ((USDC, 2**256 - 1, OWN), [("to", (USDC, 1, STRANGER)), ("asset", (WETH, 1, OWN))]),
}
READY = (SOURCE / "docs/venues/transactions.policy").read_text().replace("users = trader", "users = 1000")
WRITTEN = {
    name: dict(re.findall(r"^(chain|to|function|fee\(18\)) +<?= (.+)$", text, re.MULTILINE))
    for name, text in re.findall(r"^\[transaction (\S+)\]\n((?:.+\n)+)", READY, re.MULTILINE)
}


def ready(name: str, arguments: tuple[Any, ...], **changed: Any) -> Any:
    """The verdict on a call that eth-abi encodes, in a transaction to the section's contract, at its highest fee."""
    section = WRITTEN[name]
    function = Function(section["function"])
    encoded = encode([parameter.type for parameter in function.parameters], arguments)
    transaction = {
        "type": 2,
        "chainId": int(section["chain"]),
        "nonce": 7,
        "maxPriorityFeePerGas": 0,
        "maxFeePerGas": int(Fraction(section["fee(18)"]) * 10**13),
        "gas": 100_000,
        "to": section["to"],
        "value": 2 * 10**18 if name == "weth-wrap" else 0,
        "data": "0x" + (keccak(text=function.signature)[:4] + encoded).hex(),
        "accessList": [],
        **changed,
    }
    request = {"type": "transaction", "transaction": transaction, "signer": OWN}
    return judged(reader.read(READY, "policy"), request, now=NOW)


def test_every_ready_made_section_is_tried() -> None:
    assert WRITTEN.keys() == CALLS.keys()


@pytest.mark.parametrize("name", CALLS)
def test_a_ready_made_section_allows_what_it_says_and_nothing_beside_it(name: str) -> None:
    allowed, refused = CALLS[name]
    assert ready(name, allowed) == "transactions"
    for argument, arguments in refused:
        field, code = ready(name, arguments)
        assert field == f"transaction.data.{argument}"
        assert code in ("not_allowed", "over_limit")
    fee = int(Fraction(WRITTEN[name]["fee(18)"]) * 10**13)
    value = 2 * 10**18 + 1 if name == "weth-wrap" else 1
    for changed, field in (
        ({"maxFeePerGas": fee + 1}, "gas"),
        ({"gas": 100_001}, "gas"),
        ({"chainId": 10}, "chainId"),
        ({"to": STRANGER}, "to"),
        ({"value": value}, "value"),
    ):
        assert ready(name, allowed, **changed)[0] == f"transaction.{field}"


# What --check says.
def words_of(policy: str) -> tuple[list[str], list[str]]:
    """What the first section allows, and what it leaves open."""
    reading = reader.read(policy, "policy")
    assert list(reading.errors) == []
    judge = reading.policy.rules[0].judges["transaction"][0]
    return judge.permits(), judge.leaves_open()


def section(text: str) -> str:
    return f"[transaction s]\n{text}\n{RULE}"


TOKEN = f"chain = 1\nto = {USDC}\nfunction = approve(address spender, uint256 amount)\nfee(18) <= 0.01\n"
WHEN = "when it is sent: a transaction does not expire, and of several with one nonce any may be mined"


def test_check_says_in_words_what_an_approval_may_do() -> None:
    permits, leaves_open = words_of(section(f"{TOKEN}args.spender = {RELAYER}\nargs.amount(6) <= 1000"))
    approval = f"approve at most 1000 of the token at {USDC} to {RELAYER}"
    assert permits == [
        f"transactions on chain 1 that {approval}, for at most 0.01 ether of fee",
        "as calls of approve(address spender, uint256 amount)",
        "with fee(18) from 0 to 0.01",
        f"with args.spender {RELAYER}",
        "with args.amount(6) from 0 to 1000",
        "with value 0: without ether",
    ]
    assert leaves_open == [
        "nonce",
        "how the fee is made of gas, gasPrice or maxFeePerGas, and maxPriorityFeePerGas",
        "accessList",
        WHEN,
    ]


ALLOWANCE = "an allowance that stays until it is revoked"
APPROVE_ALL = f"chain = 1\nto = {USDC}\nfunction = setApprovalForAll(address operator, bool approved)\nfee <= 1\n"
PERMIT2 = (
    f"chain = 1\nto = {USDC}\nfee <= 1\n"
    "function = approve(address token, address spender, uint160 amount, uint48 expiration)\n"
)


@pytest.mark.parametrize(
    ("text", "is_named"),
    [
        (f"{TOKEN}args.amount <= 5", True),
        (f"{TOKEN}args.spender = {RELAYER}", True),
        (f"{TOKEN}args.spender = {RELAYER}\nargs.amount >= 5", True),
        (f"{TOKEN}args.spender = {RELAYER}\nargs.amount = 0", False),
        (f"{TOKEN.replace('approve', 'increaseAllowance')}args.amount <= 5", True),
        (f"{TOKEN.replace('approve', 'transfer')}args.amount <= 5", False),
        (f"{APPROVE_ALL}args.operator = {RELAYER}", True),
        (f"{APPROVE_ALL}args.approved = false", False),
        (f"{PERMIT2}args.spender = {RELAYER}", True),
        (f"{PERMIT2}args.spender = {RELAYER}\nargs.amount <= 5", False),
    ],
)
def test_check_warns_of_allowances_that_stay(text: str, is_named: bool) -> None:
    assert (ALLOWANCE in words_of(section(text))[1]) == is_named


@pytest.mark.parametrize(("chain", "is_named"), [(1, False), (137, False), (10, True), (8453, True), (999_999, True)])
def test_check_warns_of_a_fee_that_the_chain_may_take_beside_gas(chain: int, is_named: bool) -> None:
    _, leaves_open = words_of(section(TOKEN.replace("chain = 1\n", f"chain = {chain}\n")))
    assert any("a fee for the data" in words for words in leaves_open) == is_named


def test_check_warns_of_calls_inside_calls_and_of_any_code() -> None:
    carries = f"chain = 1\nto = {USDC}\nfunction = multicall(bytes[] data, bytes4 kind)\nfee <= 1"
    permits, leaves_open = words_of(section(carries))
    assert "args.data.* (calls or packed data that no rule looks into)" in leaves_open
    assert "args.kind (calls or packed data that no rule looks into)" in leaves_open
    assert "how many elements args.data has" in leaves_open
    _, leaves_open = words_of(section(f"{carries}\nargs.data.* = 0x01\ncount(args.data) <= 2\nargs.kind = 0x01020304"))
    assert not any(words.startswith(("args.", "how many elements")) for words in leaves_open)
    permits, leaves_open = words_of(section("chain = 1\nto = none\nfee <= 1"))
    assert permits[0] == "transactions on chain 1 that create contracts, for at most 1 wei of fee"
    assert "data: any code" in leaves_open
    assert leaves_open[-1] == WHEN
    permits, leaves_open = words_of(section(f"chain = 1\nto = none\ncode = 0x{32 * '5a'}\nfee <= 1"))
    assert "with code whose hash is 0x5a5a5a5a…" in permits
    assert not any("code" in words for words in leaves_open)


def test_a_high_end_that_is_open_is_named() -> None:
    _, leaves_open = words_of(section(f"{TOKEN}args.amount >= 5\nvalue >= 1"))
    assert {"how high args.amount may be", "how high value may be", "args.spender"} <= set(leaves_open)


def changed_leaves(parameters: Any, values: Any, path: str) -> Iterator[tuple[str, list[Any], bool]]:
    """Values with one alone changed: its path as conditions write it, and whether it is now the end of its type."""
    for number, (parameter, value) in enumerate(zip(parameters, values)):
        for place, other, is_end in changed(parameter, len(parameter.lengths), value, f"{path}.{parameter.name}"):
            yield place, [*values[:number], other, *values[number + 1 :]], is_end


def changed(parameter: Any, dimensions: int, value: Any, path: str) -> Iterator[tuple[str, Any, bool]]:
    if dimensions:
        for at, element in enumerate(value):
            for place, other, is_end in changed(parameter, dimensions - 1, element, f"{path}.*"):
                yield place, [*value[:at], other, *value[at + 1 :]], is_end
        if not parameter.lengths[dimensions - 1] and value:
            yield path, [*value, value[-1]], True
            yield path, [], False
    elif not isinstance(parameter.base, str):
        yield from changed_leaves(parameter.base, value, path)
    elif "int" in parameter.base:
        bits = int(parameter.base.rpartition("int")[2])
        yield path, 2**bits - 1 if parameter.base[0] == "u" else 2 ** (bits - 1) - 1, True
        yield path, 0 if parameter.base[0] == "u" else -(2 ** (bits - 1)), parameter.base[0] != "u"
    elif parameter.base.startswith("bytes"):
        yield path, bytes(reversed(value)) if value else b"\0", True
    else:
        others: dict[str, Any] = {"bool": value is False, "address": STRANGER, "string": f"{value}x"}
        yield path, others[parameter.base], True


ALLOWED = [row for row in JUDGED if row["verdict"].get("allowed")]
ALLOWED += [
    {"name": str(row), "policy": adapted(READY, "1000", []), "request": row.request, "now": row.now}
    for row in OF_SDKS
    if row.policy == "transactions"
]
ENDS: list[tuple[str, Any, bool]] = [
    ("nonce", 2**64 - 2, True),
    ("nonce", 0, False),
    ("gas", 2**64 - 1, True),
    ("gas", 0, False),
    ("maxFeePerGas", 2**256 - 1, True),
    ("maxPriorityFeePerGas", 0, False),
    ("gasPrice", 2**256 - 1, True),
    ("gasPrice", 0, False),
    ("value", 2**256 - 1, True),
    ("value", 0, False),
    ("to", STRANGER, True),
    ("chainId", 2, True),
    ("data", "0x12345678", True),
    ("data", "0x", True),
    ("accessList", [{"address": STRANGER, "storageKeys": []}], True),
]


@pytest.mark.parametrize("row", ALLOWED, ids=[row["name"] for row in ALLOWED])
def test_what_may_be_changed_alone_is_named(row: dict[str, Any]) -> None:
    """An end of a field that is still allowed is named as open; any other value is named at all."""
    reading = reader.read(row["policy"], "policy")
    transaction = row["request"]["transaction"]
    judge = next(
        judge
        for judge in reading.policy.rules[0].judges["transaction"]
        if judge.judge(transactions.read(row["request"]), row["now"]) is None
    )
    leaves_open = "\n".join(judge.leaves_open())
    said = "\n".join(judge.permits()) + leaves_open

    def check(path: str, other: Any, is_end: bool) -> None:
        if other == transaction:
            return
        try:
            payload = transactions.read({**row["request"], "transaction": other})
        except Refusal:
            return
        if judge.judge(payload, row["now"]) is None:
            assert path in (leaves_open if is_end else said)

    for key, value, is_end in ENDS:
        if key in transaction:
            check(key, {**transaction, key: value}, is_end)
    texts = re.findall("^function *= (.+[)])$", row["policy"], re.MULTILINE)
    for function in map(Function, texts):
        data = bytes.fromhex(transaction["data"][2:])
        types = [parameter.type for parameter in function.parameters]
        values = abi_reference.arguments(types, data[4:]) if data[:4] == function.selector else None
        for path, others, is_end in changed_leaves(function.parameters, list(values or ()), "args"):
            check(path, {**transaction, "data": "0x" + (data[:4] + encode(types, others)).hex()}, is_end)


# What else a section says.
def test_the_code_of_a_contract_is_named_by_its_hash() -> None:
    policy = section(f"chain = 1\nto = none\ncode = 0x{keccak(b'code').hex()} 0x{keccak(b'other').hex()}\nfee <= 0")
    reading = reader.read(policy, "policy")
    for code, verdict in ((b"code", "bot"), (b"other", "bot"), (b"third", ("transaction.data", "not_allowed"))):
        transaction = {**FREE, "to": None, "data": f"0x{code.hex()}"}
        request = {"type": "transaction", "transaction": transaction, "signer": BOT}
        assert judged(reading, request) == verdict


BOT = "0x2c7536e3605d9c16a7a3d7b1898e529396a65c23"
FREE = {"type": 0, "chainId": 1, "nonce": 0, "gasPrice": 0, "gas": 0, "to": OTHER, "value": 0, "data": "0x"}


@pytest.mark.parametrize("condition", ["", "total value(18) <= 5/day", "value(18) / args.amount(6) >= 0"])
def test_only_a_condition_on_the_value_itself_lets_ether_be_sent(condition: str) -> None:
    function = "f(uint256 amount)"
    text = f"chain = 1\nto = {OTHER}\nfunction = {function}\nfee <= 0\n{condition}\n"
    data = "0x" + (keccak(text="f(uint256)")[:4] + encode(["uint256"], [1])).hex()
    request = {"type": "transaction", "transaction": {**FREE, "value": 1, "data": data}, "signer": BOT}
    assert judged(reader.read(section(text), "p"), request) == ("transaction.value", "not_allowed")
    assert judged(reader.read(section(f"{text}value >= 1"), "p"), request) == "bot"


@pytest.mark.parametrize("term", ["total value(18)", "total fee(18)", "total args.amount(6)"])
def test_totals_count_at_signing(term: str) -> None:
    text = f"chain = 1\nto = {OTHER}\nfunction = f(uint256 amount)\nfee(18) <= 1\nvalue(18) <= 1\n{term} <= 1.5/day"
    data = "0x" + (keccak(text="f(uint256)")[:4] + encode(["uint256"], [10**6])).hex()
    transaction = {**FREE, "value": 10**18, "gas": 10**9, "gasPrice": 10**9, "data": data}
    payload = transactions.read({"type": "transaction", "transaction": transaction})
    (rule,) = reader.read(section(text), "p").policy.rules
    ledger = Memory()
    first, again = (rule.judge(payload, 0, ledger) for _ in range(2))
    assert isinstance(first, Permit)
    field = {"value": "value", "fee": "gas", "args": "data.amount"}[term.split()[1].partition("(")[0].partition(".")[0]]
    assert isinstance(again, Objection)
    assert (again.field, again.code) == (f"transaction.{field}", "over_total")


MISTAKES = {
    "transactions = any": "there is no section",
    "fee(18) <= 0.01\nfee(18) <= 1": "twice",
    "fee(18) <= 0.01\ngas(3) <= 1": "whole number",
    "fee(18) <= 0.01\nbits(nonce, 0, 4) = 1": "whole number",
    "fee(18) <= 0.01\ntotal nonce <= 5/day": "whole number",
    "fee(18) / args.amount >= 1": "fee",
    "total fee(18) <= 1/day": "needs a limit",
    "fee(18) <= 0.01\nto2 = 5": "there are chain, to",
    "fee(18) <= 0.01\nchain <= 5": "there are chain, to",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_condition_that_would_limit_nothing_is_a_mistake(text: str) -> None:
    policy = section(f"chain = 1\nto = {OTHER}\nfunction = f(uint256 amount)\nfee <= 1")
    if text.startswith("transactions"):
        policy = policy.replace("transactions = s", text)
    else:
        policy = policy.replace("fee <= 1", text)
    assert MISTAKES[text] in " ".join(reason for _, reason in reader.read(policy, "p").errors)


def test_the_journal_has_the_arguments_that_conditions_name() -> None:
    reading = reader.read(section(f"{TOKEN}args.spender = {RELAYER}\nargs.amount(6) <= 1000"), "p")
    data = "0x" + (keccak(text="approve(address,uint256)")[:4] + encode(["address", "uint256"], [RELAYER, 5])).hex()
    payload = transactions.read({"type": "transaction", "transaction": {**FREE, "to": USDC, "data": data}})
    permit = reading.policy.rules[0].judge(payload, 0, Memory())
    assert isinstance(permit, Permit)
    assert permit.judge.entry(payload) == (
        "s",
        f" with data.spender {RELAYER}, data.amount 5",
        (f"ORDERSIGNER_ARGUMENT=data.spender {RELAYER}", "ORDERSIGNER_ARGUMENT=data.amount 5"),
    )
