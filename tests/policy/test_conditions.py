"""Conditions: how their text is read, what refusals say, what they leave open, and the time that they take."""

from __future__ import annotations

import math
import time
from fractions import Fraction
from typing import Any

import pytest
from support.policies import policy_of, problems_of, section_of
from support.typed_data import edge

from ordersigner.payloads import typed_data
from ordersigner.peer import Peer
from ordersigner.policy.rules import Denied, Objection
from ordersigner.policy.terms import Amount, Term, parse
from ordersigner.policy.typed_limits import TypedLimits
from ordersigner.state.memory import Memory

NOW = 1_700_000_000.75
TYPE = (
    "Bid(address maker,uint256 price,int256 delta,uint64 deadline,string note,bool ok,bytes data,Item[] items,"
    "uint8[][] grid,Item[2] pairs,uint64 valid,uint64 valid until)Item(address to,uint256 amount,int64 move)"
)
ZERO = "0x" + "00" * 20
ITEM = {"to": ZERO, "amount": 1, "move": 1}
MESSAGE = {
    "maker": "0x" + "55" * 20,
    "price": 10**18,
    "delta": -5,
    "deadline": 1_700_000_010,
    "note": "abc",
    "ok": True,
    "data": "0x" + "00" * 31 + "07" + "00" * 31 + "08",
    "items": [ITEM, {**ITEM, "amount": 2}],
    "grid": [[1, 2], [3]],
    "pairs": [ITEM, ITEM],
    "valid": 1,
    "valid until": 2,
}


def schema() -> typed_data.Schema:
    return typed_data.schema_of(TYPE, "EIP712Domain(uint256 chainId)")


def content(**values: Any) -> dict[str, Any]:
    """Typed data of TYPE."""
    types: dict[str, Any] = {"EIP712Domain": [{"name": "chainId", "type": "uint256"}]}
    for struct in TYPE.split(")")[:-1]:
        name, _, body = struct.partition("(")
        fields = (field.partition(" ") for field in body.split(","))
        types[name] = [{"name": field, "type": kind} for kind, _, field in fields]
    message = {**MESSAGE, **{name.replace("_", " "): value for name, value in values.items()}}
    return {"types": types, "primaryType": "Bid", "domain": {"chainId": 1}, "message": message}


def limits_of(*conditions: str) -> TypedLimits:
    return TypedLimits(section_of("typed", "\n".join((f"type = {TYPE}", "domain.chainId = 1", *conditions))))


def judged(limits: TypedLimits, **values: Any) -> Objection | None:
    return limits.judge(typed_data.read({"typed_data": content(**values)}), NOW)


def problem(condition: str) -> str:
    section = section_of("typed", f"type = {TYPE}\ndomain.chainId = 1\n{condition}")
    (reason,) = problems_of(section, TypedLimits).values()
    assert [error.line for error in section.errors] == [4]
    return reason


# How a term is read.
@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("message.a", Term(Amount("message.a"))),
        ("message.a (18)", Term(Amount("message.a", 18))),
        ("message.a\t( 0 )", Term(Amount("message.a", 0))),
        ("message.destination Chain(3)", Term(Amount("message.destination Chain", 3))),
        ("a(1)/b(2)", Term(Amount("a", 1), Amount("b", 2))),
        ("total  a(6)", Term(Amount("a", 6), is_total=True)),
        ("totally.a(6)", Term(Amount("totally.a", 6))),
        ("total", Term(Amount("total"))),
        ("sum( a.*.b ( 6 ) )", Term(Amount("a.*.b", 6, "sum"))),
        ("count ( a.* )", None),
        ("count( a.* )", Term(Amount("a.*", None, "count"))),
        ("bits(a,0,256)(3)", Term(Amount("a", 3, "", ("bits", 0, 256)))),
        ("word( a , 1023 )", Term(Amount("a", None, "", ("word", 1023, 0)))),
        (
            "sum(bits(a.*, 8, 8)) / count(a)",
            Term(Amount("a.*", None, "sum", ("bits", 8, 8)), Amount("a", None, "count")),
        ),
    ],
)
def test_a_term_is_read_without_the_blanks_around_its_marks(text: str, term: Term | None) -> None:
    term = term or Term(Amount("a.*", None, "count"))
    assert parse(text) == term
    assert parse(str(term)) == term


