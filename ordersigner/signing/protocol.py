"""The wire protocol: turns a line into a request, and a result or a refusal into a line.

In: the bytes of one line, any of which may be hostile. Out: a Request, or the bytes of a response line, of at most
MAX_RESPONSE bytes. Raises Refusal with all problems of the request's top level. Knows nothing of sockets, and not what
orders, typed data and keys mean. Source: the published wire protocol; refusal.py says which codes the earlier daemon
had.
"""

from __future__ import annotations

import json
from array import array
from itertools import accumulate, islice, repeat
from typing import Dict, Iterator, Mapping, NamedTuple, NoReturn, Optional, Tuple

from ordersigner.policy.kinds import KINDS
from ordersigner.refusal import (
    MESSAGES,
    MISSING,
    Problem,
    Refusal,
    given,
    mistyped,
    not_a_choice,
    one_of,
    out_of_range,
)
from ordersigner.text import similar

# The types of requests that ask for no signature, with the members that they may have.
ANSWERED: dict[str, tuple[str, ...]] = {
    "ping": (),
    "signers": (),
    "status": (),
    "freeze": ("rules",),
    "thaw": ("rules",),
}
# The keys that each type of request must have, with the JSON type of their values, which must not be empty.
REQUIRED: dict[str, dict[str, type]] = {
    **{type: dict(sorted({**kind.form.members, "signer": str}.items())) for type, kind in KINDS.items()},
    **{type: {} for type in ANSWERED},
}
# What the values of keys must be, where their JSON type does not say enough.
_WANTED = {
    "type": one_of(sorted(REQUIRED)),
    "signer": "the address of a key that the daemon holds, a string of 40 hexadecimal digits; or a private key, of 64",
    "typed_data": "an object with types, primaryType, domain and message",
    "action": 'an object, such as {"type": "order", …}',
}
_ALLOWED = {type: frozenset((*keys, "type", "id")) for type, keys in REQUIRED.items()}
_ALLOWED.update({type: _ALLOWED[type].union(kind.form.optional) for type, kind in KINDS.items()})
_ALLOWED.update({type: _ALLOWED[type].union(optional) for type, optional in ANSWERED.items()})
# Members that may have another JSON type as well.
_ALSO: dict[tuple[object, str], type] = {
    (type, key): also for type, kind in KINDS.items() for key, also in kind.form.also.items()
}
# Limits. Together they bound the time that a line takes and the length of its response.
MAX_DEPTH = 512  # of objects and arrays in each other. The decoder recurses: this many fit any Python's stack.
MAX_VALUES = 8192  # in a line: its commas, "{" and "[" outside of strings. Of real batches, 64 KB hold no more.
MAX_ID_LENGTH = 128  # characters of an id that is a string
MAX_ID_NUMBER = 2**128  # an id that is an integer is less than this, and more than its negative
MAX_FIELD = 128  # characters of a field's name in a response; longer names lose their middle
MAX_UNEXPECTED = 16  # unexpected keys that a response lists
MAX_RESPONSE = 60 * 1024  # bytes, terminator included; a character takes up to 12 of them ("\ud83d\ude00")

Message = Dict[str, object]  # a JSON object


class Request(NamedTuple):
    """A request whose top level is valid. The contents of its members are not checked yet."""

    type: str  # a key of REQUIRED
    members: Message  # the request as a whole
    signer: str  # an address, or a private key in hex: a secret; empty where the type has none

    def __repr__(self) -> str:
        return f"Request(type={self.type!r})"


def decode(line: bytes) -> Message:
    """The JSON object in `line`. A key must not appear twice: JSON readers differ in which one they take."""
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise Refusal.of("", "wrong_encoding", "This line is not UTF-8.") from None
    openings = text.count("{") + text.count("[")  # most lines have few, even with their strings
    if openings > MAX_DEPTH or (len(line) > MAX_VALUES and openings + text.count(",") > MAX_VALUES):
        _check_bounds(line)
    try:
        message, end = _DECODER.raw_decode(text)
        if end != len(text):
            raise ValueError("something follows the value")
    except ValueError:
        message = decode_with_care(text)
    if type(message) is not dict:
        raise Refusal.of("", "wrong_type", f"This is {given(message)}. A request is an object, {_SUCH_AS}.")
    return message


