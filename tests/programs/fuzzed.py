"""The targets of fuzz.py: requests under a policy, policies, and calls. Each checks what must hold for any bytes.

respond(data): `data` is what a client sends. Two conversations answer it, under tests/corpus/policy-in-force, with two
held keys, at a fixed time. The answers are compared with each other, with independent implementations of every digest,
and with the independent verdict of policy_reference.py.

read_policy(data): `data` is a policy's text.

read_call(data): `data` is the signature of a function in one line, and then the arguments of a call. What is read of
them is compared with what eth-abi encodes.

All raise AssertionError, or what the package raises. mutated_requests() and the others make new input out of old: they
know JSON, lines and words of 32 bytes, which the fuzzer by itself does not.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable
from unittest.mock import patch

import coincurve
from eth_utils.crypto import keccak
from oracles import abi_reference, oracle, transaction_reference, typed_data_reference
from oracles.hyperliquid_reference import expected as hyperliquid_digest
from oracles.policy_reference import Section, Setting, Verdict
from support.keys import held

from ordersigner.daemon.check import WIDTH, check
from ordersigner.payloads.abi import Function
from ordersigner.peer import Peer
from ordersigner.policy import reader
from ordersigner.policy.kinds import KINDS
from ordersigner.policy.rules import FROZEN_STEP, Permit, Rate
from ordersigner.refusal import CODES, Refusal
from ordersigner.serving.framing import HttpRequest, LineBuffer, LineTooLong
from ordersigner.signing import protocol
from ordersigner.signing.conversation import Conversation, Service
from ordersigner.signing.journal import LEVELS, Journal
from ordersigner.signing.keyring import Keyring
from ordersigner.state.memory import Memory

CORPUS = Path(__file__).resolve().parents[1] / "corpus"
NOW = 1_700_000_000
PEER = Peer(1, 1, 11)
KEYS = ["11" * 32, "22" * 32]
RING = Keyring({key.address: key for key in map(held, KEYS)})
POLICY_TEXT = (CORPUS / "policy-in-force").read_text()
POLICY = reader.read(POLICY_TEXT, "policy").policy
MAX_LINES = 16  # of one input
MAX_CALL, MAX_NESTING = 2048, 3  # bytes of a call, and arrays and tuples in each other
HALF_OF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0  # of secp256k1
UNREADABLE = ("", "the reference cannot read it")
HEX = re.compile("[0-9a-fA-F]{64,}")
SETTING = re.compile("(.*?) (=|<=|>=|within|about|until|matches) (.*)")


# Requests


def respond(data: bytes) -> None:
    lines = list(cut(data))
    first, again = answers(lines), answers(lines)
    assert first == again  # also where the second time everything is kept from the first
    verdict: Verdict | None = Verdict(sections_of(POLICY_TEXT), set(RING.keys), NOW)
    for line, response in zip(lines, first):
        answered = check_form(response)
        check_decoding(line)
        check_secrets(line, json.dumps({**answered, "transaction": ""}))  # which repeats the data of the request
        check_answer(line, answered, verdict)
        if answered.get("frozen"):
            verdict = None  # the reference knows no frozen rules


def cut(data: bytes) -> Iterator[bytes]:
    buffer = LineBuffer()
    buffer.feed(data)
    buffer.end()
    with contextlib.suppress(LineTooLong, HttpRequest):
        for _ in range(MAX_LINES):
            line = buffer.next_line()
            if line is None:
                return
            yield line


def answers(lines: list[bytes]) -> list[bytes]:
    """Of a daemon that has answered nothing before."""
    for rule in POLICY.rules:
        rule.rate = rule.rate and Rate(rule.rate.number, rule.rate.seconds)
    entries: list[str] = []
    asked = Service(Journal(LEVELS["debug"], lambda entry, wait: entries.extend(entry)), RING, POLICY)
    conversation = Conversation(asked, PEER)
    with patch("ordersigner.signing.conversation.time", lambda: float(NOW)):
        responses = [conversation.respond(line) or conversation.finish() for line in lines]
    assert asked.counters.failed == 0, entries
    said = "\n".join(entries).lower()
    for secret in [*KEYS, *(secret for line in lines for secret in secrets_in(line))]:
        assert secret not in said
    return responses


def check_form(response: bytes) -> dict[str, Any]:
    assert response.endswith(b"\r\n")
    assert b"\n" not in response[:-2]
    assert b"\r" not in response[:-2]
    assert len(response) <= protocol.MAX_RESPONSE
    answered: dict[str, Any] = json.loads(response)
    assert answered.keys() - {"id"} in (
        {"ok", "signature"},
        {"ok", "signature", "transaction", "hash"},
        {"ok", "version"},
        {"ok", "signers"},
        {"ok", "frozen", "confirmed", "kept"},
        {"ok", "error"},
    )
    if not answered["ok"]:
        error = answered["error"]
        assert error.keys() == {"type", "message", "context"}
        assert error["type"] in ("ValueError", "PermissionError")
        assert error["context"]
        for problems in error["context"].values():
            assert problems
            assert all(problem.keys() == {"code", "message"} and problem["code"] in CODES for problem in problems)
    return answered


def check_decoding(line: bytes) -> None:
    """The daemon's decoder accepts what Python's accepts, or has one of its reasons; and they read the same."""
    code = theirs = ours = None
    try:
        ours = protocol.decode(line)
    except Refusal as refusal:
        ((problem, *_),) = refusal.context.values()
        code = problem.code
    try:
        theirs = json.loads(line.decode("utf-8-sig"), parse_constant=refuse)
    except (ValueError, RecursionError):
        assert code is not None
        return
    if code is None:
        assert repr(ours) == repr(theirs)
        assert repr(protocol.decode_with_care(line.decode())) == repr(theirs)
    else:
        assert code in ("duplicate", "out_of_range", "too_deep", "too_many_values", "wrong_type")
        assert code != "wrong_type" or type(theirs) is not dict


def refuse(constant: str) -> None:
    raise ValueError(constant)


def check_secrets(line: bytes, response: str) -> None:
    """A response repeats the id, but nothing else that may be a key."""
    request = parsed(line)
    request_id = str(request.get("id")).lower() if isinstance(request, dict) else ""
    for secret in [*KEYS, *secrets_in(line)]:
        assert secret not in response.lower() or secret in request_id


def secrets_in(line: bytes) -> Iterator[str]:
    """Everything in a line, and in the strings that it encodes, that may be a key."""
    for text in [line.decode(errors="replace"), *strings_in(parsed(line))]:
        for match in HEX.findall(text):
            yield match[:64].lower()
            yield match[-64:].lower()


def parsed(line: bytes) -> Any:
    try:
        return json.loads(line.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return None


def strings_in(value: Any) -> list[str]:
    """The names of fields and the strings, at any depth."""
    strings: list[str] = []
    ahead = [value]
    while ahead:
        one = ahead.pop()
        if isinstance(one, dict):
            strings += one
            ahead += one.values()
        elif isinstance(one, list):
            ahead += one
        elif isinstance(one, str):
            strings.append(one)
    return strings


def check_answer(line: bytes, answered: dict[str, Any], verdict: Verdict | None) -> None:
    """A signature is by the key that the request names, for exactly this request, and allowed by the policy.

    verdict: of the reference, if it knows what the policy says.
    """
    if not answered["ok"]:
        if verdict is None or asks_for_no_signature(line):
            return
        codes = {(field, one["code"]) for field, several in answered["error"]["context"].items() for one in several}
        if answered["error"]["type"] == "PermissionError":
            expected = verdict_on(line, verdict)
            assert expected is None or UNREADABLE in expected or codes & expected or any("…" in one for one, _ in codes)
        return
    if "signature" not in answered:
        return
    request = parsed(line)
    signer = request["signer"]
    if len(signer) < 64:
        address = "0x" + signer[-40:].lower()
        assert address in RING.keys
        assert verdict is None or not verdict_on(line, verdict)
    else:
        address = oracle_address(signer[-64:])
    signature = bytes.fromhex(answered["signature"][2:])
    assert len(signature) == 65
    assert 0 < int.from_bytes(signature[32:64], "big") <= HALF_OF_ORDER
    recoverable = signature[:64] + bytes([signature[64] - 27])
    point = coincurve.PublicKey.from_signature_and_message(recoverable, digest(request), hasher=None)
    assert address_of(point) == address
    assert ("transaction" in answered) == (request["type"] == "transaction")
    if "transaction" in answered:
        signed = transaction_reference.signed(request["transaction"], answered["signature"])
        assert answered["transaction"] == "0x" + signed.hex()
        assert answered["hash"] == "0x" + keccak(signed).hex()


def asks_for_no_signature(line: bytes) -> bool:
    request = parsed(line)
    return isinstance(request, dict) and request.get("type") in list(protocol.ANSWERED)


def oracle_address(key: str) -> str:
    return address_of(coincurve.PrivateKey(bytes.fromhex(key)).public_key)


def address_of(point: coincurve.PublicKey) -> str:
    return "0x" + keccak(point.format(compressed=False)[1:])[12:].hex()


def digest(request: dict[str, Any]) -> bytes:
    """By implementations that share no code with the package."""
    if request["type"] == "typed_data":
        return typed_data_reference.digest(request["typed_data"])
    if request["type"] == "hyperliquid":
        return hyperliquid_digest(request)
    if request["type"] == "transaction":
        return bytes(keccak(transaction_reference.unsigned(request["transaction"])))
    if request["type"] == "message":
        content = request["text"].encode() if "text" in request else bytes.fromhex(request["hex"][2:])
        return bytes(keccak(b"\x19Ethereum Signed Message:\n" + str(len(content)).encode() + content))
    return oracle.digest(request)


def verdict_on(line: bytes, verdict: Verdict) -> set[tuple[str, str]] | None:
    """The possible refusals of a valid request for a held key; empty if it is signed, None if that is unknown."""
    request = parsed(line)
    if request["type"] == "message" and len(request.get("text", request.get("hex", ""))) > 4000:
        return None  # the reference has no limit
    try:
        return verdict.on(plain(request), PEER.uid, {PEER.gid})
    except (AttributeError, KeyError, TypeError):
        assert request["type"] == "hyperliquid"  # whose content is not checked before it is judged
        return {UNREADABLE}


def plain(request: dict[str, Any]) -> dict[str, Any]:
    """The request as policy_reference takes it: addresses with 0x, numbers that are not strings."""
    if request["type"] not in ("spot", "futures"):
        return request
    order, instrument = request["order"], request["instrument"]
    sides = ["base", "quote"] if request["type"] == "spot" else ["quote"]
    tokens = {side: {**instrument[side], "decimals": int(oracle.exact(instrument[side]["decimals"]))} for side in sides}
    if request["type"] == "spot":
        for token in tokens.values():
            token["address"] = oracle.address(token["address"])
    return {
        **request,
        "order": {
            **order,
            "accountId": oracle.address(order["accountId"]),
            "timestamp": int(oracle.exact(order["timestamp"])),
            "quantity": oracle.exact(order["quantity"]),
            "price": oracle.exact(order["price"]),
            **(
                {"instrument": int(oracle.exact(order["instrument"])), "quote": oracle.address(order["quote"])}
                if request["type"] == "futures"
                else {}
            ),
        },
        "instrument": tokens,
    }


def sections_of(text: str) -> list[Section]:
    """Of a policy that is written in the plainest way."""
    found: list[tuple[str, str, list[Setting]]] = []
    for line in text.splitlines():
        if line.startswith("["):
            kind, name = line.strip("[]").split()
            found.append((kind, name, []))
        elif line and line[0] != "#":
            match = SETTING.fullmatch(line)
            assert match, line
            found[-1][2].append(Setting(*match.groups()))
    return [Section(kind, name, tuple(settings)) for kind, name, settings in found]


# Policies


def read_policy(data: bytes) -> None:
    text = data.decode(errors="replace")
    reading = reader.read(text, "policy")
    lines = text.count("\n") + 1
    for line, reason in [*reading.errors, *reading.warnings]:
        assert 1 <= line <= lines
        assert reason.isprintable()
        assert not re.search("[0-9a-fA-F]{32}", reason)
    assert list(reading.errors) == sorted(reading.errors)
    if reading.errors:
        assert not reading.policy.rules
        return
    check_words(reading)
    for rule in reading.policy.rules:
        assert rule.judges
        assert all(re.fullmatch("0x[0-9a-f]{40}", key) for key in rule.keys)
        assert rule.keys
        assert rule.users or rule.groups or reading.warnings
        for payload in PAYLOADS:
            verdict = rule.judge(payload, NOW, Memory())
            if isinstance(verdict, Permit):
                section, _, _ = verdict.judge.entry(payload)
                assert section
            else:
                assert verdict.code in CODES
                assert 0 <= verdict.step <= FROZEN_STEP


def check_words(reading: reader.Reading) -> None:
    """`ordersignerd --check` prints what the policy says, on a page of a certain width."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = check(reading, None, [], "/nonexistent")
    assert status == (1 if reading.warnings else 0)
    printed = out.getvalue().splitlines()
    for rule in reading.policy.rules:
        assert f"Rule {rule.name}, line {rule.line}:" in printed
    assert all(line.isprintable() and len(line) <= WIDTH for line in printed)