@pytest.mark.parametrize(
    "text",
    [
        *("", "()", "a()", "a(", "a)", "a(18", "a(18))", "a(37)", "a(01)", "a(-1)", "a(1)(2)", "a(18)b", "a,b", "a(x)"),
        *("a/", "/a", "a/b/c", "a//b", "total a/b", "max(a)", "sum(a)(6)", "sum(sum(a))", "sum()", "count(a(6))"),
        *("count(bits(a,0,1))", "count(a)(6)", "bits(a)", "bits(a,0)", "bits(a,0,0)", "bits(a,256,1)", "bits(a,0,257)"),
        *("bits(a,00,1)", "bits(a,0,1,2)", "bits(,0,1)", "word(a)", "word(a,1024)", "word(a,0,1)", "word(a,-1)"),
        *("sum(a) b", "total sum(a", "a" * 2049, "١(1)(", "a(١)"),
    ],
)
def test_what_is_no_term_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)


def test_a_path_may_have_an_operator_in_its_name() -> None:
    limits = limits_of("message.valid until until 5", "message.valid until 5", "message.valid until(0) >= 2")
    assert judged(limits) is None
    late = int(NOW) + 6
    for field in ("valid", "valid until"):
        objection = judged(limits, **{field: late})
        assert objection is not None
        assert (objection.field, objection.code) == (f"typed_data.message.{field}", "over_limit")
    assert "seconds" in problem("message.valid until until until 5")


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("message.price(18) = 1.0 1", "twice"),
        ("message.price(2) <= 1.234", "3 digits after its point, and the field has 2"),
        ("message.price(18) <= 1" + "0" * 78, "such as 1500.25"),
        ("message.price(18) <= 115792089237316195423570985008687907853269984665640564039458", "does not fit"),
        ("message.price(0) <= .5", "such as 1500.25"),
        ("message.price(0) <= 5.", "such as 1500.25"),
        ("message.price(0) <= 0x5", "such as 1500.25"),
        ("message.deadline(3) >= -1", "less than zero"),
        ("message.note(2) <= 1." + "0" * 21, "21 digits after its point, and the field has 20"),
        ("message.note <= 5", "needs decimals, such as message.note(0)"),
        ("message.note within 5", "needs decimals"),
        ("total message.note <= 5/day", "needs decimals"),
        ("sum(message.items.*.to) <= 5", "has no sum"),
        ("sum(message.price) <= 5", 'needs a "*"'),
        ("message.ok(0) = 1", "has no decimals"),
        ("message.data(0) = 1", "has no decimals"),
        ("count(message.price) = 1", "has a length"),
        ("count(message.items) = 1.5", "decimal digits"),
        ("count(message.items) within 5", "no sum and no count"),
        ("sum(message.items.*.amount) about 5", "no sum and no count"),
        ("message.deadline within 0", "whole number"),
        ("message.deadline about 1000000001", "whole number"),
        ("message.deadline until 1.5", "whole number"),
        ("bits(message.deadline, 60, 5) = 0", "has 64 bits, from 0 to 63"),
        ("bits(message.deadline, 0, 2) = 4", "does not fit"),
        ("bits(message.deadline, 0, 2)(1) = 0.4", "does not fit"),
        ("bits(message.delta, 0, 1) = 0", "unsigned"),
        ("word(message.note, 0) = 0", "words are of bytes"),
        ("word(message.data, 0) = " + "1" + "0" * 77 + "0", "does not fit"),
        ("message.price / message.deadline = 1", "<= and >= only"),
        ("message.price / message.deadline within 1", "<= and >= only"),
        ("message.price / message.deadline <= -1", "less than zero"),
        ("message.price / message.maker <= 1", "has no price"),
        ("message.price / message.note <= 1", "has no price"),
        ("message.items.*.amount / message.pairs.*.amount <= 1", 'before the last "*"'),
        ("message.grid.*.* / message.items.*.amount <= 1", 'before the last "*"'),
        ("total message.price >= 1/day", "<= only"),
        ("total message.price <= 1", "AMOUNT/hour or AMOUNT/day"),
        ("total message.price <= 1/week", "AMOUNT/hour or AMOUNT/day"),
        ("total message.price <= -1/day", "less than zero"),
        ("total message.price <= 0/day", "more than 0; to allow none of it, write message.price = 0"),
        ("total message.price(18) <= 0.0/hour", "more than 0; to allow none of it, write message.price(18) = 0"),
        ("total message.price(1) <= 0.25/day", "2 digits after"),
        ("total message.delta <= 1/day", "negative"),
        ("total sum(message.items.*.move) <= 1/day", "negative"),
        ("total message.items.*.amount <= 1/day", "sum(PATH)"),
        ("total count(message.items) <= 1/day", "no total"),
        ("total message.price(36) <= " + "1" + "0" * 42 + "/day", "2^256"),
        ("message.price matches 1", "of the type string"),
        ("message.note(0) matches 1", "of the type string"),
        ("message.note matches (", "("),
        ("bits(domain.chainId, 0, 1) = 1", '"=" only'),
        ("count(domain.chainId) = 1", '"=" only'),
        ("total domain.chainId <= 1/day", '"=" only'),
        ("message.pairs.2.amount = 1", "from 0 to 1"),
        ("message.items.amount = 1", '".*" after it'),
    ],
)
def test_a_condition_that_is_wrong_says_why(condition: str, reason: str) -> None:
    assert reason in problem(condition)