def _check_bounds(line: bytes) -> None:
    """Raises Refusal if the decoder would recurse too deeply, or find too many values.

    It fails at the first character that is not JSON. So it is enough that all is right up to there.
    """
    outside = line.replace(rb"\\", b"").replace(rb"\"", b"").translate(None, _NO_MARKS).split(b'"')[::2]
    marks = b"".join(outside)
    values = len(marks) - marks.count(b"}") - marks.count(b"]")
    if values > MAX_VALUES:
        raise Refusal.of(
            "", "too_many_values", f"A request has at most {MAX_VALUES} values, and this one has {values}: split it."
        )
    depth = max(accumulate(array("b", marks.translate(_STEPS, b","))), default=0)
    if depth > MAX_DEPTH:
        raise Refusal.of("", "too_deep", f"Objects and arrays are nested {depth} deep; {MAX_DEPTH} is the most.")


_MARKS = b'"{}[],'
_NO_MARKS = bytes(set(range(256)).difference(_MARKS))
_STEPS = bytes.maketrans(b"{[}]", b"\1\1\xff\xff")  # one deeper, or one less: signed bytes


def read_id(message: Message) -> str | int | None:
    """The request's id, which its response echoes; None if it has no valid one."""
    request_id = message.get("id")
    if type(request_id) is str and len(request_id) <= MAX_ID_LENGTH:
        return request_id
    if type(request_id) is int and -MAX_ID_NUMBER < request_id < MAX_ID_NUMBER:
        return request_id
    return None


def read_request(message: Message) -> Request:
    """The request in `message`; raises Refusal with all problems of the top level."""
    kind = message.get("type")
    if type(kind) is str and kind in REQUIRED and message.keys() <= _ALLOWED[kind] and _id_is_valid(message):
        for key, wanted in REQUIRED[kind].items():
            value = message.get(key)
            if (type(value) is not wanted and type(value) is not _ALSO.get((kind, key))) or not value:
                break
        else:
            return Request(kind, message, message.get("signer", ""))  # type: ignore[arg-type]
    raise _problems(message)


def read_rules(members: Message) -> list[str] | None:
    """The names in a request to freeze or thaw rules; None if it has none. Raises Refusal."""
    names = members.get("rules", MISSING)
    if names is MISSING:
        return None
    if type(names) is not list or not names:
        raise mistyped(names, "rules", list, wanted=_RULES)
    for name in names:
        if type(name) is not str or not name:
            code = "empty" if name in (None, "") else "wrong_type"
            what = "an empty string" if name == "" else given(name)
            raise Refusal.of("rules", code, f"One of these is {what}. This must be {_RULES}.")
    if len(set(names)) < len(names):
        raise Refusal.of("rules", "duplicate", "Each name may be in this array once.")
    return names


_RULES = 'an array of names of rules, such as ["bids"]'


def signed(signature: str, request_id: str | int | None, added: Mapping[str, object] | None = None) -> bytes:
    """The response that carries `signature`. added: the members that this kind of request gets together with it."""
    if request_id is None and added is None:  # the common case, without the cost of the JSON encoder
        return b'{"ok": true, "signature": "%b"}\r\n' % signature.encode()
    return _response({"ok": True, "signature": signature, **(added or {})}, request_id)


def pong(version: str, request_id: str | int | None) -> bytes:
    """The response to a ping."""
    return _response({"ok": True, "version": version}, request_id)


def signers(allowed: list[Message], request_id: str | int | None) -> bytes:
    """The response that lists the held keys that a client may use."""
    return _response({"ok": True, "signers": allowed}, request_id)


def status(numbers: Message, request_id: str | int | None) -> bytes:
    """The response with the counters. If it has no room for all "rules", the last ones are left out and counted."""
    response = _response({"ok": True, "status": numbers}, request_id)
    rules = numbers["rules"]
    if len(response) > MAX_RESPONSE and isinstance(rules, dict):
        fixed = {**numbers, "rules": {}, "rules_left_out": len(rules)}
        sizes = accumulate(
            (len(json.dumps({name: rule})) for name, rule in rules.items()),
            initial=len(_response({"ok": True, "status": fixed}, request_id)),
        )
        kept = sum(size <= MAX_RESPONSE for size in sizes) - 1
        some = {"rules": dict(islice(rules.items(), kept)), "rules_left_out": len(rules) - kept}
        response = _response({"ok": True, "status": {**numbers, **some}}, request_id)
    return response


