"""Real mistakes from bug reports of other signers and wallets: the answer says what to do.

CASES has a row for each file in tests/vectors/cases: the line, or the lines, that the file holds. The other tests hold
the rules behind the rows: no text of the daemon names Python's types, repeats a value, or guesses.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from support.daemon import EXAMPLE, SOURCE
from support.held import MARKET, MESSAGES, ORDERS, address, rule
from support.keys import held
from support.policies import policy_of

from ordersigner.payloads.typed_values import ATOMS
from ordersigner.peer import Peer
from ordersigner.policy.rules import Policy
from ordersigner.refusal import CODES, REMEDIES
from ordersigner.signing.conversation import Conversation, Service
from ordersigner.signing.journal import LEVELS, Journal
from ordersigner.signing.keyring import Keyring

FILES = SOURCE / "tests" / "vectors" / "cases"
KEY: str = EXAMPLE["request"]["signer"]
HELD = held(KEY[2:])
WORDS = (
    'This must be "spot", "futures", "typed_data", "message", "hyperliquid", "transaction", "ping", "signers",'
    ' "status", "freeze" or "thaw".'
)
SIGNED = ("", "", "")
# By file: the field, the code, and a part of the text of the refusal of its first line.
CASES = {
    "request-json-rpc": ("type", "missing", "This daemon does not speak JSON-RPC"),
    "request-pretty-printed": ("", "not_json", "The line ends inside of an object. A request must be on one line."),
    "request-type-typo": ("type", "not_valid_choice", f'{WORDS} Did you mean "typed_data"?'),
    "typed-data-bytes-buffer": ("typed_data.message.v", "wrong_type", "an object. It must be a string of 0x and"),
    "typed-data-cow-appdata-document": ("typed_data.message.appData", "not_hex", 'such as "0x00ff". Nothing is conv'),
    "typed-data-domain-chainid-string-type": SIGNED,
    "typed-data-domain-order": SIGNED,
    "typed-data-field-internaltype": (
        "typed_data.types.M[0].internalType",
        "unexpected",
        "A field has only name and type",
    ),
    "typed-data-float-1e18": (
        "typed_data.message.v",
        "wrong_type",
        'It must be an integer, or a string of its decimal digits without leading zeros, such as "1000000000000000000"',
    ),
    "typed-data-recursive-array": ("typed_data.types.Node[1].type", "not_type", "This daemon does not sign such types"),
    "typed-data-uint": ("typed_data.types.M[0].type", "not_type", 'Use "uint256".'),
    "hyperliquid-float-price": ("action.orders[0].p", "wrong_type", "It must be a string, as all amounts"),
    "hyperliquid-trailing-zeros": SIGNED,
    "hyperliquid-usdsend-as-l1": SIGNED,
    "hyperliquid-vault-empty-string": ("vaultAddress", "empty", "or null, or left out."),
}


class Talk:
    """A conversation, and the entries that it leaves."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.entries: list[str] = []
        journal = Journal(LEVELS["debug"], lambda entry, wait: self.entries.extend(entry))
        service = Service(journal, Keyring({HELD.address: HELD}), policy)
        self._conversation = Conversation(service, Peer(1, 2, 3))

    def ask(self, request: object) -> dict[str, Any]:
        """request: a line, or what JSON makes one of."""
        line = request if isinstance(request, bytes) else json.dumps(request).encode()
        answer: dict[str, Any] = json.loads(self._conversation.respond(line))
        return answer

    def problems(self, request: object) -> dict[str, tuple[str, str]]:
        """The code and the text of each field with which the daemon refuses a request."""
        context = self.ask(request)["error"]["context"]
        return {field: (problem["code"], problem["message"]) for field, (problem,) in context.items()}


def test_each_file_has_a_row() -> None:
    assert {file.stem for file in FILES.iterdir()} == CASES.keys()


@pytest.mark.parametrize("name", CASES)
def test_a_case(name: str) -> None:
    field, code, words = CASES[name]
    line, *_ = (FILES / f"{name}.json").read_bytes().splitlines()
    if not code:
        assert Talk().ask(line)["ok"]
        return
    ((named, (given, text)),) = Talk().problems(line).items()
    assert (named, given) == (field, code)
    assert words in text