@pytest.mark.parametrize(
    ("least", "most"),
    [
        ("message.price >= 0x10", "message.price <= 15"),
        ("message.price(18) >= 1.5", "message.price(18) <= 1.49"),
        ("message.delta >= -4", "message.delta <= -5"),
        ("message.price / message.deadline >= 0.2", "message.price / message.deadline <= 0.1"),
        ("count(message.items) >= 3", "count(message.items) <= 2"),
        ("sum(message.items.*.amount) >= 3", "sum(message.items.*.amount) <= 2"),
    ],
)
def test_limits_that_no_value_can_meet_are_wrong(least: str, most: str) -> None:
    term, _, _ = most.partition(" <= ")
    reason = (
        f"{term} <=: this is below {least.split()[-1]}, which this section has for >=, so no value could be allowed"
    )
    for settings, line in ((f"{least}\n{most}", 5), (f"{most}\n{least}", 4)):
        section = section_of("typed", f"type = {TYPE}\ndomain.chainId = 1\n{settings}")
        assert list(problems_of(section, TypedLimits)) == [f"{term} <="]
        assert section.errors == [(line, reason)]
    assert limits_of(most, most.replace("<=", ">="))  # the same limit twice allows one value


@pytest.mark.parametrize(("values", "limit"), [("5", "<= 4"), ("5 6", ">= 7"), ("1 9", ">= 10")])
def test_values_outside_the_limits_of_the_same_field_are_wrong(values: str, limit: str) -> None:
    section = section_of("typed", f"type = {TYPE}\ndomain.chainId = 1\nmessage.price {limit}\nmessage.price = {values}")
    problems_of(section, TypedLimits)
    assert section.errors == [
        (5, "message.price =: the <= and >= that this section has for it allow none of these values")
    ]
    assert limits_of("message.price = 1 9", "message.price <= 5", "message.price >= 1")


def test_a_plain_field_of_the_domain_takes_no_more_than_a_value() -> None:
    for condition in ("domain.chainId(0) = 1", "domain.chainId <= 1", "domain.chainId about 1"):
        section = section_of("typed", f"type = {TYPE}\n{condition}")
        (reason,) = problems_of(section, TypedLimits).values()
        assert '"=" only' in reason or "only name" in reason


def test_a_condition_is_set_twice_whatever_its_blanks() -> None:
    section = section_of(
        "typed",
        f"type = {TYPE}\ndomain.chainId = 1\nbits(message.price,0,1) = 1\nbits( message.price , 0 , 1 ) = 0\n"
        "message.price(0) <= 1\nmessage.price <= 1\nmessage.price(0)  <= 2",
    )
    problems_of(section, TypedLimits)
    assert [(error.line, "set twice" in error.reason) for error in section.errors] == [(5, True), (8, True)]


