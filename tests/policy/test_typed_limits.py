"""The sections on typed data: types and domains as a whole, conditions on fields, and open fields."""

from __future__ import annotations

import copy
import sys
from typing import Any

import pytest
from support.policies import problems_of, section_of
from support.typed_data import COW, REAL, SEAPORT, content_of, edge, fields, named

from ordersigner.payloads import typed_data
from ordersigner.policy.rules import Objection
from ordersigner.policy.typed_limits import AnyTypedData, TypedLimits

NOW = 1_700_000_000.5
COW_TYPE = (
    "Order(address sellToken,address buyToken,address receiver,uint256 sellAmount,uint256 buyAmount,uint32 validTo,"
    "bytes32 appData,uint256 feeAmount,string kind,bool partiallyFillable,string sellTokenBalance,"
    "string buyTokenBalance)"
)
COW_DOMAIN = """
    domain.name = Gnosis Protocol
    domain.version = v2
    domain.chainId = 1
    domain.verifyingContract = 0x9008D19f58AAbD9eD0D60971565AA8510560ab41
"""


def limits_of(type: str, conditions: str) -> TypedLimits:
    return TypedLimits(section_of("typed", f"type = {type}\n{conditions}"))


def cow(text: str = "") -> TypedLimits:
    return limits_of(COW_TYPE, COW_DOMAIN + text)


def pinned(content: Any, text: str = "") -> TypedLimits:
    """The section for the type and the domain of some data."""
    schema = typed_data.read({"typed_data": content}).schema
    lines = [f"domain = {schema.domain_type}", *(f"domain.{key} = {value}" for key, value in content["domain"].items())]
    return limits_of(schema.type, "\n".join([*lines, text]))


def judged(limits: TypedLimits | AnyTypedData, content: Any, now: float = NOW) -> Objection | None:
    return limits.judge(typed_data.read({"typed_data": content}), now)


def denied(limits: TypedLimits | AnyTypedData, content: Any, now: float = NOW) -> tuple[str, str] | None:
    """The field and the code of the objection."""
    found = judged(limits, content, now)
    return found and (found.field, found.code)


def problems(type: str, text: str) -> dict[str, str]:
    return problems_of(section_of("typed", f"type = {type}\n{text}"), TypedLimits)


def with_message(content: Any, **values: Any) -> Any:
    return {**content, "message": {**content["message"], **values}}


def with_domain(content: Any, **values: Any) -> Any:
    return {**content, "domain": {**content["domain"], **values}}


# Types and domains.
def test_data_of_the_type_and_the_domain_is_allowed() -> None:
    assert judged(cow(), COW) is None


@pytest.mark.parametrize("content", REAL, ids=lambda content: str(content["primaryType"]))
def test_each_real_type_has_a_section_that_allows_it_and_no_other(content: Any) -> None:
    limits = pinned(content)
    assert judged(limits, content) is None
    if content["types"] != COW["types"]:
        assert denied(limits, COW) == ("typed_data.primaryType", "not_allowed")


def test_the_name_of_a_type_is_not_enough() -> None:
    other = named("exchanges", "Polymarket order, CTF exchange v1")
    assert other["primaryType"] == COW["primaryType"] == "Order"
    assert denied(cow(), content_of(other)) == ("typed_data.primaryType", "not_allowed")


def test_a_type_with_one_field_more_is_another_type() -> None:
    content = copy.deepcopy(with_message(COW, more=1))
    content["types"]["Order"].append({"name": "more", "type": "uint256"})
    assert denied(cow(), content) == ("typed_data.primaryType", "not_allowed")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "Gnosis protocol"),
        ("version", "v1"),
        ("chainId", 5),
        ("verifyingContract", "0x" + "00" * 20),
    ],
)
def test_another_domain_is_refused(key: str, value: Any) -> None:
    assert denied(cow(), with_domain(COW, **{key: value})) == (f"typed_data.domain.{key}", "not_allowed")