def payloads() -> Iterator[Any]:
    """Something of each type, of the requests in the corpus."""
    for path in sorted((CORPUS / "respond").iterdir()):
        for line in cut(path.read_bytes()):
            with contextlib.suppress(Refusal):
                request = protocol.read_request(protocol.decode(line))
                if request.type in KINDS:
                    yield KINDS[request.type].form.read(request.members)


PAYLOADS = list(payloads())[:40]


# New input out of old. mutate: the fuzzer's own way, which knows nothing

Mutate = Callable[[bytes, int], bytes]
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 7, 2.5, "2.5", "10", 1e21, 1e-9, 2**64, 2**256, str(2**255), "0x6", "", " ", [], {}),
    *(NOW, NOW * 10**6, str(NOW + 10), "buy", "sell", "LMT", "MKT", "STM", "any", "mainnet", "testnet", "login abc"),
    *(*KEYS, *RING.keys, "0x" + "3" * 40, "0x" + "4" * 40, "0x" + "a" * 40, "0x" + "B" * 40, "0x" + "5" * 40),
    *(
        "0xf884" + "7" * 36,
        "0x1900" + "7" * 36,
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xab",
        "é",
        "\ud83d",
        "\n",
    ),
    *("uint256", "int8", "bytes32", "string", "address[]", "uint8[2]", "Item", "Item[]", "EIP712Domain", "bool[][3]"),
    *("order", "modify", "cancel", "batchModify", "updateLeverage", "na", "positionTpsl", "spot", "futures", "ping"),
    *("signers", "message", "typed_data", "hyperliquid", "transaction", "a b", "X", "Y", "1", float("nan"), "x" * 65),
    *("status", "freeze", "thaw"),
]
NAMES = re.findall(
    r"\w+",
    """
    type id rules order instrument signer accountId timestamp side quantity price orderType quote base address decimals
    marginPerFraction typed_data types primaryType domain message name version chainId verifyingContract salt text hex
    sell buy move data legs size grid
    transaction gas gasPrice maxFeePerGas maxPriorityFeePerGas to value accessList storageKeys from
    action nonce network vaultAddress expiresAfter orders grouping cancels a b p s r t c o oid asset cloid modifies
    """,
)