@pytest.mark.parametrize(("operator", "early", "late"), [("within", 1, 1), ("about", 1, 1), ("until", 0, 1)])
def test_each_element_must_be_in_time(operator: str, early: int, late: int) -> None:
    schema = typed_data.schema_of("M(uint64[] v)", "EIP712Domain(string name)")
    lines = f"type = {schema.type}\ndomain.name = Edge\nmessage.v.*(3) {operator} 60"
    limits = TypedLimits(section_of("typed", lines))
    now = int(NOW * 1000)
    first = now - (60_000 if operator == "about" else 0)
    for times, wrong in (
        ([first, now, now + 60_000], None),
        ([now, now + 60_001 * late, first - 1], 1),
        ([now, first, first - 1], 2 if early else None),
        ([first - 1, now], 0 if early else None),
    ):
        found = limits.judge(typed_data.read({"typed_data": edge("uint64[]", times)}), NOW)
        assert (found and found.field) == (None if wrong is None else f"typed_data.message.v[{wrong}]")


def test_a_pattern_matches_at_most_4096_characters_of_all_elements_together() -> None:
    limits = TypedLimits(
        section_of("typed", "type = M(string[] v)\ndomain.name = Edge\nmessage.v.* matches [a-z]*=?[0-9]*")
    )
    long = "a" * 3000
    for texts, wrong in (
        (["a" * 4096, "", ""], None),
        ([long, "x=12", "a" * 1092], None),
        ([long, "x=12", "a" * 1093, ""], 2),
        (["a" * 4097], 0),
        ([long, "é", "a" * 5000], 1),
    ):
        found = limits.judge(typed_data.read({"typed_data": edge("string[]", texts)}), NOW)
        assert (found and found.code) == (None if wrong is None else "not_allowed")
        assert (found and found.field) == (None if wrong is None else f"typed_data.message.v[{wrong}]")


def test_a_time_is_exact_where_a_double_is_not() -> None:
    now = 1_700_000_000.1234567
    ticks = math.floor(Fraction(now) * 10**18)
    assert ticks != int(now * 10**18)
    limits = limits_of("message.price(18) within 1", "message.price(18) until 1")
    for price, is_allowed in ((ticks - 1, False), (ticks, True), (ticks + 10**18, True), (ticks + 10**18 + 1, False)):
        data = typed_data.read({"typed_data": content(price=price)})
        assert (limits.judge(data, now) is None) == is_allowed


def test_a_total_has_256_bits() -> None:
    (total,) = limits_of(f"total message.price(1) <= {2**256 // 10}.5/day").totals
    assert total.limit == 2**256 - 1
    assert "2^256" in problem(f"total message.price(1) <= {2**256 // 10}.6/day")


def test_totals_count_what_a_payload_has_in_the_smallest_units() -> None:
    limits = limits_of(
        "total message.price(18) <= 5/day",
        "total message.note(2) <= 5/hour",
        "total sum( message.items.*.amount ) <= 7/day",
        "total word(message.data, 1)(1) <= 1/day",
        "total message.items.1.amount(3) <= 9/day",
    )
    data = typed_data.read({"typed_data": content(note="1.5")})
    assert limits.judge(data, NOW) is None
    assert [(need.total.term, need.total.seconds, need.total.decimals) for need in limits.needs(data)] == [
        ("message.price(18)", 86400, 18),
        ("message.note(2)", 3600, 20),
        ("sum(message.items.*.amount)", 86400, 0),
        ("word(message.data,1)(1)", 86400, 1),
        ("message.items.1.amount(3)", 86400, 3),
    ]
    assert [(need.field.replace("typed_data.message.", ""), need.amount) for need in limits.needs(data)] == [
        ("price", 10**18),
        ("note", 15 * 10**17),
        ("items", 3),
        ("data", 8),
        ("items[1].amount", 2),
    ]
    assert {(need.total.section, need.total.kind) for need in limits.needs(data)} == {("name", "typed")}
    lacking = typed_data.read({"typed_data": content(note="1.5", items=[ITEM])})
    objection = limits.judge(lacking, NOW)
    assert objection is not None
    assert (objection.field, objection.code) == ("typed_data.message.items", "not_allowed")


def test_other_conditions_come_before_totals() -> None:
    limits = limits_of("total message.note(0) <= 5/day", "message.ok = false")
    objection = judged(limits)  # the note is no number either
    assert objection is not None
    assert objection.field == "typed_data.message.ok"