def frozen(names: list[str], confirmed: bool, kept: bool, request_id: str | int | None) -> bytes:
    """The response to a request to freeze or thaw rules."""
    message: Message = {"ok": True, "frozen": names, "confirmed": confirmed}
    return _response(message if kept else {**message, "kept": False}, request_id)


def refused(refusal: Refusal, request_id: str | int | None) -> bytes:
    """The response that says what is wrong with the request."""
    context: Message = {
        _shortened(field): [problem._asdict() for problem in problems] for field, problems in refusal.context.items()
    }
    return _error(refusal.type, MESSAGES[refusal.type], context, request_id)


def failed(request_id: str | int | None) -> bytes:
    """The response to a request on which the daemon failed. It has no detail: that is in the journal."""
    return _error("InternalError", "The daemon failed; see its journal for more info.", {}, request_id)


def _error(type: str, message: str, context: Message, request_id: str | int | None) -> bytes:
    # Exactly these three keys: a client of the earlier daemon passes them as keyword arguments.
    return _response({"ok": False, "error": {"type": type, "message": message, "context": context}}, request_id)


def _response(message: Message, request_id: str | int | None) -> bytes:
    if request_id is not None:
        message["id"] = request_id
    return json.dumps(message).encode() + b"\r\n"


def _shortened(field: str) -> str:
    """`field`, of at most MAX_FIELD characters: its beginning and its end, with an ellipsis between them."""
    if len(field) <= MAX_FIELD:
        return field
    kept = MAX_FIELD // 2
    return field[: kept - 1] + "…" + field[-kept:]


def _id_is_valid(message: Message) -> bool:
    return "id" not in message or read_id(message) is not None


def _problems(message: Message) -> Refusal:
    """All problems of a request's top level.

    Of a request with no known type, the type is the problem: nobody knows which other keys it needs. One that has an
    order or an instrument is compared with an order, as the earlier daemon did, and so is an empty object.
    """
    context: dict[str, list[Problem]] = {}
    kind = message.get("type", MISSING)
    compared = kind if type(kind) is str and kind in REQUIRED else None
    if compared is None and ("order" in message or "instrument" in message or not message):
        compared = "spot"
    for key, wanted in {**REQUIRED.get(compared or "", {}), "type": str}.items():
        value = message.get(key, MISSING)
        if (type(value) is not wanted and type(value) is not _ALSO.get((compared, key))) or not value:
            context.update(mistyped(value, key, wanted, wanted=_WANTED.get(key, "")).context)
    if "type" not in context and kind not in REQUIRED:
        context.update(not_a_choice(message["type"], "type", REQUIRED).context)  # type: ignore[arg-type]
    if kind is MISSING and "jsonrpc" in message:
        context["type"] = [Problem("missing", f"{context['type'][0].message} {_NOT_JSON_RPC}")]
    if not _id_is_valid(message):
        context.update(_id_refusal(message["id"]).context)
    if compared is not None:
        for key in islice((key for key in message if key not in _ALLOWED[compared]), MAX_UNEXPECTED):
            meant = similar(key, _ALLOWED[compared] - message.keys())
            hint = (
                f'Did you mean "{meant}"?' if meant else f"Such a request has {', '.join(sorted(_ALLOWED[compared]))}."
            )
            context[key] = [Problem("unexpected", f"Unexpected key. {hint}")]
    return Refusal(context)


_SUCH_AS = 'such as {"type": "ping"}'
_NOT_JSON_RPC = f"This daemon does not speak JSON-RPC: a request is an object {_SUCH_AS}; see ordersigner-protocol(7)."


def _id_refusal(request_id: object) -> Refusal:
    if type(request_id) is str:
        return Refusal.of("id", "out_of_range", f"An id has at most {MAX_ID_LENGTH} characters.")
    if type(request_id) is int:
        return out_of_range("id")
    return mistyped(request_id, "id", int, str)


# The fast way raises ValueError for a line that it does not accept. The careful way then finds out where and why.
def _unique(pairs: list[tuple[str, object]]) -> Message:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate key")
    return members


def _not_json(constant: str) -> NoReturn:
    raise ValueError(constant)


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_not_json)


