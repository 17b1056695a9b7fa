"""A line to a request: what is well-formed, what is not, and what the answer says of it."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from daemon import EXAMPLE
from hypothesis import given
from hypothesis import strategies as st

from ordersigner import protocol
from ordersigner.refusal import CODES, Refusal

REQUEST = EXAMPLE["request"]
KEY = REQUEST["signer"]


def read(line: bytes) -> protocol.SignRequest | None:
    """What the protocol makes of `line`: a request to sign, or None for a ping."""
    message = protocol.decode(line)
    return None if protocol.is_ping(message) else protocol.read_request(message)


def problems(line: bytes | str) -> dict[str, list[str]]:
    """The codes by field for which `line` is refused."""
    with pytest.raises(Refusal) as caught:
        read(line.encode() if isinstance(line, str) else line)
    response = json.loads(protocol.refused(caught.value, None))
    assert response["ok"] is False
    assert list(response["error"]) == ["type", "message", "context"]
    assert response["error"]["type"] == "ValueError"
    for reports in response["error"]["context"].values():
        for report in reports:
            assert list(report) == ["code", "message"]
            assert report["code"] in CODES
            assert report["message"]
            assert KEY[2:] not in report["message"]
    return {field: [report["code"] for report in reports] for field, reports in response["error"]["context"].items()}


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in REQUEST.items() if name != key}


def test_the_example_is_read() -> None:
    request = protocol.read_request(protocol.decode(json.dumps(REQUEST).encode()))
    assert request == (REQUEST["type"], REQUEST["order"], REQUEST["instrument"], REQUEST["signer"])
    assert KEY[2:] not in repr(request)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"x", {"": ["not_json"]}),
        (b"{", {"": ["not_json"]}),
        (b"{}{}", {"": ["not_json"]}),
        (b'{"type": "ping"} x', {"": ["not_json"]}),
        (b"{'type': 'ping'}", {"": ["not_json"]}),
        (b'{"type": "ping",}', {"": ["not_json"]}),
        (b'{"type": "p\ting"}', {"": ["not_json"]}),
        (b"NaN", {"": ["not_json"]}),
        (b"-Infinity", {"": ["not_json"]}),
        (b"\x00", {"": ["not_json"]}),
        ("\ufeff\ufeff{}".encode(), {"": ["not_json"]}),
        (b"\xff", {"": ["wrong_encoding"]}),
        (b'{"type": "\xc3("}', {"": ["wrong_encoding"]}),
        (b'{"type": "\xed\xa0\x80"}', {"": ["wrong_encoding"]}),
        ('{"type": "ping"}'.encode("utf-16"), {"": ["wrong_encoding"]}),
        (b"[]", {"": ["wrong_type"]}),
        (b"null", {"": ["wrong_type"]}),
        (b'"ping"', {"": ["wrong_type"]}),
        (b"[" * 60_000, {"": ["too_deep"]}),
        (b"[" * 33 + b"]" * 33, {"": ["too_deep"]}),
        (b"[" * 32 + b"]" * 32, {"": ["wrong_type"]}),
        (b"[" + b"[]," * 100 + b"[]]", {"": ["wrong_type"]}),
        (b'"' + b"[" * 100 + b'\\"[["', {"": ["wrong_type"]}),
        (b'{"a":' * 10_000, {"": ["too_deep"]}),
        (b"9" * 60_000, {"": ["out_of_range"]}),
    ],
)
def test_a_line_that_holds_no_object_is_refused_as_a_whole(line: bytes, expected: dict[str, list[str]]) -> None:
    assert problems(line) == expected


MOST = 65536
HOSTILE = {
    "digits": (b"9" * MOST, "out_of_range"),
    "digits after the point": (b"0." + b"9" * (MOST - 2), "wrong_type"),
    "digits of an exponent": (b"1e-" + b"9" * (MOST - 3), "wrong_type"),
    "brackets": (b"[" * MOST, "too_deep"),
    "empty arrays": (b"[" + b"[]," * 20_000 + b"[]]", "wrong_type"),
    "quotes in a string without end, and brackets": (b'"' + b'\\"' * 32_000 + b"[" * 40, "not_json"),
    "backslashes in a string without end, and brackets": (b'"' + b"\\" * 64_001 + b"[" * 40, "not_json"),
    "many constants": (b"[" + b"NaN," * 16_000 + b"1]", "not_json"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_line_made_to_cost_much_is_refused_in_time_that_is_linear_in_its_length(name: str) -> None:
    line, code = HOSTILE[name]  # with quadratic time this test would take minutes
    assert len(line) <= MOST
    assert problems(line) == {"": [code]}


def test_a_long_path_to_many_members_is_not_kept_for_each_of_them() -> None:
    members = ",".join(f'"{number}":0' for number in range(3500))
    assert problems('{"' + "k" * 30_000 + '":{' + members + ',"x":NaN}}') == {"k" * 30_000 + ".x": ["not_json"]}


@pytest.mark.parametrize(
    ("line", "field", "code"),
    [
        ('{"type": "ping", "type": "ping"}', "type", "duplicate"),
        ('{"order": {"price": 1, "price": 1}}', "order.price", "duplicate"),
        ('{"order": {"x": [{"y": 1, "y": 2}]}}', "order.x.y", "duplicate"),
        (
            '{"instrument": {"base": {"decimals": 1, "address": "", "decimals": 1}}}',
            "instrument.base.decimals",
            "duplicate",
        ),
        ('{"order": {"price": NaN}}', "order.price", "not_json"),
        ('{"order": {"quantity": -Infinity}}', "order.quantity", "not_json"),
        ('{"instrument": {"quote": {"decimals": Infinity}}}', "instrument.quote.decimals", "not_json"),
        ('{"order": {"price": ' + "1" * 5000 + "}}", "order.price", "out_of_range"),
    ],
)
def test_what_json_should_not_hold_is_found_where_it_is(line: str, field: str, code: str) -> None:
    if code == "out_of_range" and not hasattr(__import__("sys"), "get_int_max_str_digits"):
        pytest.skip("this Python reads integers of any length")
    assert problems(line) == {field: [code]}


def test_a_byte_order_mark_is_no_obstacle() -> None:
    assert protocol.is_ping(protocol.decode('\ufeff{"type": "ping"}'.encode()))


def test_white_space_is_no_obstacle() -> None:
    assert protocol.is_ping(protocol.decode(b' \t{ "type"\t:  "ping" } \r'))


@pytest.mark.parametrize("key", ["type", "order", "instrument", "signer"])
def test_a_missing_key_is_named(key: str) -> None:
    assert problems(json.dumps(without(key))) == {key: ["missing"]}


@pytest.mark.parametrize("key", ["type", "order", "instrument", "signer"])
@pytest.mark.parametrize("value", [None, True, 0, 1, 1.5, "", [], {}, [1]])
def test_a_value_of_the_wrong_type_or_an_empty_one_is_named(key: str, value: Any) -> None:
    kind = type(REQUEST[key])
    code = "empty" if value is None or (type(value) is kind and not value) else "wrong_type"
    assert problems(json.dumps({**REQUEST, key: value})) == {key: [code]}


@pytest.mark.parametrize("word", ["SPOT", "Spot", " spot", "spot\x00", "message", "pong"])
def test_a_type_that_does_not_exist_is_refused(word: str) -> None:
    assert problems(json.dumps({**REQUEST, "type": word})) == {"type": ["not_valid_choice"]}


def test_all_problems_of_the_top_level_are_told_at_once() -> None:
    line = json.dumps({"type": "x", "instrument": 1, "order": {}, "id": None, "extra": 1, "id2": 2})
    assert problems(line) == {
        "type": ["not_valid_choice"],
        "instrument": ["wrong_type"],
        "order": ["empty"],
        "signer": ["missing"],
        "id": ["empty"],
        "extra": ["unexpected"],
        "id2": ["unexpected"],
    }


def test_a_line_of_nothing_but_unknown_keys_gets_no_response_many_times_its_size() -> None:
    line = json.dumps({**REQUEST, **{f"key{number}": 0 for number in range(4000)}})
    found = problems(line)
    assert len(found) == protocol.MAX_UNEXPECTED
    assert set(map(tuple, found.values())) == {("unexpected",)}


@pytest.mark.parametrize("value", [0, -1, 10**30, "", "é\u2028", "\ud800", "0"])
def test_an_id_is_echoed(value: Any) -> None:
    message = protocol.decode(json.dumps({"type": "ping", "id": value}).encode())
    assert protocol.is_ping(message)
    request_id = protocol.read_id(message)
    for response in (protocol.pong("1", request_id), protocol.signed("0x00", request_id), protocol.failed(request_id)):
        assert response.endswith(b"\r\n")
        assert json.loads(response)["id"] == value


@pytest.mark.parametrize("value", [None, True, False, 1.0, [], {}, ["x"]])
@pytest.mark.parametrize("request_type", ["ping", "spot"])
def test_an_id_of_another_type_is_refused(value: Any, request_type: str) -> None:
    request = {"type": "ping"} if request_type == "ping" else REQUEST
    assert problems(json.dumps({**request, "id": value})) == {"id": ["empty" if value is None else "wrong_type"]}


@pytest.mark.parametrize("key", ["order", "instrument", "signer", "extra"])
def test_a_ping_has_nothing_but_its_type_and_an_id(key: str) -> None:
    assert problems(json.dumps({"type": "ping", key: "x"})) == {key: ["unexpected"]}


def test_a_response_is_written_as_python_would_write_it() -> None:
    assert protocol.signed("0x00", None) == json.dumps({"ok": True, "signature": "0x00"}).encode() + b"\r\n"
    assert protocol.signed("0x00", 5) == b'{"ok": true, "signature": "0x00", "id": 5}\r\n'


def test_a_fault_of_the_daemon_tells_no_detail() -> None:
    error = json.loads(protocol.failed(None))["error"]
    assert error["type"] == "InternalError"
    assert error["context"] == {}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_refusal(line: bytes) -> None:
    with contextlib.suppress(Refusal):
        read(line)


@given(st.dictionaries(st.sampled_from(["type", "order", "instrument", "signer", "id", "x"]), json_values))
def test_no_object_raises_anything_but_a_refusal(message: dict[str, Any]) -> None:
    with contextlib.suppress(Refusal):
        read(json.dumps(message).encode())


@given(
    st.dictionaries(
        st.text(max_size=8),
        json_values.filter(lambda value: "NaN" not in json.dumps(value) and "Infinity" not in json.dumps(value)),
    )
)
def test_an_object_is_decoded_as_python_decodes_it(message: dict[str, Any]) -> None:
    line = json.dumps(message)
    assert protocol.decode(line.encode()) == json.loads(line)
    assert protocol._decode_with_care(line) == json.loads(line)  # the two ways agree
