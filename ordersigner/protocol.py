"""The wire: a line to a request, a result or a refusal to a line.

In: the bytes of one line, hostile until proven otherwise. Out: a SignRequest, or the bytes of a response line.
Raises Refusal, with every problem of the request's own level at once. Knows no sockets, no orders, no keys' meaning.
Source: the published wire protocol; the codes and fields are those of the earlier daemon.
"""

from __future__ import annotations

import json
from typing import AbstractSet, Dict, NamedTuple, NoReturn

from ordersigner.refusal import MISSING, Problem, Refusal, mistyped

ORDER_TYPES = ("futures", "spot")
TYPES = (*ORDER_TYPES, "ping")
REQUIRED: dict[str, type] = {"instrument": dict, "order": dict, "signer": str, "type": str}
SIGN_KEYS = frozenset(("instrument", "order", "signer", "type", "id"))
PING_KEYS = frozenset(("type", "id"))
MAX_DEPTH = 32  # of objects and arrays; orders have 3. The decoder recurses, and how far it may, Pythons differ in.
MAX_UNEXPECTED = 16  # keys that one response lists, lest a line of nothing else gets a response many times its size

Message = Dict[str, object]  # a JSON object


class SignRequest(NamedTuple):
    """A request whose own level is as it should be. What is inside order, instrument and signer is not yet judged."""

    type: str  # one of ORDER_TYPES
    order: Message
    instrument: Message
    signer: str  # the private key in hex: a secret

    def __repr__(self) -> str:
        return f"SignRequest(type={self.type!r})"


def decode(line: bytes) -> Message:
    """The JSON object that `line` holds. No key may stand twice in an object: which one counts is anyone's guess."""
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise Refusal.of("", "wrong_encoding", "This value cannot be decoded using utf-8.") from None
    try:
        if text.count("{") + text.count("[") > MAX_DEPTH:
            raise ValueError("perhaps nested too deeply")
        message, end = _DECODER.raw_decode(text)
        if end != len(text):
            raise ValueError("something follows the value")
    except ValueError:
        message = _decode_with_care(text)
    if type(message) is not dict:
        raise Refusal.of("", "wrong_type", f"{type(message).__name__} is not valid (allowed types: Mapping).")
    return message


def read_id(message: Message) -> str | int | None:
    """The request's id, which its response echoes; None if it has none, or none that is allowed."""
    request_id = message.get("id")
    return request_id if type(request_id) is str or type(request_id) is int else None


def read_request(message: Message) -> SignRequest:
    """The request in `message`; raises Refusal with all problems of the top level."""
    kind, order, instrument, signer = map(message.get, ("type", "order", "instrument", "signer"))
    if (
        (type(kind) is str and kind in ORDER_TYPES)
        and (type(order) is dict and order)
        and (type(instrument) is dict and instrument)
        and (type(signer) is str and signer)
        and message.keys() <= SIGN_KEYS
        and _id_is_valid(message)
    ):
        return SignRequest(kind, order, instrument, signer)
    raise _problems(message, SIGN_KEYS)


def is_ping(message: Message) -> bool:
    """Whether `message` asks for no more than a sign of life; raises Refusal if it says more than that."""
    if message.get("type") != "ping":
        return False
    if message.keys() <= PING_KEYS and _id_is_valid(message):
        return True
    raise _problems(message, PING_KEYS)


def signed(signature: str, request_id: str | int | None) -> bytes:
    """The response that carries `signature`."""
    if request_id is None:  # the common case, without the cost of the JSON encoder
        return b'{"ok": true, "signature": "%b"}\r\n' % signature.encode()
    return _response({"ok": True, "signature": signature}, request_id)


def pong(version: str, request_id: str | int | None) -> bytes:
    """The response to a ping."""
    return _response({"ok": True, "version": version}, request_id)


def refused(refusal: Refusal, request_id: str | int | None) -> bytes:
    """The response that says what is wrong with the request."""
    context: Message = {
        field: [problem._asdict() for problem in problems] for field, problems in refusal.context.items()
    }
    message = "Invalid input" if refusal.type == "ValueError" else "Not allowed"
    return _error(refusal.type, f"{message}; see context for more info.", context, request_id)