def test_a_field_that_the_domain_has_in_addition_is_refused() -> None:
    content = copy.deepcopy(with_domain(COW, salt="0x" + "00" * 32))
    content["types"]["EIP712Domain"].append({"name": "salt", "type": "bytes32"})
    assert denied(cow(), content) == ("typed_data.domain.salt", "not_allowed")


def test_a_field_that_the_domain_lacks_is_refused() -> None:
    content = copy.deepcopy(COW)
    del content["domain"]["chainId"]
    content["types"]["EIP712Domain"] = [
        field for field in content["types"]["EIP712Domain"] if field["name"] != "chainId"
    ]
    assert denied(cow(), content) == ("typed_data.domain.chainId", "not_allowed")


@pytest.mark.parametrize(
    "declared",
    [
        fields("string name", "string version", "uint64 chainId", "address verifyingContract"),
        fields("string version", "string name", "uint256 chainId", "address verifyingContract"),
    ],
)
def test_a_domain_of_another_type_is_refused_unless_the_section_gives_it(declared: list[dict[str, str]]) -> None:
    content = {**COW, "types": {**COW["types"], "EIP712Domain": declared}}
    assert denied(cow(), content) == ("typed_data.types.EIP712Domain", "not_allowed")
    domain_type = typed_data.read({"typed_data": content}).schema.domain_type
    assert judged(cow(f"domain = {domain_type}"), content) is None


def test_a_domain_may_have_one_of_several_values() -> None:
    limits = limits_of(COW_TYPE, COW_DOMAIN.replace("chainId = 1", "chainId = 1 100"))
    assert judged(limits, with_domain(COW, chainId="0x64")) is None
    assert denied(limits, with_domain(COW, chainId=10)) == ("typed_data.domain.chainId", "not_allowed")


# Conditions.
@pytest.mark.parametrize(
    ("text", "changes", "field", "code"),
    [
        ("message.receiver = 0x70997970c51812dc3a010c7d01b50e0d17dc79c8", {}, None, None),
        ("message.receiver = 70997970C51812dc3A010C7d01b50e0d17dc79C8", {}, None, None),
        ("message.receiver = 0x" + "11" * 20, {}, "receiver", "not_allowed"),
        (f"message.receiver = 0x{'11' * 20} 0x{'12' * 20}", {"receiver": "0x" + "12" * 20}, None, None),
        ("message.kind = sell", {}, None, None),
        ("message.kind = sell", {"kind": "buy"}, "kind", "not_allowed"),
        ("message.kind = sell buy", {"kind": "buy"}, "kind", "not_allowed"),  # a string is the rest of the line
        ("message.kind = sell buy", {"kind": "sell buy"}, None, None),
        ("message.partiallyFillable = false", {}, None, None),
        ("message.partiallyFillable = false", {"partiallyFillable": True}, "partiallyFillable", "not_allowed"),
        ("message.sellAmount <= 1000000000000000000", {}, None, None),
        ("message.sellAmount <= 999999999999999999", {}, "sellAmount", "over_limit"),
        ("message.sellAmount <= 9007199254740992", {"sellAmount": "9007199254740993"}, "sellAmount", "over_limit"),
        ("message.sellAmount <= 255", {"sellAmount": "0xff"}, None, None),
        ("message.sellAmount <= 255", {"sellAmount": "0x100"}, "sellAmount", "over_limit"),
        ("message.buyAmount >= 3000000000", {}, None, None),
        ("message.buyAmount >= 3000000001", {}, "buyAmount", "over_limit"),
        ("message.feeAmount = 0", {"feeAmount": "0x00"}, None, None),
        ("message.feeAmount = 0", {"feeAmount": 1}, "feeAmount", "not_allowed"),
        ("message.validTo within 3600", {"validTo": 1_700_003_600}, None, None),
        ("message.validTo within 3600", {"validTo": 1_700_003_601}, "validTo", "over_limit"),
        ("message.validTo within 3600", {"validTo": 1_700_000_000}, None, None),
        ("message.validTo within 3600", {"validTo": 1_699_999_999}, "validTo", "over_limit"),
        ("message.validTo within 3600", {"validTo": 0}, "validTo", "over_limit"),
        ("message.appData = 0x" + "11" * 32, {}, None, None),
        ("message.appData = 0x" + "22" * 32, {}, "appData", "not_allowed"),
    ],
)
def test_a_condition_on_a_field(text: str, changes: dict[str, Any], field: str | None, code: str | None) -> None:
    expected = (f"typed_data.message.{field}", code) if field else None
    assert denied(cow(text), with_message(COW, **changes)) == expected


