"""The policies in docs/venues: each signs what its venue publishes, and refuses whatever breaks a condition."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import eth_account
import pytest
from eth_account.messages import encode_typed_data
from oracles import oracle
from support.daemon import SOURCE, vectors
from support.keys import held
from support.policies import policy_of
from support.typed_data import content_of, named
from support.venues import (
    ADDRESS,
    BY_NAME,
    EXAMPLES,
    KEY,
    NOW,
    ORDER,
    OWN,
    STRANGER,
    WETH,
    Example,
    adapted,
    changed,
)

from ordersigner.payloads import typed_data
from ordersigner.peer import Peer
from ordersigner.policy import reader
from ordersigner.signing.conversation import Conversation, Service
from ordersigner.signing.journal import LEVELS, Journal
from ordersigner.signing.keyring import Keyring

DIRECTORY = SOURCE / "docs/venues"
FILES = sorted(DIRECTORY.iterdir())


def conversation(name: str, key: str = KEY, uid: int = 1001) -> Conversation:
    """That of a user under the policy for a venue, which is for the user 1001."""
    policy = policy_of(adapted((DIRECTORY / f"{name}.policy").read_text(), key, "1001"))
    ring = Keyring({key.address: key for key in [held(key)]})
    shared = Service(Journal(LEVELS["err"], print), ring, policy, wire_keys=False)
    return Conversation(shared, Peer(pid=1, uid=uid, gid=uid))


def ask(asked: Conversation, type: str, key: str = KEY, **members: Any) -> Any:
    """The signature, or the refusal as (field, code)."""
    request = {"type": type, **members, "signer": oracle.signer_address(key)}
    answer = json.loads(asked.respond(json.dumps(request).encode()))
    if answer["ok"]:
        return answer["signature"]
    assert answer["error"]["type"] == "PermissionError"
    ((field, (problem,)),) = answer["error"]["context"].items()
    return field, problem["code"]


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples are of their own time."""
    monkeypatch.setattr("ordersigner.signing.conversation.time", lambda: NOW + 0.5)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.stem))
def test_a_policy_is_read_without_a_complaint_but_that_its_user_does_not_exist(file: Path) -> None:
    reading = reader.read_file(str(file))
    assert list(reading.errors) == []
    ((user,),) = [re.findall("^users = (.+)$", file.read_text(), re.MULTILINE)]
    assert [complaint.reason for complaint in reading.warnings] == [f"there is no user {user}"]
    assert reading.policy.keys == {OWN}


def test_the_page_shows_every_policy() -> None:
    shown = re.findall(r"^\.\. literalinclude:: venues/(.+)$", (SOURCE / "docs/venues.rst").read_text(), re.MULTILINE)
    assert sorted(shown) == [file.name for file in FILES]


def test_every_section_has_an_example() -> None:
    sections = [
        (file.stem, kind) for file in FILES for kind in re.findall("^type = (.+)$", file.read_text(), re.MULTILINE)
    ]
    types = [(example.policy, typed_data.read({"typed_data": example.content}).schema.type) for example in EXAMPLES]
    assert sorted(types) == sorted(sections)
    assert {file.stem for file in FILES} == {name for name, _ in types} | {"hyperliquid", "leverj"}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: str(example.name))
def test_the_venues_own_example_is_signed(example: Example) -> None:
    signature = ask(conversation(example.policy), "typed_data", typed_data=example.content)
    signed = eth_account.Account.sign_message(encode_typed_data(full_message=example.content), KEY)
    assert signature == "0x" + bytes(signed.signature).hex()
    if not example.put_in:
        assert signature == named(example.file, example.name)["signature"]


