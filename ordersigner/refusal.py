"""The exception that every step from line to signature raises to refuse a request.

protocol.py writes it as a response. It carries what the client needs to find the mistake: for each field a code, which
is documented API, and a text, which may change. Texts repeat no string that the client sent, because any of them may be
a private key in the wrong place. If the client itself named the field, the name is cut where it looks like a key. Texts
use the words of JSON, because their readers write JavaScript, Go or Rust.
"""

from __future__ import annotations

from typing import Iterable, NamedTuple

from ordersigner.text import listed, masked, similar

CODES = {
    # The earlier daemon's codes, filed under the fields where it filed them.
    "not_json": "the line is not JSON, or contains NaN or Infinity, which JSON does not have",
    "wrong_encoding": "the line is not UTF-8, or a string contains half of a surrogate pair",
    "wrong_type": "the value has the wrong JSON type; a boolean is never a number",
    "missing": "a required key is absent",
    "empty": "null, an empty string or an empty object where a value is required; or a new contract has no code",
    "not_valid_choice": "the value is not one of the allowed words",
    "unexpected": "an unknown key at the top level of the request, or in typed data or a transaction",
    # What the earlier daemon never checked.
    "duplicate": "a key appears twice in an object, a field twice in a type of typed data, or a name twice in rules",
    "too_deep": "objects and arrays are nested too deeply, or an array of typed data has too many dimensions",
    "too_many_values": "the line, or its typed data, contains too many values or types; or the signed transaction would"
    " be too long; or too many names would be frozen that no rule of the policy has",
    "too_long": "the line is longer than 65,536 bytes; the connection is closed",
    "timed_out": "the line did not end in time; the connection is closed",
    "too_many_connections": "this user, or all users together, have too many connections; the connection is closed",
    "not_decimal": "the string is not a number in plain decimal digits",
    "not_integer": "the value has a fraction, or the string is not decimal digits",
    "not_address": "the value is not an address: 40 hexadecimal digits, which need 0x except in an order; or its upper"
    " and lower case are not the checksum of EIP-55, which an order does not check",
    "not_key": "the value is neither an address of 40 hexadecimal digits nor a private key: 64 of them, in 1..n-1",
    "negative": "the number is less than zero",
    "out_of_range": "the number does not fit its field, or the priority fee is above the whole fee; or an id has too"
    " many characters",
    "too_small": "the amount is not zero, but less than the token's smallest unit, so it would be signed as zero",
    # Typed data, messages and Hyperliquid's actions.
    "not_hex": "the value is not bytes: 0x and an even number of hexadecimal digits",
    "wrong_length": "the bytes or the array do not have the length that their type says",
    "not_type": "the type is neither one of EIP-712, such as uint256, nor declared in types; or it contains itself",
    "not_name": "the name is not one that a type, a field or a rule can have",
    # Transactions.
    "mismatch": "the transaction's from is not the address of the key that signs",
    # What a policy decides. The type of these errors is PermissionError.
    "unknown_signer": "no rule lets this user use this address, whether or not the daemon holds its key",
    "key_unavailable": "a rule lets this user use this key, but the daemon could not load it",
    "key_on_wire": "the daemon accepts no private keys from clients, only addresses of keys that it holds",
    "not_allowed": "no rule allows this value",
    "over_limit": "the value is above or below a limit of the rule",
    "over_total": "this would exceed the total that a rule or section allows in an hour or a day",
    "frozen": "the rule is frozen and allows nothing until root thaws it; or the daemon cannot find out whether it is",
    "rate_limited": "the rule allows no more signatures for now",
    "ambiguous": "the signature could also be valid for something else; see ordersigner-policy(5)",
    # The daemon's own fault. The type of this error is InternalError.
    "not_recorded": "the journal did not accept the entry in time, so the signature was withheld, or the rule stays"
    " frozen",
}