def failed(request_id: str | int | None) -> bytes:
    """The response after a fault of the daemon's own, of which a client learns no detail."""
    return _error("InternalError", "The daemon failed; see its journal for more info.", {}, request_id)


def _error(type: str, message: str, context: Message, request_id: str | int | None) -> bytes:
    # Exactly these three keys: a client of the earlier daemon passes them as keyword arguments.
    return _response({"ok": False, "error": {"type": type, "message": message, "context": context}}, request_id)


def _response(message: Message, request_id: str | int | None) -> bytes:
    if request_id is not None:
        message["id"] = request_id
    return json.dumps(message).encode() + b"\r\n"


def _id_is_valid(message: Message) -> bool:
    return "id" not in message or read_id(message) is not None


def _problems(message: Message, allowed: AbstractSet[str]) -> Refusal:
    """All problems of a request's top level, of whose keys `allowed` are known."""
    context: dict[str, list[Problem]] = {}
    for key, kind in REQUIRED.items():
        value = message.get(key, MISSING)
        if key in allowed and (type(value) is not kind or not value):
            context.update(mistyped(value, key, kind).context)
    if "type" not in context and message["type"] not in TYPES:
        context["type"] = [Problem("not_valid_choice", f"Valid options are: {sorted(TYPES)}")]
    if not _id_is_valid(message):
        context.update(mistyped(message["id"], "id", int, str).context)
    for key in sorted(message.keys() - allowed)[:MAX_UNEXPECTED]:
        context[key] = [Problem("unexpected", f'Unexpected key "{key}".')]
    return Refusal(context)


# The fast way: whatever it does not like it raises as ValueError, and the careful way finds out where and why.
def _unique(pairs: list[tuple[str, object]]) -> Message:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate key")
    return members


def _not_json(constant: str) -> NoReturn:
    raise ValueError(constant)


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_not_json)


class _Bad(NamedTuple):
    """Stands in the decoded message where something cannot be accepted."""

    problem: Problem


def _decode_with_care(text: str) -> object:
    """Decode `text`, which the fast way refused, to name the field at fault."""
    # A byte order mark was no obstacle to the earlier daemon.
    text = (text[1:] if text.startswith("\ufeff") else text).strip(" \t\r\n")
    if _depth(text) > MAX_DEPTH:
        raise Refusal.of("", "too_deep", f"Objects and arrays may be nested {MAX_DEPTH} deep.")
    try:
        message, end = _CAREFUL_DECODER.raw_decode(text)
    except ValueError:
        end = -1
    if end != len(text):
        raise Refusal.of("", "not_json", "This value is not valid JSON.")
    found = _find_bad(message)
    if found is not None:
        path, problem = found
        raise Refusal({".".join(path): [problem]})
    return message


def _find_bad(value: object) -> tuple[list[str], Problem] | None:
    """The path to the first value that cannot be accepted, and what is wrong with it. What is in an array is filed
    under the array's own path."""
    if isinstance(value, _Bad):
        return [], value.problem
    if isinstance(value, list):
        return next(filter(None, map(_find_bad, value)), None)
    if isinstance(value, dict):
        for key, member in value.items():
            found = _find_bad(member)
            if found is not None:
                found[0].insert(0, key)
                return found
    return None


def _depth(text: str) -> int:
    """How deep objects and arrays are nested in `text`, JSON or not."""
    outside_strings = "".join(text.replace("\\\\", "").replace('\\"', "").split('"')[::2])
    depth = deepest = 0
    for letter in outside_strings:
        if letter in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif letter in "]}":
            depth -= 1
    return deepest


def _mark_duplicates(pairs: list[tuple[str, object]]) -> Message:
    members: Message = {}
    for key, value in pairs:
        members[key] = _Bad(Problem("duplicate", f'Key "{key}" stands twice.')) if key in members else value
    return members


def _parse_int(digits: str) -> object:
    try:
        return int(digits)
    except ValueError:  # Python's own limit for the conversion, about 4,300 digits
        return _Bad(Problem("out_of_range", "The number has too many digits."))


def _mark_constant(constant: str) -> _Bad:
    return _Bad(Problem("not_json", f"{constant} is not valid JSON."))


_CAREFUL_DECODER = json.JSONDecoder(
    object_pairs_hook=_mark_duplicates, parse_constant=_mark_constant, parse_int=_parse_int
)
