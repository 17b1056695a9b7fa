"""The policies in docs/venues: each allows the requests of its venue's own SDK, and refuses unwanted ones."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from support.daemon import SOURCE
from support.keys import held
from support.policies import policy_of
from support.typed_data import content_of, named
from support.venues import ADDRESS, KEY, ROWS, STRANGER, Row, adapted, changed, moved, row_of, signature_of

from ordersigner.peer import Peer
from ordersigner.policy import reader
from ordersigner.signing.conversation import Conversation, Service
from ordersigner.signing.journal import LEVELS, Journal
from ordersigner.signing.keyring import Keyring

DIRECTORY = SOURCE / "docs/venues"
FILES = sorted(DIRECTORY.iterdir())
USER = 1001
ONE_TOKEN = 10**18


class Asked:
    """A user at a daemon with the policy for a row, and with its journal."""

    def __init__(self, row: Row, uid: int = USER) -> None:
        text = (DIRECTORY / f"{row.policy}.policy").read_text()
        policy = policy_of(adapted(text, str(USER), [row]))
        self.entries: list[dict[str, str]] = []
        journal = Journal(LEVELS["info"], lambda entry, wait: self.entries.append(dict(f.split("=", 1) for f in entry)))
        ring = Keyring({key.address: key for key in [held(KEY)]})
        self._conversation = Conversation(
            Service(journal, ring, policy, wire_keys=False), Peer(pid=1, uid=uid, gid=uid)
        )

    def ask(self, request: dict[str, Any]) -> Any:
        """The signature, or the refusal as (field, code)."""
        answer = json.loads(self._conversation.respond(json.dumps(request).encode()))
        if answer["ok"]:
            return answer["signature"]
        assert answer["error"]["type"] == "PermissionError"
        ((field, (problem,)),) = answer["error"]["context"].items()
        return field, problem["code"]


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The requests are all of one time."""
    (now,) = {row.now for row in ROWS}
    monkeypatch.setattr("ordersigner.signing.conversation.time", lambda: now + 0.5)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.stem))
def test_a_policy_is_read_without_a_complaint_but_that_its_user_does_not_exist(file: Path) -> None:
    reading = reader.read_file(str(file))
    assert list(reading.errors) == []
    users = re.findall("^users = (.+)$", file.read_text(), re.MULTILINE)
    assert [complaint.reason for complaint in reading.warnings] == [f"there is no user {user}" for user in users]
    assert len(set(users)) == len(reading.policy.keys) == 1


def test_the_page_shows_every_policy_and_lists_the_sdks_that_it_was_checked_with() -> None:
    page = (SOURCE / "docs/policies/venues.rst").read_text()
    shown = dict(re.findall(r"^(.+)\n-+\n\n(?:[^.\n].*\n\n?)*\.\. venue:: (.+)$", page, re.MULTILINE))
    assert sorted(shown.values()) == sorted(file.stem for file in FILES)
    rows = re.findall(r"^   \* - `(.+)`_\n     - .+\n     - (.+)$", page, re.MULTILINE)
    assert [name for name, _ in rows] == list(shown)
    recorded: dict[str, set[str]] = {file.stem: set() for file in FILES}
    for row in ROWS:
        sdk = re.match(r"(\S+ [0-9.]+), ", row.source)
        recorded[row.policy] |= {sdk[1]} if sdk else set()
    checked = {shown[name]: set(re.findall(r"``(.+?)``( [0-9.]*[0-9])", sdks)) for name, sdks in rows}
    assert {policy: {"".join(sdk) for sdk in sdks} for policy, sdks in checked.items()} == recorded


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.stem))
def test_a_policy_begins_with_what_to_put_in_and_what_a_program_that_was_taken_over_can_still_do(file: Path) -> None:
    head = file.read_text().partition("\n\n")[0]
    what, put_in, risk = (" ".join(part.replace("\n#", "").split()) for part in head[2:].split("\n#\n# "))
    assert what.endswith(".")
    assert put_in.startswith("Replace ")
    assert re.match("What a program that was taken over can still do: [a-z].+", risk)
    assert [line for line in file.read_text().splitlines() if line.startswith("#") and len(line) > 120] == []