# What is left open.
@pytest.mark.parametrize(
    ("conditions", "path", "words"),
    [
        ([], "message.price", ["message.price"]),
        (["message.price <= 5"], "message.price", []),
        (["message.price >= 5"], "message.price", ["how high message.price may be"]),
        (["message.price(18) until 5"], "message.price", []),
        (["message.delta until 5"], "message.delta", ["how low message.delta may be (it may be negative)"]),
        (["message.delta <= 5"], "message.delta", ["how low message.delta may be (it may be negative)"]),
        (["message.delta <= 5", "message.delta(3) >= 0"], "message.delta", []),
        (["message.delta about 5"], "message.delta", []),
        (["message.price / message.deadline >= 5"], "message.price", ["message.price"]),
        (["message.price / message.deadline >= 5"], "message.deadline", ["message.deadline"]),
        (
            ["message.price / message.deadline >= 5", "message.deadline <= 5"],
            "message.price",
            ["how high message.price may be"],
        ),
        (["message.price / message.deadline >= 5", "message.price <= 5"], "message.deadline", []),
        (["message.price / message.deadline <= 5", "message.deadline <= 5"], "message.price", []),
        (
            ["message.price / message.deadline <= 5", "message.price <= 5"],
            "message.deadline",
            ["how high message.deadline may be"],
        ),
        (
            ["message.price / message.deadline >= 5", "message.deadline >= 5"],
            "message.price",
            ["message.price"],
        ),
        (
            ["message.price / message.deadline >= 0", "message.price <= 5"],
            "message.deadline",
            ["how high message.deadline may be"],
        ),
        (
            ["message.pairs.*.amount / message.pairs.*.move >= 1", "message.pairs.0.amount = 1"],
            "message.pairs.*.move",
            ["message.pairs.*.move"],
        ),
        (["total message.price <= 5/day"], "message.price", ["message.price"]),
        (["bits(message.deadline, 4, 8) = 1"], "message.deadline", ["bits 0 to 3", "bits 12 to 63"]),
        (["bits(message.deadline, 1, 63) = 1"], "message.deadline", ["bit 0 of message.deadline"]),
        (["bits(message.deadline, 0, 64) <= 1"], "message.deadline", []),
        (
            ["bits(message.deadline, 0, 64) >= 1"],
            "message.deadline",
            ["how high bits 0 to 63 of message.deadline may be"],
        ),
        (["bits(message.deadline, 0, 1) = 1", "message.deadline <= 5"], "message.deadline", []),
        (
            ["word(message.data, 1) >= 5"],
            "message.data",
            ["word 0 of ", "how high word 1 of ", "what follows word 1 of ", "how long message.data is"],
        ),
        (["word(message.data, 1) = 5", "count(message.data) = 97"], "message.data", ["word 0 of ", "words 2 to 3 of "]),
        (["word(message.data, 1) = 5", "count(message.data) <= 64"], "message.data", ["word 0 of message.data"]),
        (["count(message.data) = 5"], "message.data", ["message.data (a hash or packed data"]),
        (["count(message.data) = 0"], "message.data", []),
        (["count(message.note) <= 0"], "message.note", []),
        (["count(message.note) = 5"], "message.note", ["message.note"]),
        (["message.note(0) <= 5"], "message.note", []),
        (["message.note(0) >= 5"], "message.note", ["how high message.note may be"]),
        (["message.note matches abc"], "message.note", []),
        (["message.note matches [ab]"], "message.note", ["message.note, as far as it matches its pattern"]),
        (["message.note matches a.*", "message.note = abc"], "message.note", []),
        (
            ["message.items.*.amount = 1"],
            "message.items",
            [
                "message.items.*.to",
                "message.items.*.move",
                "how many elements message.items has",
            ],
        ),
        (
            ["count(message.items) = 2", "message.items.0.to = " + ZERO, "message.items.*.amount = 1"],
            "message.items",
            ["message.items.*.to, except in element 0", "message.items.*.move"],
        ),
        (
            ["count(message.items) <= 2", "message.items.0.amount <= 1", "message.items.1.amount >= 1"],
            "message.items.",
            [
                "message.items.*.to",
                "how high message.items.1.amount may be",
                "message.items.*.move",
            ],
        ),
        (
            ["message.items.0.amount <= 1", "message.items.1.amount <= 1"],
            "message.items.*.amount",
            ["message.items.*.amount, except in elements 0 and 1"],
        ),
        (["count(message.items) >= 2"], "message.items has", ["how many elements message.items has"]),
        (["sum(message.items.*.amount) <= 2"], "message.items.*.amount", []),
        (["sum(message.items.*.amount) >= 2"], "message.items.*.amount", ["message.items.*.amount"]),
        (["sum(message.items.*.move) <= 2"], "message.items.*.move", ["message.items.*.move"]),
        (["message.pairs.0.amount = 2", "message.pairs.1.amount = 2"], "message.pairs.*.amount", []),
        (["message.pairs.0.amount = 2"], "message.pairs.*.amount", ["message.pairs.*.amount, except in element 0"]),
        (
            ["message.grid.0.* = 1", "message.grid.*.0 = 1", "count(message.grid.*) <= 2"],
            "message.grid",
            [
                "message.grid.*.*, except in element 0 of message.grid.*, except in element 0",
                "how many elements message.grid has",
            ],
        ),
        (
            ["count(message.grid.0) <= 1", "message.grid.*.0 = 1"],
            "message.grid.*.*",
            ["message.grid.*.*, except in element 0 of message.grid.*"],
        ),
        (["count(message.grid.0) = 1", "count(message.grid) = 1"], "elements message.grid", []),
        (  # an element beyond the end is never there
            ["count(message.items) = 1", "message.items.0.amount = 1", "message.items.1.amount >= 1"],
            "message.items.*.amount",
            [],
        ),
        (["count(message.items) = 1", "message.items.1.amount >= 1"], "items.1", []),
        (  # the narrower of two lengths counts
            ["count(message.items) <= 3", "count(message.items) = 1", "message.items.0.amount = 1"],
            "message.items.*.amount",
            [],
        ),
        (
            ["count(message.grid.0) = 1"],
            "elements message.grid",
            ["how many elements message.grid has", "how many elements message.grid.* has, except in element 0"],
        ),
    ],
)
def test_what_conditions_leave_open(conditions: list[str], path: str, words: list[str]) -> None:
    found = [word for word in limits_of(*conditions).leaves_open() if path in word and "valid" not in word]
    assert len(found) == len(words), found
    assert all(word.startswith(beginning) for word, beginning in zip(found, words)), found