def mutated_requests(data: bytes, most: int, seed: int, mutate: Mutate) -> bytes:
    chance = random.Random(seed)
    lines = data.split(b"\n")
    at = chance.randrange(len(lines))
    try:
        request = json.loads(lines[at])
    except (ValueError, RecursionError):
        return mutate(data, most)
    way = chance.random()
    if way < 0.15:
        return mutate(data, most)
    if way < 0.25:
        lines.insert(at, chance.choice(lines))
    elif way < 0.3:
        del lines[at]
    else:
        for _ in range(chance.choice([1, 1, 1, 2, 4])):
            request = mutated_value(request, chance)
        separators = chance.choice([None, (",", ":")])
        text = json.dumps(request, separators=separators, ensure_ascii=chance.random() < 0.8)
        lines[at] = text.encode(errors="replace")
    return b"\n".join(lines)[:most]


def mutated_value(value: Any, chance: random.Random) -> Any:
    """One place in a JSON value is changed."""
    root = [value]
    places: list[tuple[Any, Any]] = [(root, 0)]
    for container, key in places:
        inner = container[key]
        if isinstance(inner, (dict, list)):
            places += [(inner, each) for each in (list(inner) if isinstance(inner, dict) else range(len(inner)))]
    container, key = chance.choice(places)
    old = container[key]
    way = chance.randrange(9)
    if way == 0:
        container[key] = copy.deepcopy(chance.choice(VALUES))
    elif way == 1:  # something from elsewhere in the request
        other, place = chance.choice(places)
        container[key] = copy.deepcopy(other[place])
    elif way == 2 and container is not root:
        del container[key]
    elif way == 3 and isinstance(old, dict):
        old[chance.choice(NAMES)] = copy.deepcopy(chance.choice(VALUES))
    elif way == 4 and isinstance(old, list):
        old.insert(chance.randrange(len(old) + 1), copy.deepcopy(chance.choice([*old, *VALUES])))
    elif way == 5 and isinstance(container, dict):
        container[chance.choice([*NAMES, key + "x"])] = container.pop(key)
    elif way == 6 and isinstance(old, (int, float)):
        container[key] = chance.choice([old + 1, old - 1, old * 10, -old, str(old)])
    elif way == 7 and isinstance(old, str) and old:
        at = chance.randrange(len(old))
        container[key] = old[:at] + chance.choice(["", "0", "x", "é", " ", "[", old]) + old[at + 1 :]
    else:
        container[key] = chance.choice([[old], {chance.choice(NAMES): old}])
    return root[0]


