"""The exception that every step from line to signature raises to refuse a request.

protocol.py writes it as a response. It carries what the client needs to find the mistake: for each field a code, which
is documented API, and a text, which may change. It names fields but never repeats a value that the client sent: any
value may be a private key in the wrong place.
"""

from __future__ import annotations

from typing import NamedTuple

CODES = {
    # The earlier daemon's codes, filed under the fields where it filed them.
    "not_json": "the line is not JSON, or holds NaN or Infinity, which are not JSON",
    "wrong_encoding": "the line is not UTF-8, or a text has half of a surrogate pair",
    "wrong_type": "the value has the wrong JSON type; a boolean is never a number",
    "missing": "a required key is absent",
    "empty": "null, an empty string or an empty object where a value is required",
    "not_valid_choice": "the value is not one of the allowed words",
    "unexpected": "an unknown key at the top level of the request, or in typed data where all keys are known",
    # What the earlier daemon never checked.
    "duplicate": "an object has the same key twice, or a type in typed data the same field",
    "too_deep": "objects and arrays are nested too deeply, or an array in typed data has too many dimensions",
    "too_many_values": "the line holds too many values, or its typed data has too many values or types: split it",
    "too_long": "the line is longer than 65,536 bytes; the connection is closed",
    "timed_out": "the line did not end in time; the connection is closed",
    "too_many_connections": "this user has too many connections, or all users together have; the connection is closed",
    "not_decimal": "the string is not a number in plain decimal digits",
    "not_integer": "the value has a fraction, or the string is not decimal digits",
    "not_address": "the value is not an address: 40 hexadecimal digits, in an order with or without 0x; elsewhere"
    " with 0x and, in mixed case, with the checksum of EIP-55",
    "not_key": "the value is neither an address of 40 hexadecimal digits nor a private key: 64 of them, in 1..n-1",
    "negative": "the number is less than zero",
    "out_of_range": "the number does not fit its field, or an id has too many characters",
    "too_small": "a non-zero amount is less than one unit and would be signed as zero",
    # Typed data, messages and Hyperliquid's actions.
    "not_hex": "the value is not bytes: 0x and an even number of hexadecimal digits",
    "wrong_length": "the bytes or the array do not have the length that their type says",
    "not_type": "the type is neither one of EIP-712, such as uint256, nor declared; or it contains itself",
    "not_name": "the name is not one that a type or a field can have",
    # What a policy decides. The type of these errors is PermissionError.
    "unknown_signer": "the client has no rule for this address, whether or not the daemon holds its key",
    "key_unavailable": "a rule lets the client use this key, but the daemon could not load it",
    "key_on_wire": "the daemon takes no keys from clients, only addresses of keys that it holds",
    "not_allowed": "no rule allows this value",
    "over_limit": "the value is past the limit of the rule that came closest",
    "rate_limited": "the rule allows no more signatures for now",
    "ambiguous": "the signature could also be valid for something else; see ordersigner-policy(5)",
    # The daemon's own fault. The type of this error is InternalError.
    "not_recorded": "the journal did not take the entry of this signature in time, so the client does not get it",
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


def mistyped(value: object, field: str, *allowed: type) -> Refusal:
    """The refusal of a value that is absent, empty, or of a type that its field does not take."""
    if value is MISSING:
        return Refusal.of(field, "missing", f"{field} is required.")
    if value is None or type(value) in allowed:  # the type is right, so the value must be empty
        return Refusal.of(field, "empty", "This value is required.")
    names = ", ".join(kind.__name__ for kind in allowed)
    return Refusal.of(field, "wrong_type", f"{type(value).__name__} is not valid (allowed types: {names}).")


def negative(field: str) -> Refusal:
    """The refusal of a number below zero."""
    return Refusal.of(field, "negative", "This number is less than zero.")


def out_of_range(field: str) -> Refusal:
    """The refusal of a number that is too large for its field."""
    return Refusal.of(field, "out_of_range", "This number does not fit its field.")