def test_a_total_leaves_open_what_is_open_at_one_time() -> None:
    limits = limits_of("total message.price(18) <= 5/day")
    assert (
        limits.leaves_open()[-1]
        == "how much is open at one time: the total counts what is signed, even if it is cancelled"
    )
    assert limits.permits()[-1] == (
        "at most 5 of message.price(18) in all signatures of any day, for all users and keys of this rule together"
    )
    assert "at one time" not in str(limits_of("message.price(18) <= 5").leaves_open())


def test_a_limit_on_a_packed_field_does_not_hide_that_it_is_packed() -> None:
    lines = "type = Order(uint256 makerTraits)\ndomain.chainId = 1\n"
    for conditions, words in (
        ("message.makerTraits <= 5", "message.makerTraits (expiry, "),
        ("message.makerTraits <= 5\nbits(message.makerTraits, 0, 1) = 1", None),
        ("message.makerTraits = 5", None),
    ):
        found = TypedLimits(section_of("typed", lines + conditions)).leaves_open()
        assert [word[: len(words or "")] for word in found] == ([words] if words else [])


@pytest.mark.parametrize(
    ("type", "words"),
    [
        ("A(E[] list)E()", ["how many elements message.list has"]),
        (
            "A(F[] list,E one)E()F(E[2] pair,E[] list)",
            [f"how many elements message.list{way} has" for way in ("", ".*.list")],
        ),
        ("A(E[2] pair,E one)E()", []),
    ],
)
def test_the_length_of_an_array_is_open_although_its_elements_have_nothing_in_them(type: str, words: list[str]) -> None:
    assert TypedLimits(section_of("typed", f"type = {type}\ndomain.chainId = 1")).leaves_open() == words