@pytest.mark.parametrize(
    ("name", "path", "value", "code"),
    [
        ("CoW order, mainnet", "domain.verifyingContract", STRANGER, "not_allowed"),
        ("CoW order, mainnet", "domain.chainId", 100, "not_allowed"),
        ("CoW order, mainnet", "message.receiver", STRANGER, "not_allowed"),
        ("CoW order, mainnet", "message.sellAmount", "1000000000000000001", "over_limit"),
        ("CoW order, mainnet", "message.kind", "buy", "not_allowed"),
        ("CoW OrderCancellations", "domain.chainId", 100, "not_allowed"),
        ("Polymarket order v2 by an EOA", "domain.verifyingContract", STRANGER, "not_allowed"),
        ("Polymarket order v2 by an EOA", "domain.chainId", 80002, "not_allowed"),
        ("Polymarket order v2 by an EOA", "message.maker", STRANGER, "not_allowed"),
        ("Polymarket order v2 by an EOA", "message.makerAmount", 100_000_001, "over_limit"),
        ("Polymarket order v2 by an EOA", "message.tokenId", 1235, "not_allowed"),
        ("Polymarket order v2 by an EOA", "message.side", 1, "not_allowed"),
        ("Polymarket ClobAuth (login)", "message.message", "I give it all away", "not_allowed"),
        ("Permit2 PermitSingle", "domain.verifyingContract", STRANGER, "not_allowed"),
        ("Permit2 PermitSingle", "domain.chainId", 10, "not_allowed"),
        ("Permit2 PermitSingle", "message.spender", STRANGER, "not_allowed"),
        ("Permit2 PermitSingle", "message.details.amount", 2**160 - 1, "over_limit"),
        ("Permit2 PermitSingle", "message.details.expiration", 2**48 - 1, "over_limit"),
        ("Permit2 PermitTransferFrom", "message.permitted.token", WETH, "not_allowed"),
        (
            "Permit2 PermitWitnessTransferFrom, UniswapX V2DutchOrder",
            "message.witness.baseOutputs[0].recipient",
            STRANGER,
            "not_allowed",
        ),
        ("Seaport 1.6 OrderComponents", "domain.verifyingContract", STRANGER, "not_allowed"),
        ("Seaport 1.6 OrderComponents", "domain.chainId", 137, "not_allowed"),
        ("Seaport 1.6 OrderComponents", "message.consideration[1].recipient", STRANGER, "not_allowed"),
        ("Seaport 1.6 OrderComponents", "message.consideration[0].startAmount", "1", "over_limit"),
        ("Seaport 1.6 OrderComponents", "message.offer[0].itemType", 4, "not_allowed"),
        ("0x v4 LimitOrder, signed", "domain.verifyingContract", STRANGER, "not_allowed"),
        ("0x v4 LimitOrder, signed", "domain.chainId", 8008, "not_allowed"),
        ("0x v4 LimitOrder, signed", "message.maker", STRANGER, "not_allowed"),
        ("0x v4 LimitOrder, signed", "message.makerAmount", 10**18 + 1, "over_limit"),
        ("0x v4 LimitOrder, signed", "message.salt", 2**256 - 1, "over_limit"),
        ("0x v4 RfqOrder, signed", "message.salt", 2**256 - 1, "over_limit"),
        ("0x v4 RfqOrder, signed", "message.txOrigin", STRANGER, "not_allowed"),
        ("1inch limit order v4, live on mainnet", "domain.verifyingContract", STRANGER, "not_allowed"),
        ("1inch limit order v4, live on mainnet", "domain.chainId", 56, "not_allowed"),
        ("1inch limit order v4, live on mainnet", "message.receiver", STRANGER, "not_allowed"),
        ("1inch limit order v4, live on mainnet", "message.makingAmount", "100000001", "over_limit"),
        ("1inch limit order v4, live on mainnet", "message.makerTraits", hex(0b100111 << 249), "over_limit"),
    ],
)
def test_what_an_operator_does_not_want_is_refused(name: str, path: str, value: Any, code: str) -> None:
    example = BY_NAME[name]
    content = changed(example.content, path, value)
    assert ask(conversation(example.policy), "typed_data", typed_data=content) == (f"typed_data.{path}", code)


def conditions(example: Example) -> list[tuple[str, str, str]]:
    """Those of the section for an example: path, operator and value."""
    text = (DIRECTORY / f"{example.policy}.policy").read_text().replace(OWN, ADDRESS)
    kind = typed_data.read({"typed_data": example.content}).schema.type
    section = next(section for section in text.split("\n[") if f"\ntype = {kind}\n" in section)
    return re.findall(r"^((?:domain|message)\.\S+) (=|<=|>=|within) (.+)$", section, re.MULTILINE)


