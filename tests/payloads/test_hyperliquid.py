"""Hyperliquid's actions: the published digests, what is refused and where."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles.hyperliquid_reference import (
    ADDRESS,
    NOTHING,
    ORDER,
    ROWS,
    changed,
    expected,
    request_of,
    values,
)

from ordersigner.payloads import hyperliquid
from ordersigner.refusal import CODES, Refusal
from ordersigner.signing.keys import Signer
from ordersigner.signing.protocol import MAX_DEPTH


def refusal(request: dict[str, Any]) -> tuple[str, str]:
    with pytest.raises(Refusal) as caught:
        hyperliquid.read(request)
    ((field, (problem,)),) = caught.value.context.items()
    assert problem.code in CODES
    return field, problem.code


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row["name"]))
def test_a_published_action(row: dict[str, Any]) -> None:
    request = request_of(row)
    action = hyperliquid.read(request)
    assert action.digest.hex() == row["digest"][2:]
    assert expected(request) == action.digest
    assert msgpack.packb(action.action).hex() == row["hyperliquid"]["msgpack"][2:]
    assert action.network == request["network"]
    assert Signer(row["private_key"]).sign(action.digest) == row["signature"]


def test_every_published_action_is_there() -> None:
    assert len(ROWS) == 9


eight_bytes = st.integers(0, 2**64 - 1)


@given(
    st.dictionaries(st.text("abc", max_size=3), values, min_size=1, max_size=5),
    eight_bytes,
    st.none() | st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex()),
    st.none() | eight_bytes,
    st.sampled_from(["mainnet", "testnet"]),
)
def test_an_action_gets_the_digest_of_its_bytes(
    action: dict[str, Any], nonce: int, vault: str | None, expires: int | None, network: str
) -> None:
    request = {"action": action, "nonce": nonce, "network": network, "vaultAddress": vault, "expiresAfter": expires}
    read = hyperliquid.read(request)
    assert read.digest == expected(request)
    assert read.nonce == nonce
    assert read.vault == (None if vault is None else bytes.fromhex(vault[2:]))
    assert read.expires_after == expires


# One of the signatures of a multi-sig user. The digests are those that sign_multi_sig_l1_action_payload() of
# hyperliquid-python-sdk 0.24.0 signs for the published order.
USER, OUTER = "0x" + 39 * "0" + "5", "0x0d1d9635d0640821d15e323ac8adadfa9c111414"


@pytest.mark.parametrize(
    ("beside", "digest"),
    [
        ({}, "90d44dca50f4c750cd8f4bf3708b63057888344545191492bc4cec6696aea7b4"),
        (
            {"network": "testnet", "vaultAddress": ADDRESS, "expiresAfter": 1_700_000_000_000},
            "a4145627f52753276a2cc7e0103314f73cd08ce02f4036cdd6261666b568f259",
        ),
    ],
    ids=["mainnet", "testnet, for a vault"],
)
def test_a_list_for_a_multi_sig_user_gets_the_digest_of_the_sdk(beside: dict[str, Any], digest: str) -> None:
    request = changed(action=[USER, OUTER, ORDER["action"]], **beside)
    read = hyperliquid.read(request)
    assert read.digest.hex() == digest
    assert read.digest == expected(request)
    assert read.action == ORDER["action"]
    assert read.multi_sig == (bytes.fromhex(USER[2:]), bytes.fromhex(OUTER[2:]))


@pytest.mark.parametrize(
    ("action", "field", "code"),
    [
        ([USER, OUTER], "action", "wrong_type"),
        ([USER, OUTER, ORDER["action"], 1], "action", "wrong_type"),
        ([USER, OUTER, {}], "action", "wrong_type"),
        ([USER, OUTER, "order"], "action", "wrong_type"),
        ([USER, OUTER, [USER, OUTER, ORDER["action"]]], "action", "wrong_type"),
        ([USER[2:], OUTER, ORDER["action"]], "action[0]", "not_address"),
        ([USER, 1, ORDER["action"]], "action[1]", "wrong_type"),
        ([USER, OUTER, {"type": "order", "p": 0.5}], "action[2].p", "wrong_type"),
        ([USER, OUTER, {"type": "\ud83d"}], "action[2].type", "wrong_encoding"),
    ],
    ids=repr,
)
def test_another_list_is_refused(action: list[Any], field: str, code: str) -> None:
    assert refusal(changed(action=action)) == (field, code)


def test_the_entry_for_a_multi_sig_user_names_it_and_the_outer_signer() -> None:
    words, fields = hyperliquid.read(changed(action=[USER, OUTER, ORDER["action"]])).entry()
    assert f'action "order" on mainnet for multi-sig user {USER}, outer signer {OUTER} to buy' in words
    assert f"ORDERSIGNER_MULTI_SIG={USER} {OUTER}" in fields
    assert not any("MULTI_SIG" in field for field in hyperliquid.read(ORDER).entry()[1])


def test_the_order_of_the_keys_matters() -> None:
    turned = dict(reversed(list(ORDER["action"].items())))
    assert hyperliquid.read(changed(action=turned)).digest != hyperliquid.read(ORDER).digest


def test_null_is_as_good_as_absent_for_the_vault_and_the_expiry() -> None:
    absent = hyperliquid.read(changed(vaultAddress=NOTHING))
    assert hyperliquid.read(changed(vaultAddress=None, expiresAfter=None)) == absent


@pytest.mark.parametrize(
    "other",
    [
        {"nonce": 1},
        {"network": "testnet"},
        {"vaultAddress": ADDRESS},
        {"vaultAddress": "0x" + "0" * 40},
        {"expiresAfter": 0},
        {"action": {**ORDER["action"], "grouping": "normalTpsl"}},
    ],
    ids=repr,
)
def test_any_change_changes_the_digest(other: dict[str, Any]) -> None:
    assert hyperliquid.read(changed(**other)).digest != hyperliquid.read(ORDER).digest


@pytest.mark.parametrize(
    ("values", "field", "code"),
    [
        ({"action": NOTHING}, "action", "missing"),
        ({"action": None}, "action", "empty"),
        ({"action": {}}, "action", "empty"),
        ({"action": []}, "action", "wrong_type"),
        ({"nonce": NOTHING}, "nonce", "missing"),
        ({"nonce": None}, "nonce", "empty"),
        ({"nonce": "0"}, "nonce", "wrong_type"),
        ({"nonce": True}, "nonce", "wrong_type"),
        ({"nonce": 0.0}, "nonce", "wrong_type"),
        ({"nonce": -1}, "nonce", "negative"),
        ({"nonce": 2**64}, "nonce", "out_of_range"),
        ({"vaultAddress": 0}, "vaultAddress", "wrong_type"),
        ({"vaultAddress": ADDRESS[2:]}, "vaultAddress", "not_address"),
        ({"vaultAddress": ADDRESS.replace("ea", "Ea")}, "vaultAddress", "not_address"),
        ({"expiresAfter": "1"}, "expiresAfter", "wrong_type"),
        ({"expiresAfter": -1}, "expiresAfter", "negative"),
        ({"expiresAfter": 2**64}, "expiresAfter", "out_of_range"),
        ({"network": NOTHING}, "network", "missing"),
        ({"network": "devnet"}, "network", "not_valid_choice"),
        ({"network": 1}, "network", "wrong_type"),
    ],
    ids=repr,
)
def test_a_fault_is_named(values: dict[str, Any], field: str, code: str) -> None:
    assert refusal(changed(**values)) == (field, code)


@pytest.mark.parametrize(
    ("action", "field", "code"),
    [
        ({"type": "order", "orders": [{"p": "1"}, {"p": 1.0}]}, "action.orders[1].p", "wrong_type"),
        ({"a": 1e400}, "action.a", "wrong_type"),
        ({"a": [[0, -0.0]]}, "action.a[0][1]", "wrong_type"),
        ({"a": 2**64}, "action.a", "out_of_range"),
        ({"a": {"b": -(2**63) - 1}}, "action.a.b", "out_of_range"),
        ({"a": ["x", "\udc00"]}, "action.a[1]", "wrong_encoding"),
        ({"a": {"\ud800": 1}}, "action.a", "wrong_encoding"),
    ],
    ids=repr,
)
def test_a_fault_in_the_action_is_named(action: dict[str, Any], field: str, code: str) -> None:
    assert refusal(changed(action=action)) == (field, code)


def test_an_action_nested_as_deeply_as_a_line_can_be_is_signed() -> None:
    value: Any = {"a": 1}
    for _ in range(MAX_DEPTH - 2):  # one more is the request
        value = {"a": value}
    assert hyperliquid.read(changed(action=value)).digest == expected(changed(action=value))
    innermost = value
    while type(innermost["a"]) is dict:
        innermost = innermost["a"]
    innermost["a"] = 0.5
    assert refusal(changed(action=value)) == ("action" + ".a" * (MAX_DEPTH - 1), "wrong_type")


def test_an_action_nested_more_deeply_is_refused() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert refusal(changed(action={"a": deep})) == ("action", "too_deep")
    while deep:  # freed level by level, because freeing it at once takes a stack as deep
        deep = deep.pop()


@pytest.mark.parametrize("letter", ["\u02c0", "\u02ff", "a"])
@pytest.mark.parametrize("number", [0.5, 1e300, -0.0, 2.0**-149])
def test_a_double_is_found_also_next_to_what_has_a_byte_of_its_form(letter: str, number: float) -> None:
    """In msgpack a double begins with CB, a byte that also occurs in these letters and numbers."""
    action = {"type": letter * 20, "n": [0xCB, 0xCBCB, 0xCBCBCBCBCBCBCBCB]}
    assert hyperliquid.read(changed(action=action)).digest == expected(changed(action=action))
    action["n"].append(number)  # type: ignore[attr-defined]
    assert refusal(changed(action=action)) == ("action.n[3]", "wrong_type")


def test_the_journal_says_what_an_action_is() -> None:
    action = hyperliquid.read(changed(vaultAddress=ADDRESS))
    assert action.type == "hyperliquid"
    words, fields = action.entry()
    assert words.startswith(f'Hyperliquid action "order" on mainnet for vault {ADDRESS}')
    assert fields[:3] == ("ORDERSIGNER_ACTION=order", "ORDERSIGNER_NETWORK=mainnet", f"ORDERSIGNER_VAULT={ADDRESS}")


BUY = {"a": 1, "b": True, "p": "100.5", "s": "3", "r": False, "t": {}}
SELL = {**BUY, "a": 2, "b": False}
BUY_WORDS, BUY_FIELDS = ' to buy "3" of asset 1 at "100.5"', ("SIDE=buy", "SIZE=3", "ASSET=1", "PRICE=100.5")


@pytest.mark.parametrize(
    ("content", "words", "fields"),
    [
        ({"type": "order", "orders": [BUY]}, BUY_WORDS, (*BUY_FIELDS, "ORDERS=1")),
        ({"type": "order", "orders": [BUY, SELL, SELL]}, f"{BUY_WORDS} (first of 3)", (*BUY_FIELDS, "ORDERS=3")),
        ({"type": "modify", "oid": 1, "order": BUY}, BUY_WORDS, (*BUY_FIELDS, "ORDERS=1")),
        (
            {"type": "batchModify", "modifies": [{"oid": 1, "order": BUY}, {"oid": 2, "order": SELL}]},
            f"{BUY_WORDS} (first of 2)",
            (*BUY_FIELDS, "ORDERS=2"),
        ),
        ({"type": "cancel", "cancels": [{"a": 7, "o": 1}] * 2}, " of asset 7 (first of 2)", ("ASSET=7", "ORDERS=2")),
        ({"type": "cancelByCloid", "cancels": [{"asset": 7, "cloid": "0x"}]}, " of asset 7", ("ASSET=7", "ORDERS=1")),
        (
            {"type": "twapOrder", "twap": {"a": 7, "b": False, "s": "9", "r": False, "m": 5, "t": True}},
            ' to sell "9" of asset 7',
            ("SIDE=sell", "SIZE=9", "ASSET=7", "ORDERS=1"),
        ),
        ({"type": "updateLeverage", "asset": 7, "isCross": True, "leverage": 5}, " of asset 7", ("ASSET=7",)),
        ({"type": "scheduleCancel", "time": 7}, "", ()),
        # The part that counts is that of the action's type, whatever else there is.
        ({"type": "order", "orders": [BUY], "cancels": [{"a": 9}], "a": 9}, BUY_WORDS, (*BUY_FIELDS, "ORDERS=1")),
        # Any value may be anywhere, because the content is not checked.
        ({"type": "order"}, "", ("ORDERS=0",)),
        ({"type": "order", "orders": []}, "", ("ORDERS=0",)),
        ({"type": "order", "orders": {"a": 1}}, "", ("ORDERS=0",)),
        ({"type": "order", "orders": [7, BUY]}, " (first of 2)", ("ORDERS=2",)),
        ({"type": "batchModify", "modifies": [{"order": 7}]}, "", ("ORDERS=1",)),
        ({"type": "modify", "order": []}, "", ("ORDERS=1",)),
        (
            {"type": "modify", "order": {"a": "x, y", "b": 1, "s": [], "p": "1" * 50}},
            f' of asset "x, y" at "{"1" * 32}…"',
            ("ASSET=x, y", f"PRICE={'1' * 32}…", "ORDERS=1"),
        ),
    ],
)
def test_the_journal_says_what_the_first_order_is_and_how_many_there_are(
    content: dict[str, Any], words: str, fields: tuple[str, ...]
) -> None:
    said, entered = hyperliquid.read(changed(action=content)).entry()
    assert said == f'Hyperliquid action "{content["type"]}" on mainnet{words}'
    assert entered[3:] == tuple(f"ORDERSIGNER_{field}" for field in fields)


@pytest.mark.parametrize("kind", [{}, [], 7, None, True])
def test_the_journal_takes_an_action_of_any_type(kind: object) -> None:
    words, _ = hyperliquid.read(changed(action={"type": kind, "orders": [BUY]})).entry()
    assert words.startswith("Hyperliquid action ")


def test_an_action_does_not_show_its_content() -> None:
    assert repr(hyperliquid.read(ORDER)) == "Action('mainnet')"