# What a refusal says.
@pytest.mark.parametrize(
    ("condition", "values", "text"),
    [
        ("message.price(18) <= 1", {"price": 10**18 + 1}, "This value is above the limit of {}: 1.000000000000000001."),
        ("message.price <= 1", {}, "This value is above the limit of {}: 1000000000000000000."),
        ("message.price <= 1", {"price": 10**38}, "This value is above the limit of {}."),
        ("message.delta(1) >= 0", {}, "This value is below the limit of {}: -0.5."),
        ("message.maker = " + ZERO, {}, "{} does not allow this value: 0x" + "55" * 20 + "."),
        ("message.ok = false", {}, "{} does not allow this value: true."),
        ("message.note = x", {}, "{} does not allow this value: abc."),
        ("message.note = x", {"note": "a b"}, "{} does not allow this value."),
        ("message.note = x", {"note": "z" * 24}, "{} does not allow this value: " + "z" * 24 + "."),
        ("message.note = x", {"note": "z" * 25}, "{} does not allow this value."),
        ("message.note = x", {"note": "0123456789abcdef"}, "{} does not allow this value."),
        ("message.note = x", {"note": ""}, "{} does not allow this value."),
        ("message.note matches x", {}, "{} does not allow this value: abc."),
        ("message.note(0) <= 1", {}, "{} needs a number in this text."),
        ("message.note(0) <= 1", {"note": "1.5"}, "This value is above the limit of {}: 1.5."),
        ("message.data = 0x", {}, "{} does not allow this value."),
        ("word(message.data, 0) = 8", {}, "{} does not allow this value."),
        ("word(message.data, 2) = 8", {}, "{} needs word 2 of these bytes."),
        ("count(message.items) = 1", {}, "{} does not allow 2 elements."),
        ("count(message.data) <= 32", {}, "{} does not allow 64 bytes."),
        ("message.items.2.amount <= 1", {}, "{} needs element 2 of this array."),
        ("message.items.*.amount <= 1", {"items": []}, "{} needs at least one element in this array."),
        ("message.price / count(message.grid.*) <= 1", {"grid": []}, "{} needs at least one element in this array."),
        ("sum(message.items.*.amount(1)) <= 0.2", {}, "This value is above the limit of {}: 0.3."),
        ("message.deadline within 5", {}, "This time is too late for {}: 1700000010."),
        ("message.deadline within 5", {"deadline": 0}, "This time is too early for {}: 0."),
        ("message.deadline(3) about 5", {}, "This time is too early for {}: 1700000.01."),
        ("message.price(18) / message.deadline(9) <= 0.5", {}, "This price is above the limit of {}: 0.588235290658."),
        ("message.price(18) / message.deadline(9) >= 2", {}, "This price is below the limit of {}: 0.588235290657."),
        (
            "message.price / message.delta >= 2",
            {},
            "{} has a price, so this value must be above zero, and it is -5.",
        ),
    ],
)
def test_a_refusal_says_what_differs(condition: str, values: dict[str, Any], text: str) -> None:
    objection = judged(limits_of(condition), **values)
    assert objection is not None
    assert objection.text == text.format("[typed name]")
    assert objection.section == "name"


POLICY = """
[typed one]
type = A(uint256 x,address y)
domain.chainId = 1
domain.name = USD Coin
message.x <= 5
[typed two]
type = B(uint256 x)
domain.chainId = 1
[typed three]
type = Z(uint256 x)
domain.chainId = 1
[typed four]
type = C(uint256 x)
domain.chainId = 1
[typed five]
type = E(uint256 x)
domain.chainId = 1
[message m]
pattern = abc
[rule a]
key = 0x1111111111111111111111111111111111111111
users = 1
typed = one two
[rule b]
key = 0x1111111111111111111111111111111111111111
users = 1
typed = two three four five
[rule other]
key = 0x1111111111111111111111111111111111111111
users = 2
typed = five
messages = m
"""


def denied(type: str, message: dict[str, Any], uid: int = 1, **domain: Any) -> Denied:
    name, _, body = type[:-1].partition("(")
    fields = [field.partition(" ") for field in body.split(",")]
    kinds = {"chainId": "uint256", "name": "string", "salt": "bytes32"}
    types = {
        name: [{"name": field, "type": kind} for kind, _, field in fields],
        "EIP712Domain": [{"name": field, "type": kinds[field]} for field in domain],
    }
    data = {"types": types, "primaryType": name, "domain": domain, "message": message}
    (grant,) = policy_of(POLICY).grants(Peer(1, uid, uid)).values()
    with pytest.raises(Denied) as caught:
        grant.allow(typed_data.read({"typed_data": data}), now=NOW, ledger=Memory())
    return caught.value


def text_of(refusal: Denied) -> str:
    ((problem, *_),) = refusal.context.values()
    return problem.message


A, X = "A(uint256 x,address y)", {"x": 6, "y": ZERO}