def test_each_line_of_json_that_is_spread_over_lines_is_told_to_be_one() -> None:
    lines = (FILES / "request-pretty-printed.json").read_bytes().splitlines()
    texts = [text for line in lines for _, text in Talk().problems(line.strip()).values()]
    assert len(texts) == len(lines) == 5
    assert ["jq -c . FILE" in text for text in texts] == [True, True, True, True, False]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{", "The line ends inside of an object."),
        (b'{"a": {"b": [', "The line ends inside of an object."),
        (b'{"a": 1', "The line ends inside of an object."),
        (b'{"a":', "The line ends inside of an object."),
        (b"[1,", "The line ends inside of an array."),
        (b'{"a": 1} {}', "Something follows the value that ends in column 8."),
        (b'{"a": 1} // bids', "A line has one request, and nothing after it."),
        (b'{"a": 1}\0', "A line has one request, and nothing after it."),
        (b"{'a': 1}", 'Strings have straight double quotes ("), not what is in column 2.'),
        (b"{\"a\": 'b'}", 'Strings have straight double quotes ("), not what is in column 7.'),
        ("{“a”: 1}".encode(), 'Strings have straight double quotes ("), not what is in column 2.'),
        (b"{`a`: 1}", 'Strings have straight double quotes ("), not what is in column 2.'),
        (b"{a: 1}", "A key in double quotes must begin in column 2."),
        (b'{\\"a\\": 1}', "A key in double quotes must begin in column 2."),
        (b"", 'A request is an object, such as {"type": "ping"}.'),
        (b"POST / HTTP/1.1", "A request is an object"),
        (b'/* bids */ {"a": 1}', "A request is an object"),
        (b'{"a": 1,}', "Remove the comma before the end of an object or array in column "),
        (b'{"a": [1, ]}', "Remove the comma before the end of an object or array in column "),
        (b'{"a": True}', "The word in column 7 must be true, false or null."),
        (b'{"a": None}', "The word in column 7 must be true, false or null."),
        (b'{"a": "b', "The string that begins in column 7 does not end in this line."),
        (b'{"a": "b\tc"}', "The control character in column 9 must be escaped"),
        (b'{"a": "\\x41"}', "JSON does not have the escape in column 8."),
        (b"\xef\xbb\xbf\xef\xbb\xbf{}", "There is a byte order mark in column 1."),
        (b'{"a" 1}', "The fault is in column 6."),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b"\xff\xfe{\x00}\x00", "This line is not UTF-8."),
    ],
)
def test_a_line_that_is_not_json_is_told_why_and_where(line: bytes, words: str) -> None:
    ((_, (code, text)),) = Talk().problems(line).items()
    assert code in ("not_json", "wrong_encoding")
    assert words in text


def test_an_unexpected_key_is_answered_with_the_keys_of_such_a_request() -> None:
    said = Talk().problems({"type": "message", "message": "a", "signer": HELD.address})
    assert said == {"message": ("unexpected", "Unexpected key. Such a request has hex, id, signer, text, type.")}


@pytest.mark.parametrize(
    ("signer", "words"),
    [
        ("0" * 64, "it is zero, or not below the order of the curve"),
        ("0x" + "f" * 64, "it is zero, or not below the order of the curve"),
        (" " + "1" * 64, "no blanks and no line breaks"),
        ("1" * 64 + "\n", "no blanks and no line breaks"),
    ],
)
def test_a_signer_that_is_no_key_is_told_why(signer: str, words: str) -> None:
    said = Talk().problems({"type": "message", "text": "a", "signer": signer})
    assert said["signer"][0] == "not_key"
    assert words in said["signer"][1]


@pytest.mark.parametrize("request_type", ["typedData", "eth_sign", "pong", "spot ", "", None, 1, {}, [], True])
def test_with_an_unknown_type_nothing_else_is_complained_about(request_type: Any) -> None:
    assert Talk().problems({"type": request_type, "payload": 1, "signer": 5}).keys() == {"type"}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("future", "futures"),
        ("Spot", "spot"),
        ("spot ", "spot"),
        ("typedData", "typed_data"),
        ("typed-data", "typed_data"),
        ("hyperLiquid", "hyperliquid"),
        ("messages", "message"),
        ("signer", "signers"),
    ],
)
def test_a_type_that_is_nearly_right_gets_the_right_one(written: str, meant: str) -> None:
    ((_, (code, text)),) = Talk().problems({"type": written}).items()
    assert (code, text) == ("not_valid_choice", f'{WORDS} Did you mean "{meant}"?')


def test_a_key_that_is_nearly_right_gets_the_right_one() -> None:
    (text,) = (text for field, (_, text) in Talk().problems({"type": "message", "texts": "a", "signer": KEY}).items())
    assert text == 'Unexpected key. Did you mean "text"?'


@pytest.mark.parametrize(
    ("kind", "hint"),
    [
        ("uint", 'Use "uint256".'),
        ("int[2]", 'Use "int256".'),
        ("byte", 'Use "bytes1".'),
        ("unit256", 'Did you mean "uint256"?'),
        ("String", 'Did you mean "string"?'),
        ("boolean", 'Use "bool".'),
        ("uint7", '"uint8" to "uint256", in steps of 8.'),
        ("bytes33", '"bytes1" to "bytes32", and "bytes".'),
        ("function", "do not declare it."),
        ("bool[0]", "not the dimensions of an array"),
    ],
)
def test_a_type_that_is_no_type_gets_the_one_that_is_meant(kind: str, hint: str) -> None:
    ((_, (code, text)),) = Talk().problems(typed(kind, 1)).items()
    assert code == "not_type"
    assert text.endswith(hint) or hint in text