WORDS = re.findall(
    r"\S+",
    f"""
    0 1000000000 100001/second 4294967295 nobody root 0xFF uint256 int8 bytes32[] Foo() Foo(Foo a) Foo(Bar b)Bar(bool c)
    within <= >= = == [ ] # .* a{{2,5}} [^a-z]? a|b \\n domain.salt message.items.* message.items batchModify 1e3
    about until matches total total( sum( count( bits( word( ( ) , / /day /hour (18) (0) (37) .0 .1 .00 0.5 -1 text(3)
    message.items.0.amount(1) sum(message.items.*.amount) count(message.items) bits(message.price,0,8) 1/day 1.5/hour
    updateIsolatedMargin MKT STM 0.0000000000000000001 {KEYS[0]} {POLICY_TEXT}
    """,
)


def mutated_policy(data: bytes, most: int, seed: int, mutate: Mutate) -> bytes:
    chance = random.Random(seed)
    if chance.random() < 0.2:
        return mutate(data, most)
    lines = data.decode(errors="replace").split("\n")
    for _ in range(chance.choice([1, 1, 1, 2, 4])):
        at = chance.randrange(len(lines))
        way = chance.randrange(6)
        if way == 0:
            lines.insert(at, chance.choice(lines))
        elif way == 1 and len(lines) > 1:
            del lines[at]
        elif way == 2:
            lines.insert(at, chance.choice(POLICY_TEXT.split("\n")))
        else:
            words = re.split(r"([ \t]+)", lines[at])
            word = chance.randrange(len(words))
            own = re.findall(r"\S+", chance.choice(lines)) or ["x"]
            words[word] = chance.choice([chance.choice(own), chance.choice(WORDS), words[word] + " " + own[-1], ""])
            lines[at] = "".join(words)
    return "\n".join(lines).encode()[:most]