def test_every_section_and_every_market_has_a_request_of_an_sdk() -> None:
    named = re.compile(r"^\[(?!rule )\w+ (.+)\]$", re.MULTILINE)
    sections = {(file.stem, name) for file in FILES for name in named.findall(file.read_text())}
    assert {(row.policy, row.section) for row in ROWS} == sections


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_what_the_venues_sdk_makes_is_signed_as_the_sdk_signs_it(row: Row) -> None:
    asked = Asked(row)
    assert asked.ask(row.request) == row.signature == signature_of(row.request)
    (entry,) = asked.entries
    assert entry["ORDERSIGNER_SECTION"] == row.section


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_another_user_is_refused(row: Row) -> None:
    assert Asked(row, USER + 1).ask(row.request) == ("signer", "unknown_signer")


TIMELESS = {"cow-cancel", "lighter-key", "aster-order"}  # their sections say so, or cannot limit the time
# A transaction does not expire. Only the arguments of these can have a time.
TIMELESS |= {row.section for row in ROWS if row.policy == "transactions"} - {"uniswap-buy", "permit2-approve"}


@pytest.mark.parametrize("row", [row for row in ROWS if row.section not in TIMELESS], ids=str)
@pytest.mark.parametrize("seconds", [-366 * 86400, 366 * 86400], ids=["last year", "next year"])
def test_what_was_made_last_year_or_is_for_next_year_is_refused(row: Row, seconds: int) -> None:
    policy = (DIRECTORY / f"{row.policy}.policy").read_text()
    later = moved(row, policy, seconds)
    assert later != row.request
    _, code = Asked(row).ask(later)
    assert code == "over_limit"