def test_all_conditions_must_hold() -> None:
    limits = cow("message.sellAmount >= 10\nmessage.sellAmount <= 20\nmessage.kind = sell")
    for amount, allowed in ((9, False), (10, True), (20, True), (21, False)):
        assert (judged(limits, with_message(COW, sellAmount=amount)) is None) == allowed


def test_the_objection_that_came_further_is_the_closer_one() -> None:
    limits = cow("message.kind = sell\nmessage.sellAmount <= 20")
    contents = [edge("bool", True), with_domain(COW, chainId=5), with_message(COW, kind="buy"), COW]
    found = [judged(limits, content) for content in contents]
    steps = [objection.step for objection in found if objection]
    assert len(steps) == 4
    assert steps == sorted(set(steps))


SEAPORT_TOKEN = "0xbc4ca0eda7647a8ab7c2061c2e118a18a936f13d"


def test_a_condition_on_elements_holds_for_each() -> None:
    limits = pinned(SEAPORT, f"message.offer.*.token = {SEAPORT_TOKEN}")
    assert judged(limits, SEAPORT) is None
    content = copy.deepcopy(SEAPORT)
    content["message"]["offer"].append({**content["message"]["offer"][0], "token": "0x" + "00" * 20})
    assert denied(limits, content) == ("typed_data.message.offer[1].token", "not_allowed")
    content["message"]["offer"].reverse()
    assert denied(limits, content) == ("typed_data.message.offer[0].token", "not_allowed")


def test_a_condition_on_elements_refuses_an_array_without_any() -> None:
    limits = pinned(SEAPORT, "message.consideration.*.startAmount >= 1")
    assert judged(limits, SEAPORT) is None
    assert denied(limits, with_message(SEAPORT, consideration=[])) == (
        "typed_data.message.consideration",
        "not_allowed",
    )


def test_a_condition_on_elements_of_elements_refuses_one_without_any() -> None:
    content = edge("uint8[][]", [[1, 2], [3]])
    limits = pinned(content, "message.v.*.* <= 3")
    assert judged(limits, content) is None
    assert denied(limits, edge("uint8[][]", [[1, 2], [4]])) == ("typed_data.message.v[1][0]", "over_limit")
    assert denied(limits, edge("uint8[][]", [[1, 2], []])) == ("typed_data.message.v", "not_allowed")


@pytest.mark.parametrize(
    ("kind", "text", "good", "bad"),
    [
        ("int8", "message.v >= -5", ["-5", 0, "0x7f"], [-6, "-128"]),
        ("int256", "message.v = -1 1", ["-1", 1], [0]),
        ("bytes", "message.v = 0x 0xabcd", ["0x", "0xABCD"], ["0xab"]),
        ("bytes4", "message.v = 0xabcdef01", ["0xABCDEF01"], ["0x00000000"]),
        ("bool", "message.v = true", [True], [False]),
        ("string", "message.v = 1", ["1"], ["01"]),
        ("bool[2]", "message.v.* = true", [[True, True]], [[True, False]]),
    ],
)
def test_values_are_compared_as_they_are_hashed(kind: str, text: str, good: list[Any], bad: list[Any]) -> None:
    limits = pinned(edge(kind, good[0]), text)
    assert [judged(limits, edge(kind, value)) for value in good] == [None] * len(good)
    assert None not in [judged(limits, edge(kind, value)) for value in bad]