def typed(kind: str, value: object) -> dict[str, Any]:
    types = {"EIP712Domain": [{"name": "name", "type": "string"}], "M": [{"name": "v", "type": kind}]}
    data = {"types": types, "primaryType": "M", "domain": {"name": "T"}, "message": {"v": value}}
    return {"type": "typed_data", "typed_data": data, "signer": KEY}


VALUES: list[object] = [None, True, False, 5, -5, 1.5, 1e18, "", "x", "\ud800", [], [1], {}, {"a": 1}]
PYTHON = re.compile(r"\b(dict|list|str|int|float|bool|tuple|NoneType|None|True|False|Mapping|bytes object)\b|\[['\"]")
REQUESTS: list[dict[str, Any]] = [
    EXAMPLE["request"],
    typed("uint256", 1),
    typed("bytes", "0x00"),
    typed("address[1]", [40 * "0"]),
    {"type": "message", "text": "a", "signer": KEY},
    {"type": "message", "hex": "0x00", "signer": KEY},
    {
        "type": "hyperliquid",
        "action": {"type": "order", "orders": [{"a": 0, "p": "1"}]},
        "nonce": 1,
        "network": "mainnet",
        "vaultAddress": None,
        "expiresAfter": None,
        "signer": KEY,
        "id": 1,
    },
    {"type": "ping"},
]


def spoiled(value: Any, replacement: Any) -> Iterator[Any]:
    """`value`, with `replacement` in one place after the other."""
    yield replacement
    if isinstance(value, dict):
        for key in value:
            for part in spoiled(value[key], replacement):
                yield {**value, key: part}
            yield {other: value[other] for other in value if other != key}
            if isinstance(replacement, str):
                yield {replacement if other == key else other: value[other] for other in value}
        if isinstance(replacement, str):
            yield {**value, replacement: 1}
    if isinstance(value, list):
        for at, element in enumerate(value):
            for part in spoiled(element, replacement):
                yield [*value[:at], part, *value[at + 1 :]]


@pytest.mark.parametrize("request_line", REQUESTS, ids=range(len(REQUESTS)))
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_no_text_speaks_of_types_in_the_words_of_python(request_line: dict[str, Any], value: object) -> None:
    talk = Talk()
    for request in spoiled(request_line, value):
        answer = talk.ask(request)
        for problems in answer.get("error", {"context": {}})["context"].values():
            for problem in problems:
                words = problem["message"].replace('"bool"', "").replace('"bytes"', "")
                assert not PYTHON.search(words), words


# Half of a key is too much. 12 digits in a row are there by chance only once in 2^48.
def reveals(text: str, secret: str) -> bool:
    digits = secret[2:].lower()
    text = text.lower()
    return any(digits[at : at + 12] in text for at in range(len(digits) - 11))


SECRET = "0x" + "5ec7e7a1b2c3d4f6" * 4
ALL = f"{ORDERS}typed = any\nmessages = any\nhyperliquid = all\n"
POLICY = MARKET + MESSAGES + "[hyperliquid all]\nactions = order\n" + rule("all", address(KEY), user=1, allows=ALL)


@pytest.mark.parametrize("request_line", REQUESTS, ids=range(len(REQUESTS)))
@pytest.mark.parametrize(
    "secret", [SECRET, SECRET[2:], SECRET.upper(), f"key={SECRET};", f"{SECRET}00 {SECRET}", int(SECRET, 16)]
)
@pytest.mark.parametrize("signer", [KEY, address(KEY)], ids=["wire", "held"])
def test_a_key_in_any_place_of_a_request_comes_back_in_no_error_and_in_no_entry(
    request_line: dict[str, Any], secret: Any, signer: str
) -> None:
    request_line = {**request_line, "signer": signer} if "signer" in request_line else request_line
    sought = [SECRET, "0x" + str(int(SECRET, 16))]
    policy = policy_of(POLICY)
    for request in spoiled(request_line, secret):
        talk = Talk(policy)  # one for each: refusals past a rate leave no entry
        answer = talk.ask(request)
        assert talk.entries or request_line == {"type": "ping"}
        error = json.dumps(answer.get("error", ""))  # the id is not a part of it: the client gets its own id back
        for digits in sought:
            assert not reveals(error, digits), (request, error)
            assert not reveals("\n".join(talk.entries), digits), (request, talk.entries)


def test_every_code_says_when_it_is_given_and_what_to_do() -> None:
    assert list(REMEDIES) == list(CODES)
    assert all(text and text[-1] not in ".!?" for texts in (CODES, REMEDIES) for text in texts.values())


def test_the_hints_for_types_are_types() -> None:
    assert {"uint256", "int256", "bytes1", "bool", "uint8", "int8", "bytes32", "bytes"} <= ATOMS.keys()