HUGE = 2**256 - 1
TYPED: list[tuple[str, str, Any, str]] = [  # section, path, value, code
    ("cow-sell", "domain.verifyingContract", STRANGER, "not_allowed"),
    ("cow-sell", "domain.chainId", 100, "not_allowed"),
    ("cow-sell", "message.receiver", STRANGER, "not_allowed"),
    ("cow-sell", "message.sellAmount", str(ONE_TOKEN + 1), "over_limit"),
    ("cow-sell", "message.buyAmount", "1474999999", "over_limit"),  # half a token at a lower price
    ("cow-sell", "message.kind", "buy", "not_allowed"),
    ("cow-sell", "message.appData", "0x" + 64 * "9", "not_allowed"),
    ("cow-cancel", "domain.chainId", 100, "not_allowed"),
    ("polymarket-buy", "message.maker", STRANGER, "not_allowed"),
    ("polymarket-buy", "message.makerAmount", "25000001", "over_limit"),
    ("polymarket-buy", "message.tokenId", 1235, "not_allowed"),
    ("polymarket-sell", "message.takerAmount", "19999999", "over_limit"),
    ("polymarket-wallet-buy", "message.maker", STRANGER, "not_allowed"),
    ("polymarket-deposit-buy", "message.verifyingContract", STRANGER, "not_allowed"),
    ("polymarket-deposit-buy", "message.contents.maker", STRANGER, "not_allowed"),
    ("polymarket-login", "message.message", "I give it all away", "not_allowed"),
    ("polymarket-login", "message.timestamp", "now", "not_allowed"),
    ("permit2-allowance", "message.spender", STRANGER, "not_allowed"),
    ("permit2-allowance", "message.details.amount", str(2**160 - 1), "over_limit"),
    ("permit2-allowance", "message.details.expiration", 2**48 - 1, "over_limit"),
    ("permit2-transfer", "message.permitted.token", STRANGER, "not_allowed"),
    ("permit2-transfer", "message.permitted.amount", "1000000001", "over_limit"),
    ("uniswapx", "message.witness.baseOutputs[0].recipient", STRANGER, "not_allowed"),
    ("seaport-sell", "message.offer[0].token", STRANGER, "not_allowed"),
    ("seaport-sell", "message.offer[0].itemType", 4, "not_allowed"),
    ("seaport-sell", "message.consideration[0].endAmount", "249999999999999999", "over_limit"),
    ("seaport-sell", "message.consideration[1].recipient", STRANGER, "not_allowed"),
    ("0x-limit", "message.maker", STRANGER, "not_allowed"),
    ("0x-limit", "message.makerAmount", str(ONE_TOKEN + 1), "over_limit"),
    ("0x-limit", "message.takerAmount", "1474999999", "over_limit"),
    ("0x-limit", "message.salt", str(HUGE), "over_limit"),
    ("0x-rfq", "message.txOrigin", STRANGER, "not_allowed"),
    ("0x-otc", "message.txOrigin", STRANGER, "not_allowed"),
    ("1inch-sell", "message.receiver", STRANGER, "not_allowed"),
    ("1inch-sell", "message.makingAmount", "100000001", "over_limit"),
    ("1inch-sell", "message.takingAmount", "98999999999999999999", "over_limit"),
    ("x402", "message.to", STRANGER, "not_allowed"),
    ("x402", "message.value", 100_001, "over_limit"),
    ("grvt-order", "message.legs[0].contractSize", 500_000_001, "over_limit"),
    ("grvt-order", "message.legs[0].limitPrice", 80_000 * 10**9 + 1, "over_limit"),
    ("grvt-order", "message.isMarket", True, "not_allowed"),
    ("grvt-login", "message.signer", STRANGER, "not_allowed"),
    ("aevo-order", "message.limitPrice", str(HUGE), "over_limit"),  # a market order
    ("aevo-order", "message.instrument", 2, "not_allowed"),
    ("derive-order", "message.module", STRANGER, "not_allowed"),  # a withdrawal
    ("derive-order", "message.data", "0x", "not_allowed"),
    ("derive-order", "message.subaccountId", 30770, "not_allowed"),
    ("nado-order", "message.amount", str(-ONE_TOKEN - 1), "over_limit"),
    ("nado-order", "message.amount", str(ONE_TOKEN + 1), "over_limit"),
    ("nado-order", "domain.verifyingContract", "0x" + 39 * "0" + "3", "not_allowed"),  # another product
    ("nado-cancel", "message.sender", "0x" + 64 * "9", "not_allowed"),
    ("orderly-key", "message.orderlyKey", "ed25519:9tm7dnKYkSc3FzgPuJaw1wztr79eeZpN35nHW5pL5XhX", "not_allowed"),
    ("orderly-key", "message.scope", "read,trading,asset", "not_allowed"),
    ("orderly-withdraw", "message.receiver", STRANGER, "not_allowed"),
    ("orderly-withdraw", "message.amount", 1_000_000_001, "over_limit"),
    ("hl-usd-send", "message.destination", STRANGER, "not_allowed"),
    ("hl-usd-send", "message.amount", "100.1", "over_limit"),
    ("hl-withdraw", "message.destination", STRANGER, "not_allowed"),
    ("hl-class-transfer", "message.amount", f"10 subaccount:{STRANGER}", "not_allowed"),
    ("hl-send-asset", "message.fromSubAccount", STRANGER, "not_allowed"),
    ("hl-agent", "message.agentAddress", STRANGER, "not_allowed"),
    ("hl-builder", "message.maxFeeRate", "1%", "not_allowed"),
]


@pytest.mark.parametrize(("section", "path", "value", "code"), TYPED)
def test_what_an_operator_does_not_want_is_refused(section: str, path: str, value: Any, code: str) -> None:
    row = row_of(section)
    data = changed(row.request["typed_data"], path, value)
    assert Asked(row).ask({**row.request, "typed_data": data}) == (f"typed_data.{path}", code)


def test_fifty_tokens_for_one_fee_are_refused() -> None:
    row = row_of("seaport-sell")
    data = row.request["typed_data"]
    many = changed(data, "message.offer", 50 * data["message"]["offer"])
    assert Asked(row).ask({**row.request, "typed_data": many})[0] == "typed_data.message.offer"
    fee = changed(data, "message.consideration", data["message"]["consideration"][1:])
    assert Asked(row).ask({**row.request, "typed_data": fee})[0].startswith("typed_data.message.consideration")


def test_another_element_of_a_list_that_pays_somebody_else_is_refused() -> None:
    row = row_of("uniswapx")
    data = row.request["typed_data"]
    outputs = data["message"]["witness"]["baseOutputs"]
    more = changed(data, "message.witness.baseOutputs", [*outputs, {**outputs[0], "recipient": STRANGER}])
    refused = Asked(row).ask({**row.request, "typed_data": more})
    assert refused == ("typed_data.message.witness.baseOutputs[1].recipient", "not_allowed")