# Sections that are wrong.
@pytest.mark.parametrize(
    ("line", "setting", "reason"),
    [
        ("message.other = 1", "message.other", "no such field"),
        ("message.kind <= 1", "message.kind <=", "is for integers"),
        ("message.kind within 1", "message.kind within", "is for integers"),
        ("message.sellAmount <= 1.5", "message.sellAmount <=", "as in message.sellAmount(6)"),
        ("message.sellAmount <= 1e18", "message.sellAmount <=", "as in message.sellAmount(6)"),
        ("message.sellAmount <= 1 2", "message.sellAmount <=", "as in message.sellAmount(6)"),
        ("message.sellAmount <= -1", "message.sellAmount <=", "less than zero"),
        ("message.validTo <= 4294967296", "message.validTo <=", "does not fit"),
        ("message.validTo within 0", "message.validTo within", "seconds"),
        ("message.validTo within 1h", "message.validTo within", "seconds"),
        ("message.kind =", "message.kind", "a value is missing"),
        ("message.feeAmount =", "message.feeAmount", "a value is missing"),
        ("message.feeAmount = 1 0x1", "message.feeAmount", "twice"),
        ("message.partiallyFillable = no", "message.partiallyFillable", "true or false"),
        ("message.receiver = 0x12", "message.receiver", "not an address"),
        ("message.receiver = 0x70997970c51812dc3a010c7d01b50e0d17dc79c8, 0x12", "message.receiver", "not commas"),
        ("message.receiver = 0x70997970c51812dc3a010c7d01b50e0d17dc79C8", "message.receiver", "EIP-55"),
        ("domain.salt = 0x00", "domain.salt", "32"),
        ("domain.other = 1", "domain.other", "others need a setting"),
        ("domain.chainId <= 5", "domain.chainId <=", '"=" only'),
        ("sellAmount <= 1", "sellAmount <=", "begins with message."),
    ],
)
def test_a_setting_that_is_wrong_is_named(line: str, setting: str, reason: str) -> None:
    found = problems(COW_TYPE, COW_DOMAIN + line)
    assert list(found) == [setting]
    assert reason in found[setting]


def test_all_wrong_settings_are_named_at_once() -> None:
    found = problems(COW_TYPE, COW_DOMAIN + "message.other = 1\nmessage.kind <= 1\nmessage.feeAmount = x")
    assert list(found) == ["message.other", "message.kind <=", "message.feeAmount"]


def test_a_type_that_is_wrong_is_named() -> None:
    assert "Name(type name" in problems("Order", COW_DOMAIN)["type"]
    assert "Order[0].type" in problems("Order(uint a)", COW_DOMAIN)["type"]


def test_the_domain_must_be_given() -> None:
    assert "domain" in problems(COW_TYPE, "message.kind = sell")["type"]


def test_each_field_of_a_given_domain_type_needs_a_value() -> None:
    found = problems(COW_TYPE, "domain = EIP712Domain(string name,uint256 id)\ndomain.name = x")
    assert "needs a value" in found["domain.id"]


def test_a_domain_type_that_is_wrong_is_named() -> None:
    assert "EIP712Domain[0].type" in problems(COW_TYPE, "domain = EIP712Domain(uint id)")["domain"]
    assert "a field of it must follow" in problems(COW_TYPE, COW_DOMAIN + "domain <= EIP712Domain()")["domain <="]


def test_a_reason_never_repeats_a_value() -> None:
    secret = "5ec7e7" * 10 + "0001"
    for path in ("message.receiver", "message.sellAmount", "message.partiallyFillable", "domain.salt"):
        for text in (secret, f"{secret} {secret}"):
            assert "5ec7e7" not in str(problems(COW_TYPE, f"{COW_DOMAIN}{path} = {text}x"))


# In words.
def test_what_a_section_permits_and_leaves_open() -> None:
    limits = cow("message.kind = sell\nmessage.sellAmount <= 5\nmessage.validTo within 60")
    what, *rest = limits.permits()
    assert what == f"typed data {COW_TYPE}"
    assert rest == [
        "with domain.name 'Gnosis Protocol'",
        "with domain.version 'v2'",
        "with domain.chainId 1",
        "with domain.verifyingContract 0x9008d19f58aabd9ed0d60971565aa8510560ab41",
        "with message.kind 'sell'",
        "with message.sellAmount from 0 to 5",
        "with message.validTo between now and 60 seconds from now",
    ]
    free = limits.leaves_open()
    assert "message.receiver" in free
    assert "message.appData (a hash or packed data: what it stands for cannot be seen)" in free
    assert not any("message.kind" in words or "message.sellAmount" in words for words in free)