BROKEN: dict[str, list[Any]] = {  # values that no condition with "=" allows, by type
    "address": [STRANGER],
    "bool": [True],
    "bytes": ["0x00"],
    "bytes32": ["0x" + 32 * "9a"],
    "string": ["", "other"],
}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: str(example.name))
def test_every_condition_refuses_what_breaks_it(example: Example) -> None:
    content = example.content
    schema = typed_data.read({"typed_data": content}).schema
    asked = conversation(example.policy)
    found = conditions(example)
    assert len(found) >= 3
    for path, operator, text in found:
        if operator == "=":
            values, code = BROKEN.get(schema.path(path).type, [99]), "not_allowed"
        else:
            number, code = int(text, 0), "over_limit"
            values = {
                "<=": [number * 2 + 1],
                ">=": [number // 3],
                "within": [0, NOW - 1, NOW + number + 1],
            }[operator]
        place = path.replace(".*", "[0]")
        for value in values:
            refused = ask(asked, "typed_data", typed_data=changed(content, place, value))
            assert refused == (f"typed_data.{place}", code), (path, operator, value)


def test_the_bare_agent_of_an_action_is_refused() -> None:
    asked = conversation("hyperliquid", ORDER["private_key"])
    refused = ask(asked, "typed_data", ORDER["private_key"], typed_data=content_of(ORDER))
    assert refused == ("type", "not_allowed")


def hyperliquid(order: dict[str, Any] | None = None, **members: Any) -> Any:
    """The answer to the published order, with changes to the order and to the request."""
    action = copy.deepcopy(ORDER["hyperliquid"]["action"])
    action["orders"][0].update(order or {})
    members = {"action": action, "nonce": ORDER["hyperliquid"]["nonce"], "network": "mainnet", **members}
    return ask(conversation("hyperliquid", ORDER["private_key"]), "hyperliquid", ORDER["private_key"], **members)


def test_hyperliquids_own_example_is_signed() -> None:
    assert hyperliquid() == ORDER["signature"]
    assert hyperliquid(action={"type": "cancel", "cancels": [{"a": 1, "o": 5}]}).startswith("0x")
    assert hyperliquid(action={"type": "cancelByCloid", "cancels": [{"asset": 1, "cloid": "0x01"}]}).startswith("0x")


@pytest.mark.parametrize(
    ("order", "members", "field", "code"),
    [
        ({"a": 2}, {}, "action.orders[0].a", "not_allowed"),
        ({"s": "100.1"}, {}, "action.orders[0].s", "over_limit"),
        ({"p": "110.5"}, {}, "action.orders[0].p", "over_limit"),
        ({"p": "89.99"}, {}, "action.orders[0].p", "over_limit"),
        ({"x": 1}, {}, "action.orders[0].x", "not_allowed"),
        ({}, {"network": "testnet"}, "network", "not_allowed"),
        ({}, {"action": {"type": "cancel", "cancels": [{"a": 2, "o": 5}]}}, "action.cancels[0].a", "not_allowed"),
        ({}, {"action": {"type": "scheduleCancel"}}, "action.type", "not_allowed"),
        (
            {},
            {"action": {"type": "withdraw3", "amount": "1", "destination": STRANGER}},
            "action.type",
            "not_allowed",
        ),
    ],
)
def test_another_action_of_hyperliquid_is_refused(
    order: dict[str, Any], members: dict[str, Any], field: str, code: str
) -> None:
    assert hyperliquid(order, **members) == (field, code)


(LOGIN,) = (row for row in vectors("typed-data/personal") if row["name"] == "Leverj login: the nonce header")


def leverj(**members: str) -> Any:
    return ask(conversation("leverj", LOGIN["private_key"]), "message", LOGIN["private_key"], **members)


def test_leverjs_login_is_signed() -> None:
    assert leverj(text=LOGIN["text"]) == LOGIN["signature"]
    assert leverj(hex=LOGIN["message_hex"]) == LOGIN["signature"]


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"text": "155079137464"}, "not_allowed"),
        ({"text": "15507913746420"}, "not_allowed"),
        ({"text": "1550791374642\n"}, "not_allowed"),
        ({"text": "I give it all away"}, "not_allowed"),
        ({"hex": "0xff"}, "not_allowed"),
        ({"text": 64 * "1"}, "ambiguous"),
        ({"hex": "0x" + 32 * "31"}, "ambiguous"),
    ],
)
def test_another_message_is_refused(members: dict[str, str], code: str) -> None:
    assert leverj(**members) == (*members, code)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: str(example.name))
def test_another_user_is_refused(example: Example) -> None:
    asked = conversation(example.policy, uid=1002)
    assert ask(asked, "typed_data", typed_data=example.content) == ("signer", "unknown_signer")