def packed(value: str, first: int, size: int, part: int) -> str:
    """An integer with another value in some of its bits."""
    mask = (2**size - 1) << first
    return str(int(value) & ~mask | part << first)


@pytest.mark.parametrize(
    ("section", "path", "first", "size", "part", "code"),
    [
        ("1inch-sell", "message.makerTraits", 249, 1, 1, "not_allowed"),  # an extension
        ("1inch-sell", "message.makerTraits", 80, 40, 0, "over_limit"),  # no end
        ("1inch-sell", "message.makerTraits", 120, 40, 1, "not_allowed"),  # a later epoch
        ("0x-otc", "message.expiryAndNonce", 192, 64, 2**64 - 1, "over_limit"),
        ("0x-otc", "message.expiryAndNonce", 128, 64, 1, "not_allowed"),
        ("nado-order", "message.appendix", 48, 16, 4500, "not_allowed"),  # a builder
        ("nado-order", "message.appendix", 12, 2, 1, "not_allowed"),  # a trigger
    ],
)
def test_what_an_operator_does_not_want_is_refused_inside_of_packed_bits(
    section: str, path: str, first: int, size: int, part: int, code: str
) -> None:
    row = row_of(section)
    data = row.request["typed_data"]
    before = data["message"][path.partition(".")[2]]
    assert Asked(row).ask({**row.request, "typed_data": changed(data, path, packed(before, first, size, part))}) == (
        f"typed_data.{path}",
        code,
    )


@pytest.mark.parametrize(
    ("word", "value"), [(0, 5), (2, 3501 * ONE_TOKEN), (3, -(10**18) % 2**256), (4, 11 * ONE_TOKEN), (5, 30770)]
)
def test_a_word_of_derives_data_that_an_operator_does_not_want_is_refused(word: int, value: int) -> None:
    row = row_of("derive-order")
    data = row.request["typed_data"]["message"]["data"]
    start = 2 + 64 * word
    other = data[:start] + f"{value:064x}" + data[start + 64 :]
    refused, _ = Asked(row).ask(
        {**row.request, "typed_data": changed(row.request["typed_data"], "message.data", other)}
    )
    assert refused == "typed_data.message.data"


@pytest.mark.parametrize(
    ("given", "put_in"),
    [
        ("quantity=9.5", "quantity=99.5"),
        ("quantity=9.5", "quantity=9999"),
        ("symbol=ASTERUSDT", "symbol=BTCUSDT"),
        ("timeInForce=GTC", "timeInForce=GTC&builder=0x1F5877C19e3777Cfd15F9d57253eA4aA5254Ec39&feeRate=0.001"),
        ("type=LIMIT", "type=MARKET"),
    ],
)
def test_another_text_of_aster_is_refused(given: str, put_in: str) -> None:
    row = row_of("aster-order")
    text = row.request["typed_data"]["message"]["msg"]
    assert given in text
    data = changed(row.request["typed_data"], "message.msg", text.replace(given, put_in))
    assert Asked(row).ask({**row.request, "typed_data": data}) == ("typed_data.message.msg", "not_allowed")


ACTIONS: list[tuple[str, str, dict[str, Any], str, str]] = [  # section, source, changes by path, field, code
    ("perps", ", order", {"orders[0].a": 2}, "action.orders[0].a", "not_allowed"),
    ("perps", ", order", {"orders[0].s": "100.1"}, "action.orders[0].s", "over_limit"),
    ("perps", ", order", {"orders[0].p": "110.5"}, "action.orders[0].p", "over_limit"),
    ("perps", ", order", {"orders[0].p": "89.99"}, "action.orders[0].p", "over_limit"),
    (
        "perps",
        ", order",
        {"orders[0].t": {"limit": {"tif": "FrontendMarket"}}},
        "action.orders[0].t.limit.tif",
        "not_allowed",
    ),
    ("perps", ", order", {"grouping": {"p": 1}}, "action.grouping", "not_allowed"),
    ("perps", ", modify_order", {"modifies[0].order.s": "100.1"}, "action.modifies[0].order.s", "over_limit"),
    ("perps", ", cancel", {"cancels[0].a": 2}, "action.cancels[0].a", "not_allowed"),
    ("leverage", "update_leverage", {"leverage": 4}, "action.leverage", "over_limit"),
    ("leverage", "update_leverage", {"isCross": True}, "action.isCross", "not_allowed"),
    ("leverage", "update_isolated_margin", {"ntli": 500_000_001}, "action.ntli", "over_limit"),
    ("leverage", "update_isolated_margin", {"ntli": -1}, "action.ntli", "over_limit"),
]