def test_two_bounds_of_a_term_are_one_in_words() -> None:
    limits = cow("message.sellAmount(18) >= 0.5\nmessage.kind = sell\nmessage.sellAmount(18) <= 5\n"
                 "message.buyAmount(6) / message.sellAmount(18) <= 3\n"
                 "message.buyAmount(6) / message.sellAmount(18) >= 2\n"
                 "total message.sellAmount(18) <= 9/day")  # fmt: skip
    assert limits.permits()[5:-1] == [
        "with message.sellAmount(18) from 0.5 to 5",
        "with message.kind 'sell'",
        "with message.buyAmount(6) / message.sellAmount(18) from 2 to 3",
    ]
    assert limits.permits()[-1].startswith("at most 9 of message.sellAmount(18) in all signatures")


@pytest.mark.parametrize(
    ("file", "name", "path"),
    [
        ("exchanges", "1inch limit order v4, live on mainnet", "message.makerTraits"),
        ("exchange-shapes", "Aster request", "message.msg"),
        ("exchange-shapes", "Derive (Lyra) Action", "message.data"),
        ("exchange-shapes", "Reya ConditionalOrder", "message.order.inputs"),
        ("exchange-shapes", "GMX CreateOrder (gasless)", "message.relayParams"),
        ("exchanges", "Hyperliquid L1: dummy, mainnet", "message.connectionId"),
    ],
)
def test_a_field_that_hides_something_is_said_to(file: str, name: str, path: str) -> None:
    free = pinned(content_of(named(file, name))).leaves_open()
    assert any(words.startswith(f"{path} (") for words in free)


def test_how_high_a_value_may_be_is_left_open_by_its_lower_limit() -> None:
    assert "how high message.buyAmount may be" in cow("message.buyAmount >= 5").leaves_open()
    for other in ("message.buyAmount <= 9", "message.buyAmount = 7", "message.buyAmount within 60"):
        assert not any("message.buyAmount" in words for words in cow(f"message.buyAmount >= 5\n{other}").leaves_open())


@pytest.mark.parametrize("kind", ["int128", "int8", "int256"])
def test_how_low_a_signed_value_may_be_is_left_open_by_its_upper_limit(kind: str) -> None:
    """As in the orders of Vertex, where an amount below zero sells."""

    def left_open(*conditions: str) -> list[str]:
        lines = "\n".join(("domain.name = x", *conditions))
        return limits_of(f"Order({kind} amount,u{kind} price,{kind}[] steps)", lines).leaves_open()

    every = ["message.price <= 5", "message.steps.* <= 5", "message.amount <= 5"]
    elements = "how many elements message.steps has"
    assert left_open(*every) == [
        "how low message.amount may be (it may be negative)",
        "how low message.steps.* may be (it may be negative)",
        elements,
    ]
    assert left_open(*every, "message.amount >= -5", "message.steps.* = 3") == [elements]
    assert left_open(*every, "message.amount within 60", "message.steps.* >= 0") == [elements]
    assert left_open("message.price <= 5", "message.steps.* >= -5", "message.amount = -1") == [
        "how high message.steps.* may be",
        elements,
    ]


@pytest.mark.parametrize(
    ("type", "arrays"),
    [
        ("Outer(Offer[] offer)Offer(Part[] parts)Part(bool a,bool b)", ["offer", "offer.*.parts"]),
        ("Outer(Offer[2] offer)Offer(Part[] parts)Part(bool a)", ["offer.*.parts"]),
        ("Outer(Offer[] offer)Offer(Part[3] parts)Part(bool a)", ["offer"]),
        ("Outer(bool[][] a,bool[2][] b,bool[][2] c,bool[2][2] d)", ["a", "a.*", "b", "c.*"]),
        ("Outer(Offer one,Offer two)Offer(bool[] a)", ["one.a", "two.a"]),
    ],
)
def test_how_many_elements_each_array_of_any_length_has_is_left_open(type: str, arrays: list[str]) -> None:
    free = limits_of(type, "domain.name = x").leaves_open()
    assert [words for words in free if "elements" in words] == [
        f"how many elements message.{path} has" for path in arrays
    ]


