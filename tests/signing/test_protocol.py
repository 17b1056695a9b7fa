"""Lines that are requests, lines that are not, and the responses."""

from __future__ import annotations

import contextlib
import json
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.daemon import EXAMPLE, traced

from ordersigner.peer import Peer
from ordersigner.refusal import CODES, Refusal
from ordersigner.signing import protocol
from ordersigner.signing.conversation import Conversation, Service
from ordersigner.signing.journal import LEVELS, Journal

REQUEST = EXAMPLE["request"]
KEY = REQUEST["signer"]


def read(line: bytes) -> protocol.Request:
    """The request in `line`."""
    return protocol.read_request(protocol.decode(line))


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
    assert (request.type, request.members, request.signer) == (REQUEST["type"], REQUEST, REQUEST["signer"])
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
        (b"9" * 60_000, {"": ["out_of_range"]}),
    ],
)
def test_a_line_that_holds_no_object_is_refused_as_a_whole(line: bytes, expected: dict[str, list[str]]) -> None:
    assert problems(line) == expected


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"[" * 512 + b"]" * 512, "wrong_type"),
        (b"[" * 513 + b"]" * 513, "too_deep"),
        (b"[" * 512, "not_json"),
        (b"[" * 513, "too_deep"),
        (b'{"":' * 512, "not_json"),
        (b'{"":' * 513, "too_deep"),
        (b"[" + b"[]," * 3800 + b"[" * 511, "not_json"),
        (b"[" + b"[]," * 3000 + b"[" * 512, "too_deep"),
        (b"]" * 60_000, "not_json"),
        (b"[" + b"{}," * 4095 + b"{}]", "wrong_type"),
        (b"[" + b"{}," * 4096 + b"{}]", "too_many_values"),
        (b"[" + b"0," * 8191 + b"0]", "wrong_type"),
        (b"[" + b"0," * 8192 + b"0]", "too_many_values"),
        (b"[[" + b"0," * 8191 + b"0]]", "too_many_values"),
        (b"[" * 513 + b"," * 8192, "too_many_values"),
        (b'"' + b"[{,]}" * 13_000 + b'"', "wrong_type"),
        (b'"' + b'[{,\\"\\\\' * 8000 + b'"', "wrong_type"),
        (b'["\\\\",' + b"[" * 512, "too_deep"),
        (b'["\\"' + b"[" * 600, "not_json"),
    ],
)
def test_the_nesting_and_the_number_of_values_have_bounds_and_strings_do_not_count(line: bytes, code: str) -> None:
    assert problems(line) == {"": [code]}


def test_a_refusal_for_the_size_of_a_line_says_how_much_there_is_and_what_to_do() -> None:
    with pytest.raises(Refusal) as caught:
        protocol.decode(b"[" + b"0," * 9000 + b"0]")
    assert caught.value.context[""][0].message == "A request has at most 8192 values, and this one has 9001: split it."
    with pytest.raises(Refusal) as caught:
        protocol.decode(b"[" * 600)
    assert "600" in caught.value.context[""][0].message


texts_with_marks = st.recursive(
    st.none() | st.integers() | st.text('ab"\\[]{},:/é\n'),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('"\\[{,'), inner, max_size=4),
    max_leaves=15,
)


@given(texts_with_marks, st.booleans(), st.integers(0, 300))
def test_what_counts_is_outside_of_strings_wherever_a_line_ends(value: Any, ascii: bool, end: int) -> None:
    line = json.dumps(value, ensure_ascii=ascii)[:end].encode()
    depth = deepest = values = 0
    in_string = escaped = False
    for character in line.decode():
        if in_string:
            in_string = escaped or character != '"'
            escaped = character == "\\" and not escaped
        else:
            in_string = character == '"'
            depth += (character in "[{") - (character in "]}")
            deepest = max(depth, deepest)
            values += character in "[{,"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol, "MAX_DEPTH", 2)
        patch.setattr(protocol, "MAX_VALUES", 6)
        (code,) = problems(line).get("") or [""]
    assert (code == "too_many_values") == (values > 6)
    assert (code == "too_deep") == (values <= 6 and deepest > 2)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("value", ["1", "NaN", '{"b": 1, "b": 1}'])