@pytest.mark.parametrize(("section", "source", "changes", "field", "code"), ACTIONS)
def test_another_action_of_hyperliquid_is_refused(
    section: str, source: str, changes: dict[str, Any], field: str, code: str
) -> None:
    row = row_of(section, source)
    action = row.request["action"]
    for path, value in changes.items():
        action = changed(action, path, value)
    assert Asked(row).ask({**row.request, "action": action}) == (field, code)


@pytest.mark.parametrize(
    ("members", "field", "code"),
    [
        ({"network": "testnet"}, "network", "not_allowed"),
        ({"vaultAddress": STRANGER}, "vaultAddress", "not_allowed"),
        ({"action": {"type": "withdraw3", "amount": "1", "destination": STRANGER}}, "action.type", "not_allowed"),
        (
            {"action": {"type": "vaultTransfer", "vaultAddress": STRANGER, "isDeposit": True, "usd": 1}},
            "action.type",
            "not_allowed",
        ),
    ],
)
def test_an_action_for_another_network_or_account_or_of_another_type_is_refused(
    members: dict[str, Any], field: str, code: str
) -> None:
    row = row_of("perps", ", cancel")
    assert Asked(row).ask({**row.request, **members}) == (field, code)


def test_a_dead_mans_switch_that_is_never_set_off_is_refused() -> None:
    row = row_of("switch")
    assert Asked(row).ask({**row.request, "action": {"type": "scheduleCancel"}}) == ("action.time", "not_allowed")


def test_the_bare_agent_of_an_action_is_refused() -> None:
    row = row_of("perps")
    agent = content_of(named("exchanges", "Hyperliquid L1: limit order, mainnet"))
    assert Asked(row).ask({"type": "typed_data", "typed_data": agent, "signer": ADDRESS}) == ("type", "not_allowed")


@pytest.mark.parametrize(
    ("section", "changes", "field", "code"),
    [
        ("LEV/ETH", {"price": 0.000251}, "order.price", "over_limit"),
        ("LEV/ETH", {"quantity": 20001}, "order.quantity", "over_limit"),
        ("LEV/ETH", {"accountId": STRANGER}, "order.accountId", "not_allowed"),
        ("BTC/DAI", {"quantity": 1.01}, "order.quantity", "over_limit"),
        ("BTC/DAI", {"marginPerFraction": str(9380 * 10**18 // 6)}, "order.marginPerFraction", "over_limit"),
    ],
)
def test_another_order_of_leverj_is_refused(section: str, changes: dict[str, Any], field: str, code: str) -> None:
    row = row_of(section)
    assert Asked(row).ask({**row.request, "order": {**row.request["order"], **changes}}) == (field, code)


@pytest.mark.parametrize("section", ["leverj-login", "derive-login", "lighter-key"])
@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"text": "I give it all away"}, "not_allowed"),
        ({"text": "1800000000000\n"}, "not_allowed"),
        ({"hex": "0xff"}, "not_allowed"),
        ({"text": 64 * "1"}, "ambiguous"),
        ({"hex": "0x" + 32 * "31"}, "ambiguous"),
    ],
)
def test_another_message_is_refused(section: str, members: dict[str, str], code: str) -> None:
    request = {"type": "message", "signer": ADDRESS, **members}
    assert Asked(row_of(section)).ask(request) == (*members, code)


TOTALS = [
    ("cow-sell", "message.sellAmount"),
    ("hl-usd-send", "message.amount"),
    ("LEV/ETH", "order.quantity"),
    ("perps", "action.orders"),
]


@pytest.mark.parametrize(("section", "field"), TOTALS)
def test_the_days_total_ends_what_a_program_can_do(section: str, field: str) -> None:
    row = row_of(section)
    asked = Asked(row)
    for _ in range(1000):
        answer = asked.ask(row.request)
        if answer != row.signature:
            break
    prefix = "typed_data." if field.startswith("message.") else ""
    assert answer == (prefix + field, "over_total")
    assert len(asked.entries) > 4