# What the client's author, or its administrator, can do.
REMEDIES = {
    "not_json": "the text says the column; for JSON that has several lines, use jq -c",
    "wrong_encoding": "send UTF-8; do not cut a string in the middle of a character",
    "wrong_type": "send the type that the text names",
    "missing": "add the key",
    "empty": "send a value, or leave an optional key out",
    "not_valid_choice": "use one of the words that the text lists",
    "unexpected": "remove the key, or correct its spelling",
    "duplicate": "send each key, field and name once",
    "too_deep": "nest objects and arrays less deeply",
    "too_many_values": "split the request; thaw names that no rule has; a contract this large cannot be created here",
    "too_long": "connect again, and split the request",
    "timed_out": "connect again, and send each line at once",
    "too_many_connections": "send all requests on one connection, and close connections that you do not use",
    "not_decimal": "send a number, or a string such as 12.5: no sign, no exponent, no separators",
    "not_integer": "send an integer, or a string of its digits without leading zeros",
    "not_address": "check the digits; if the checksum is wrong, one of them is probably mistyped",
    "not_key": "check the digits",
    "negative": "send zero or a positive number",
    "out_of_range": "check the number, and the decimals of the token; shorten the id",
    "too_small": "check the amount, and the decimals of the token",
    "not_hex": "write the bytes as 0x and two hexadecimal digits for each",
    "wrong_length": "check the value against its type",
    "not_type": "declare the type, or correct its name; the daemon signs no types that contain themselves",
    "not_name": "name types and fields with letters, digits and _; copy the names of rules from the policy",
    "mismatch": "leave from out, or set it to the address of the signer",
    "unknown_signer": "a request of the type signers lists the addresses that you may use; an administrator can find"
    " the reason in the journal",
    "key_unavailable": "try again later; an administrator can find the reason in the journal",
    "key_on_wire": "send the address of a held key as signer",
    "not_allowed": "ask the administrator for a rule that allows it, or change the request",
    "over_limit": "stay within the limit, or ask the administrator for another",
    "over_total": "wait until earlier signatures are older than the hour or the day, or ask the administrator for a"
    " higher total",
    "frozen": "ask the administrator to thaw the rule; if the state cannot be read, the journal says why",
    "rate_limited": "wait, and try again",
    "ambiguous": "sign it with a key of your own, or ask the administrator for a rule that allows it",
    "not_recorded": "try again later; an administrator must find out why journald accepts no entries",
}


# The error's text in the response, by its type.
MESSAGES = {
    "ValueError": "Invalid input; see context for more info.",  # the client's mistake
    "PermissionError": "Not allowed; see context for more info.",  # by the policy
    "InternalError": "The daemon failed; see context for more info.",
}


class Problem(NamedTuple):
    """What is wrong with one field: a key of CODES, and a text for people."""

    code: str
    message: str


class Refusal(Exception):
    """A request is refused, or a connection.

    type: the error's type in the response: a key of MESSAGES.
    context: problems by field, dotted where nested ("order.price"), "" for the request as a whole.
    """

    def __init__(self, context: dict[str, list[Problem]], *, type: str = "ValueError") -> None:
        context = {masked(field): problems for field, problems in context.items()}
        super().__init__(", ".join(f"{field or 'request'}: {problems[0].code}" for field, problems in context.items()))
        self.type = type
        self.context = context

    @property
    def code(self) -> str:
        """That of the first problem."""
        return next(iter(self.context.values()))[0].code

    @classmethod
    def of(cls, field: str, code: str, message: str, *, type: str = "ValueError") -> Refusal:
        """A refusal for one problem with one field."""
        return cls({field: [Problem(code, message)]}, type=type)


MISSING = object()  # stands for the value of a key that is absent

# What a value is, and what it must be, in the words of JSON.
_GIVEN = {
    dict: "an object",
    list: "an array",
    str: "a string",
    int: "an integer",
    float: "a number with a fraction or an exponent",
}
_WANTED = {dict: "an object", list: "an array", str: "a string", int: "an integer", bool: "true or false"}


def given(value: object) -> str:
    """What a decoded value is, in the words of JSON. Of the values, it repeats only true, false and null."""
    return _GIVEN.get(type(value)) or {None: "null", True: "true", False: "false"}[value]  # type: ignore[index]


def mistyped(value: object, field: str, *allowed: type, wanted: str = "") -> Refusal:
    """The refusal of a value that is absent, empty, or of a type that its field does not take.

    allowed: the types that the field takes. wanted: what the value must be; the default says it by `allowed`.
    """
    wanted = f"It must be {wanted or listed([_WANTED[kind] for kind in allowed])}."
    if value is MISSING:
        return Refusal.of(field, "missing", f"This is missing. {wanted}")
    if value is None or type(value) in allowed:  # the type is right, so the value must be empty
        return Refusal.of(field, "empty", f"This is {'null' if value is None else 'empty'}. {wanted}")
    return Refusal.of(field, "wrong_type", f"This is {given(value)}. {wanted}")


def not_a_choice(value: str, field: str, words: Iterable[str]) -> Refusal:
    """The refusal of a string that is not one of the words that its field takes."""
    meant = similar(value, words)
    hint = f' Did you mean "{meant}"?' if meant else ""
    return Refusal.of(field, "not_valid_choice", f"This must be {one_of(words)}.{hint}")


def negative(field: str) -> Refusal:
    """The refusal of a number below zero."""
    return Refusal.of(field, "negative", "This number is less than zero.")


def out_of_range(field: str) -> Refusal:
    """The refusal of a number that is too large for its field."""
    return Refusal.of(field, "out_of_range", "This number does not fit its field.")


def one_of(words: Iterable[str]) -> str:
    """The words as JSON strings, with an "or" before the last one."""
    return listed([f'"{word}"' for word in words])