# Calls


def read_call(data: bytes) -> None:
    """A call is read exactly if it is what eth-abi writes, and then the values are the same."""
    text, _, content = data.partition(b"\n")
    try:
        function = Function(text.decode(errors="replace"))
    except ValueError:
        return
    read = function.arguments(function.selector + content)
    types = [parameter.type for parameter in function.parameters]
    # Without offsets that lead elsewhere, eth-abi takes as long as the data is. With them it can take ages.
    if read is not None or (len(content) <= MAX_CALL and max(map(nesting, types), default=0) <= MAX_NESTING):
        values = abi_reference.arguments(types, content)
        assert (read is None) == (values is None)
        assert read is None or plain_arguments(list(read.values())) == plain_arguments(values)
    assert function.arguments(content) is None or content[:4] == function.selector


def nesting(kind: str) -> int:
    return kind.count("[") + kind.count("(")


def plain_arguments(value: Any) -> Any:
    """Values of both kinds as lists, and addresses as bytes."""
    if isinstance(value, dict):
        return plain_arguments(list(value.values()))
    if isinstance(value, (list, tuple)):
        return [plain_arguments(one) for one in value]
    is_address = isinstance(value, str) and re.fullmatch("0x[0-9a-f]{40}", value)
    return bytes.fromhex(value[2:]) if is_address else value


def mutated_call(data: bytes, most: int, seed: int, mutate: Mutate) -> bytes:
    chance = random.Random(seed)
    text, _, content = data.partition(b"\n")
    way = chance.random()
    if way < 0.2:
        return mutate(data, most)
    if way < 0.4:
        words = re.split(r"(\W)", text.decode(errors="replace"))
        words[chance.randrange(len(words))] = chance.choice([*words, "uint8", "string", "bytes", "[]", "[2]", "bool"])
        return ("".join(words).encode() + b"\n" + content)[:most]
    parts = [content[at : at + 32] for at in range(0, len(content), 32)] or [b""]
    at = chance.randrange(len(parts))
    parts[at] = chance.choice(
        [
            (32 * chance.randrange(16)).to_bytes(32, "big"),
            chance.randrange(40).to_bytes(32, "big"),
            bytes(chance.randrange(40)),
            chance.choice(parts),
            parts[at] * 2,
            b"\xff" * 32,
        ]
    )
    return (text + b"\n" + b"".join(parts))[:most]


TARGETS = {  # by name: check, mutation
    "call": (read_call, mutated_call),
    "policy": (read_policy, mutated_policy),
    "respond": (respond, mutated_requests),
}