# The careful way. It puts a Problem in place of each value that it does not accept.
def decode_with_care(text: str) -> object:
    """Decode `text`, which the fast way refused; raises Refusal with the field at fault."""
    # The earlier daemon accepted a byte order mark.
    text = (text[1:] if text.startswith("\ufeff") else text).strip(" \t\r\n")
    try:
        message, end = _CAREFUL_DECODER.raw_decode(text)
    except json.JSONDecodeError as error:
        raise Refusal.of("", "not_json", f"This is not JSON. {_what_is_wrong(text, error)}") from None
    if end != len(text):
        rule = _ONE_REQUEST if type(message) in (dict, list) else _ONE_LINE
        reason = f"This is not JSON. Something follows the value that ends in column {end}. {rule}"
        raise Refusal.of("", "not_json", reason)
    found = _find_problem(message)
    if found is not None:
        field, problem = found
        raise Refusal({field: [problem]})
    return message


def _what_is_wrong(text: str, error: json.JSONDecodeError) -> str:
    """The cause of `error`, in words that do not repeat the text, with its column. The first one is column 1."""
    place, column = error.pos, f"column {error.pos + 1}"
    rest = text[place : place + 5]
    if place == len(text) and text[:1] in ("{", "["):
        return f"The line ends inside of {'an object' if text[0] == '{' else 'an array'}. {_ONE_LINE}"
    if error.msg.startswith("Unterminated"):
        return f"The string that begins in {column} does not end in this line."
    if error.msg.startswith("Invalid control"):
        return f"The control character in {column} must be escaped, such as \\n or \\u001b."
    if error.msg.startswith("Invalid \\"):
        return f"JSON does not have the escape in {column}."
    if rest[:1] and rest[0] in "'`“”„‘’":
        return f'Strings have straight double quotes ("), not what is in {column}.'
    if error.msg.startswith("Illegal trailing") or (rest[:1] in ("}", "]") and text[:place].rstrip()[-1:] == ","):
        return f"Remove the comma before the end of an object or array in {column}."
    if rest.startswith(("True", "False", "None")):
        return f"The word in {column} must be true, false or null."
    if rest[:1] == "\ufeff":
        return f"There is a byte order mark in {column}."
    if place == 0:
        return f"A request is an object, {_SUCH_AS}."
    if error.msg.startswith("Expecting property name"):
        return f"A key in double quotes must begin in {column}."
    return f"The fault is in {column}."


_ONE_REQUEST = "A line has one request, and nothing after it."
_ONE_LINE = "A request must be on one line. To put JSON that has several lines on one: jq -c . FILE"


def _find_problem(message: object) -> tuple[str, Problem] | None:
    """The first Problem in `message`, and its field. What is in an array is filed under the array's own name."""
    path: list[str | None] = []  # the keys of the objects that `levels` goes through; None for an array
    levels: list[Iterator[_Member]] = [iter([(None, message)])]
    while levels:
        for key, value in levels[-1]:
            if type(value) is Problem:
                return ".".join(name for name in (*path, key) if name is not None), value
            if type(value) is dict:
                path.append(key)
                levels.append(iter(value.items()))
                break
            if type(value) is list:
                path.append(key)
                levels.append(zip(repeat(None), value))
                break
        else:
            levels.pop()
            if path:
                path.pop()
    return None


def _mark_duplicate(pairs: list[tuple[str, object]]) -> Message:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen = set()
        for key, _ in pairs:
            if key in seen:
                members[key] = _DUPLICATE
                break
            seen.add(key)
    return members


def _parse_int(digits: str) -> object:
    try:
        return int(digits)
    except ValueError:  # Python converts no more than about 4,300 digits
        return _TOO_MANY_DIGITS


_Member = Tuple[Optional[str], object]  # of an object, with its key, or of an array, with None
_DUPLICATE = Problem("duplicate", "This key appears twice in its object.")
_TOO_MANY_DIGITS = Problem("out_of_range", "This number has too many digits.")
_CONSTANTS = {
    name: Problem("not_json", f"{name} is not JSON, which has no such numbers.")
    for name in ("NaN", "Infinity", "-Infinity")
}
_CAREFUL_DECODER = json.JSONDecoder(
    object_pairs_hook=_mark_duplicate, parse_constant=_CONSTANTS.__getitem__, parse_int=_parse_int
)