def test_deep_nesting_is_decoded_also_deep_in_the_stack_of_a_thread(opening: str, value: str) -> None:
    depth = 512 - value.count("{")
    closing = "]" if opening == "[" else "}"
    line = ('{"x":' + opening * (depth - 1) + value + closing * (depth - 1) + "}").encode()
    outcomes: list[object] = []

    def descend(frames: int) -> object:
        if frames:
            return descend(frames - 1)
        try:
            return protocol.decode(line).keys()
        except Refusal as refusal:
            return [problem.code for problems in refusal.context.values() for problem in problems]

    thread = threading.Thread(target=lambda: outcomes.append(descend(300)))
    thread.start()
    thread.join()
    assert outcomes == [{"1": {"x"}, "NaN": ["not_json"]}.get(value, ["duplicate"])]


MOST = 65536


def filled(start: str, part: str, end: str = "", *, count: int = MOST) -> bytes:
    """`part` between `start` and `end`, `count` times or as often as a line has room for."""
    room = MOST - len(start.encode()) - len(end.encode())
    return (start + part * min(count, room // len(part.encode())) + end).encode()


def numbered_keys(count: int, last: str) -> bytes:
    return ("{" + "".join(f'"{number}":0,' for number in range(count)) + last + "}").encode()


def in_order(**fields: object) -> bytes:
    return json.dumps({**REQUEST, "order": {**REQUEST["order"], **fields}}).encode()


DEL = "\x7f"  # six bytes in a response
FACE = "\U0001f600"  # twelve bytes in a response
WORST = {
    "brackets": filled("", "["),
    "braces": filled("", '{"a":'),
    "nested arrays": b"[" * 512 + b"]" * 512,
    "nested objects": b'{"a":' * 512 + b"1" + b"}" * 512,
    "nested objects with long keys around NaN": ('{"' + "k" * 110 + '":').encode() * 512 + b"NaN" + b"}" * 512,
    "nested objects with duplicates": b'{"a":1,"a":' * 512 + b"1" + b"}" * 512,
    "objects with duplicates": filled("[", '{"a":1,"a":1},', "1]", count=500),
    "NaN everywhere": filled("[", "NaN,", "NaN]", count=2047),
    "NaN too often": filled("[", "NaN,", "NaN]"),
    "NaN after many values": filled("[", "0,", "NaN]", count=2047),
    "NaN after many keys": numbered_keys(2046, '"x":NaN'),
    "NaN after many arrays": filled("[", "[1,2],", "NaN]", count=500),
    "NaN after one very long key": filled('{"', "k", '":{"a":0,"b":NaN}}'),
    "duplicate first": numbered_keys(2046, '"0":0'),
    "duplicate last": numbered_keys(2046, '"2045":0'),
    "duplicates only": filled("{", '"a":1,', '"a":1}', count=2046),
    "many keys": numbered_keys(2046, '"x":0'),
    "many ignored keys": in_order(**{f"k{number}": 0 for number in range(2000)}),
    "a long key of control characters": filled('{"', DEL, '":1}'),
    "a long key of faces": filled('{"', FACE, '":1}'),
    "long keys of faces": ("{" + ",".join(f'"{number:02}{FACE * 900}":0' for number in range(18)) + "}").encode(),
    "a long key that is escaped": filled('{"', "\\u0001", '":1}'),
    "long keys of faces, and an id of them": json.dumps(
        {"id": FACE * 128, **{f"{number:03}{FACE * 125}": 0 for number in range(60)}}, ensure_ascii=False
    ).encode(),
    "a long key to NaN": filled('{"order":{"', FACE, '":NaN}}'),
    "a long id": filled('{"type":"ping","id":"', FACE, '"}'),
    "an id of digits": filled('{"type":"ping","id":', "9", "}", count=4300),
    "escapes": filled('{"a":"', "\\n", '"}'),
    "escapes, and then NaN": filled('{"a":"', "\\n", '","b":NaN}'),
    "escapes without end": filled('{"a":"', "\\n"),
    "surrogates": filled('{"a":"', "\\ud83d\\u0041", '"}'),
    "quotes in a string without end": filled('"', '\\"'),
    "backslashes": filled('"', "\\"),
    "digits": filled("", "9"),
    "digits after the point": filled("0.", "9"),
    "digits of an exponent": filled("1e-", "9"),
    "integers that are barely short enough": filled("[", "9" * 4300 + ",", "1]"),
    "integers, one of them too long": filled("[" + "9" * 4301 + ",", "9" * 25 + ",", "1]", count=2046),
    "doubles that are hard to read": filled("[", "12345678901234567e-300,", "1]", count=2046),
    "spaces": filled("{", " ", "}"),
    "a byte order mark, and many keys": b"\xef\xbb\xbf" + numbered_keys(2046, '"x":0'),
    "a wrong byte at the end": filled("", "é")[:-1] + b"\xff",
    "commas": filled("", ","),
    "zero bytes": filled("", "\0"),
    "an amount of digits": in_order(quantity="9" * 64_000),
    "an amount of zeros": in_order(quantity="0" * 64_000),
    "an account of digits": in_order(accountId="a" * 64_000),
    "a long side": in_order(side="b" * 64_000),
    "a long type": json.dumps({**REQUEST, "type": "s" * 64_000}).encode(),
    "a long signer": json.dumps({**REQUEST, "signer": "a" * 64_000}).encode(),
    "a signer of spaces": json.dumps({**REQUEST, "signer": KEY + " " * 64_000}).encode(),
}


def respond(line: bytes) -> bytes:
    return Conversation(Service(Journal(LEVELS["err"], lambda *fields: None)), Peer(1, 2, 3)).respond(line)


@pytest.mark.parametrize("name", WORST)
def test_the_work_for_a_line_is_bounded_by_its_values_not_by_its_length(name: str) -> None:
    """Work is counted in lines of Python that run. The functions in C take time that is linear in the line's length."""
    line = WORST[name]
    assert len(line) <= MOST
    response, steps = traced(lambda: respond(line))
    assert 10 < steps < 12 * protocol.MAX_VALUES
    assert len(response) <= protocol.MAX_RESPONSE
    assert json.loads(response).get("error", {}).get("type") != "InternalError"


@given(st.data())
def test_no_response_is_longer_than_its_bound(data: st.DataObject) -> None:
    letters = st.sampled_from([DEL, FACE, "\0", "k", "é", "\ud800", '"', "."])
    long_texts = st.builds(lambda letter, tail, count: letter * count + tail, letters, st.text(), st.integers(0, 300))
    message: Any = data.draw(
        st.dictionaries(st.sampled_from(["type", "order", "signer", "id"]) | long_texts, st.just(0) | long_texts)
    )
    if data.draw(st.booleans()):
        message["id"] = FACE * 128
    for _ in range(data.draw(st.integers(0, 30))):
        message = {data.draw(long_texts): message}
    line = json.dumps(message, ensure_ascii=data.draw(st.booleans())).encode(errors="replace")
    if data.draw(st.booleans()):
        line = line.replace(b" 0", b" NaN", 1)
    assert len(respond(line)) <= protocol.MAX_RESPONSE


def test_the_longest_refusal_comes_close_to_half_of_the_bound() -> None:
    """So the bound means something, and all limits that it rests on apply. Only lists of rules are longer."""
    keys = {f"{number:02}{FACE * 125}{number}": 0 for number in range(10, 30)}
    line = json.dumps({**keys, "type": "x", "order": {}, "id": FACE * 128}, ensure_ascii=False).encode()
    response = respond(line)
    assert 0.4 * protocol.MAX_RESPONSE < len(response) <= protocol.MAX_RESPONSE / 2
    assert json.loads(response)["id"] == FACE * 128


@pytest.mark.parametrize("key", ["k" * 128, "k" * 127, FACE * 128])
def test_a_field_of_128_characters_is_named_in_full(key: str) -> None:
    assert problems(json.dumps({**REQUEST, key: 0})) == {key: ["unexpected"]}


def test_a_longer_field_is_named_by_its_beginning_and_its_end() -> None:
    assert problems('{"order":{"' + "k" * 60_000 + '":{"price":NaN}}}') == {
        "order." + "k" * 57 + "…" + "k" * 58 + ".price": ["not_json"]
    }
    ((field, codes),) = problems(json.dumps({**REQUEST, "first" + "x" * 119 + "last!": 0})).items()
    assert codes == ["unexpected"]
    assert len(field) == 128
    assert field.startswith("first")
    assert field.endswith("last!")


@pytest.mark.parametrize("line", [json.dumps({**REQUEST, "extra": 1}), '{"extra": 1, "extra": 1}'])
def test_the_text_of_a_problem_does_not_repeat_the_name_of_its_field(line: str) -> None:
    error = json.loads(respond(line.encode()))["error"]
    assert "extra" not in error["context"]["extra"][0]["message"]


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
def test_a_value_that_is_not_json_is_refused_under_its_field(line: str, field: str, code: str) -> None:
    if code == "out_of_range" and not hasattr(__import__("sys"), "get_int_max_str_digits"):
        pytest.skip("this Python reads integers of any length")
    assert problems(line) == {field: [code]}


def test_a_byte_order_mark_is_skipped() -> None:
    assert read('\ufeff{"type": "ping"}'.encode()).type == "ping"


def test_white_space_is_skipped() -> None:
    assert read(b' \t{ "type"\t:  "ping" } \r').type == "ping"


@pytest.mark.parametrize("key", ["type", "order", "instrument", "signer"])
def test_a_missing_key_is_named(key: str) -> None:
    assert problems(json.dumps(without(key))) == {key: ["missing"]}


@pytest.mark.parametrize("key", ["type", "order", "instrument", "signer"])
@pytest.mark.parametrize("value", [None, True, 0, 1, 1.5, "", [], {}, [1]])
def test_a_value_of_the_wrong_type_or_an_empty_one_is_named(key: str, value: Any) -> None:
    kind = type(REQUEST[key])
    code = "empty" if value is None or (type(value) is kind and not value) else "wrong_type"
    assert problems(json.dumps({**REQUEST, key: value})) == {key: [code]}


@pytest.mark.parametrize("word", ["SPOT", "Spot", " spot", "spot\x00", "messages", "pong"])
def test_a_type_that_does_not_exist_is_refused(word: str) -> None:
    assert problems(json.dumps({**REQUEST, "type": word})) == {"type": ["not_valid_choice"]}


def test_all_problems_of_the_top_level_are_reported_at_once() -> None:
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


def test_a_line_of_nothing_but_unknown_keys_gets_a_response_that_lists_sixteen() -> None:
    line = json.dumps({**REQUEST, **{f"key{number}": 0 for number in range(2000)}})
    found = problems(line)
    assert len(found) == protocol.MAX_UNEXPECTED
    assert set(map(tuple, found.values())) == {("unexpected",)}


@pytest.mark.parametrize(
    "value", [0, -1, 2**128 - 1, 1 - 2**128, "", "é\u2028", "\ud800", "0", "x" * 128, "\U0001f600" * 128]
)
def test_an_id_is_echoed(value: Any) -> None:
    message = protocol.decode(json.dumps({"type": "ping", "id": value}).encode())
    assert protocol.read_request(message).type == "ping"
    request_id = protocol.read_id(message)
    for response in (protocol.pong("1", request_id), protocol.signed("0x00", request_id), protocol.failed(request_id)):
        assert response.endswith(b"\r\n")
        assert json.loads(response)["id"] == value


@pytest.mark.parametrize("value", [None, True, False, 1.0, [], {}, ["x"]])
@pytest.mark.parametrize("request_type", ["ping", "spot"])
def test_an_id_of_another_type_is_refused(value: Any, request_type: str) -> None:
    request = {"type": "ping"} if request_type == "ping" else REQUEST
    assert problems(json.dumps({**request, "id": value})) == {"id": ["empty" if value is None else "wrong_type"]}


@pytest.mark.parametrize("value", [2**128, -(2**128), 10**4000, "x" * 129, "\U0001f600" * 129, "x" * 60_000])
@pytest.mark.parametrize("request_type", ["ping", "spot"])
def test_an_id_that_is_too_long_is_refused_and_not_echoed(value: Any, request_type: str) -> None:
    request = {"type": "ping"} if request_type == "ping" else REQUEST
    line = json.dumps({**request, "id": value})
    assert problems(line) == {"id": ["out_of_range"]}
    assert "id" not in json.loads(respond(line.encode()))


@pytest.mark.parametrize("key", ["order", "instrument", "signer", "extra"])
def test_a_ping_has_nothing_but_its_type_and_an_id(key: str) -> None:
    assert problems(json.dumps({"type": "ping", key: "x"})) == {key: ["unexpected"]}


def test_a_response_is_written_as_python_would_write_it() -> None:
    assert protocol.signed("0x00", None) == json.dumps({"ok": True, "signature": "0x00"}).encode() + b"\r\n"
    assert protocol.signed("0x00", 5) == b'{"ok": true, "signature": "0x00", "id": 5}\r\n'


def test_a_fault_of_the_daemon_reveals_no_detail() -> None:
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
    assert protocol.decode_with_care(line) == json.loads(line)  # both ways agree