@pytest.mark.parametrize(
    ("refusal", "rule", "section", "text"),
    [
        (
            denied("F(uint256 x)", {"x": 1}, chainId=1),
            *("a", "one", 'No rule of yours allows data of the type "F". They allow: A, B, C, E and 1 more.'),
        ),
        (
            denied("F(uint256 x)", {"x": 1}, uid=2, chainId=1),
            *("other", "five", 'No rule of yours allows data of the type "F". They allow: E.'),
        ),
        (
            denied("f" * 65 + "(uint256 x)", {"x": 1}, uid=2, chainId=1),
            *("other", "five", "No rule of yours allows data of this type. They allow: E."),
        ),
        (
            denied("A(uint256 x,bytes20 y)", {"x": 1, "y": ZERO}, chainId=1),
            *("a", "one", '[typed one] has another type of this name. The first difference is field 2, "bytes20 y".'),
        ),
        (
            denied("A(uint256 x)", {"x": 1}, chainId=1),
            *(
                "a",
                "one",
                "[typed one] has another type of this name. The first difference is field 2, which is missing.",
            ),
        ),
        (
            denied(A, X, name="USD Coin", chainId=100),
            *("a", "one", "[typed one] does not allow this domain: chainId is 100."),
        ),
        (
            denied(A, X, name="EUR Coin", chainId=1),
            *("a", "one", "[typed one] does not allow this domain: name is another one."),
        ),
        (
            denied(A, X, name="USDT", chainId=1),
            *("a", "one", "[typed one] does not allow this domain: name is USDT."),
        ),
        (denied(A, X, chainId=1), *("a", "one", "[typed one] does not allow this domain: it lacks name.")),
        (
            denied(A, X, name="USD Coin", chainId=1, salt="0x" + "00" * 32),
            *("a", "one", "[typed one] does not allow this domain: it has salt."),
        ),
        (
            denied(A, X, chainId=1, name="USD Coin"),
            *("a", "one", "[typed one] does not allow a domain of this type."),
        ),
        (
            denied(A, X, name="USD Coin", chainId=1),
            *("a", "one", "This value is above the limit of [typed one]: 6."),
        ),
    ],
    ids=str,
)
def test_a_refusal_names_what_came_closest(refusal: Denied, rule: str, section: str, text: str) -> None:
    assert (refusal.rule, refusal.section, text_of(refusal)) == (rule, section, text)


# The time that hostile data takes.
def milliseconds(conditions: list[str], **values: Any) -> float:
    limits = limits_of(*conditions)
    data = typed_data.read({"typed_data": content(**values)})
    best = 1e9
    for _ in range(3):
        data.arrays.clear()
        begin = time.thread_time()
        limits.judge(data, NOW)
        best = min(best, time.thread_time() - begin)
    return best * 1000


@pytest.mark.parametrize(
    ("conditions", "values"),
    [
        (["message.items.*.amount(18) / message.items.*.move >= 0.1"], {"items": [ITEM] * 300}),
        (["message.grid.*.*(1) / message.price >= 0.0"], {"grid": [[1] * 3000, [1] * 3000]}),
        (["message.grid.*.* <= 1"], {"grid": [[1] * 6000, [2]]}),
        (["sum(message.grid.*.*) <= 1"], {"grid": [[1] * 6000]}),
        (["message.grid.*.0 <= 1"], {"grid": [[1]] * 500 + [[]]}),
        (["message.grid.*.* = 1"], {"grid": [[1] * 10] * 300 + [[]]}),
        (["word(message.data, 1023) <= 1"], {"data": "0x" + "ff" * 32_700}),
        ([f"word(message.data, {at}) <= {2**256 - 1}" for at in range(100)], {"data": "0x" + "ff" * 32_700}),
        (["message.note matches .*a{1,500}"], {"note": "a" * 4096}),
        (["message.note matches .*a{1,500}"], {"note": "a" * 60_000}),
        (["message.note(0) <= 1"], {"note": "1" * 60_000}),
        (["count(message.note) = 5"], {"note": "é" * 30_000}),
    ],
    ids=lambda value: value[0][:50] if isinstance(value, list) else "",
)
def test_hostile_data_is_judged_in_milliseconds(conditions: list[str], values: dict[str, Any]) -> None:
    assert milliseconds(conditions, **values) < 50