def test_how_many_elements_an_array_has_is_left_open() -> None:
    free = pinned(SEAPORT, f"message.offer.*.token = {SEAPORT_TOKEN}").leaves_open()
    assert "how many elements message.offer has" in free
    assert "message.offer.*.token" not in free


def test_a_type_with_very_many_fields_is_cut_short() -> None:
    levels = [f"T{number:02}(T{number + 1:02} a,T{number + 1:02} b)" for number in range(30)]
    limits = limits_of("".join([*levels, "T30(bool c)"]), "domain.name = x")
    assert len(limits.leaves_open()) == 101


def test_structs_without_a_field_at_any_depth_are_not_walked_through() -> None:
    # With 60 levels the walk would never end, and meet nothing on its way.
    levels = [f"T{number:02}(T{number + 1:02} a,T{number + 1:02} b)" for number in range(14)]
    limits = limits_of("".join(["P(T00 a,bool c)", *levels, "T14()"]), "domain.name = x")
    steps = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal steps
        steps += event == "call"

    sys.setprofile(count)
    try:
        free = limits.leaves_open()
    finally:
        sys.setprofile(None)
    assert free == ["message.c"]
    assert steps < 1000


# Any typed data.
def test_any_allows_all_but_hyperliquids_agent() -> None:
    agent = content_of(named("exchanges", "Hyperliquid L1: dummy, mainnet"))
    assert judged(AnyTypedData(), COW) is None
    assert denied(AnyTypedData(), agent) == ("typed_data.primaryType", "not_allowed")
    assert judged(pinned(agent), agent) is None
    assert AnyTypedData().permits() == ["any typed data"]
    assert "all it owns" in AnyTypedData().leaves_open()[0]


# Sections for venues, with their own examples.
VENUES: dict[str, tuple[str, str, list[tuple[str, Any]]]] = {
    "polymarket": (
        "Polymarket order, CTF exchange v1",
        """message.maker = 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266
           message.signer = 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266
           message.makerAmount <= 100000000
           message.side = 0""",
        [("maker", "0x" + "11" * 20), ("makerAmount", "100000001"), ("side", 1)],
    ),
    "permit2": (
        "Permit2 PermitSingle",
        """message.spender = 0x0000000000000000000000000000000000000000
           message.details.amount <= 0
           message.sigDeadline <= 0""",
        [("spender", "0x" + "11" * 20), ("sigDeadline", 1)],
    ),
    "0x": (
        "0x v4 LimitOrder, signed",
        """message.makerToken = 0x349e8d89e8b37214d9ce3949fc5754152c525bc3
           message.makerAmount <= 1234
           message.takerAmount >= 5678""",
        [("makerToken", "0x" + "11" * 20), ("makerAmount", 1235), ("takerAmount", 5677)],
    ),
    "1inch": (
        "1inch limit order v4, live on mainnet",
        """message.maker = 0x091e79334ee3f1c3783ffd208940dcf12c04cbc5
           message.makerAsset = 0xdac17f958d2ee523a2206206994597c13d831ec7""",
        [("maker", "0x" + "11" * 20), ("makerAsset", "0x" + "11" * 20)],
    ),
}


@pytest.mark.parametrize("venue", VENUES)
def test_a_section_for_a_venue(venue: str) -> None:
    name, text, others = VENUES[venue]
    content = content_of(named("exchanges", name))
    limits = pinned(content, text)
    assert judged(limits, content) is None
    for key, value in others:
        found = denied(limits, with_message(content, **{key: value}))
        assert found is not None
        assert found[0] == f"typed_data.message.{key}"
