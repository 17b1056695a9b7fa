"""The values of typed data, such as an integer, an address, a text or a struct: each to its 32 bytes in the hash.

In: a decoded JSON value, or a policy's text. Out: 32 bytes, or the value as policies compare it. Raises Fault where the
value is not exactly one of its type. Pure. Source: EIP-712, and what the implementations in use agree on.

One value has one form, because readers take other forms differently: decimal digits without leading zeros, bytes of the
exact length, an address whose case is right.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Callable, NamedTuple, Sequence, Union

from ordersigner.keccak import keccak_256
from ordersigner.refusal import MISSING, Refusal, mistyped
from ordersigner.text import HEX, NOT_UTF_8, counted, from_hex, utf_8

Encode = Callable[[object], bytes]  # a value to its 32 bytes
Value = Union[int, str, bytes]  # of an atom; a bool is a bool, and bytes stand for addresses, bytesN and bytes

# The limits of what is kept, because clients name the same tokens and accounts with every request.
MAX_WORDS = 1024  # addresses, and as many strings
MAX_WORD = 64  # characters of such a string

_HEX_NUMBER = re.compile("0x[0-9A-Fa-f]+").fullmatch
_MAX_DIGITS = 78  # of an integer below 2^256
_MAX_HEX_DIGITS = 64
# The right values, for people.
ADDRESS = 'an address, a string of 0x and 40 hexadecimal digits, such as "0x52908400098527886E0F7030069857D2E4169EE7"'
_INTEGER = (
    'an integer, or a string of its decimal digits without leading zeros, such as "1000000000000000000", or a string of'
    " 0x and its hexadecimal digits"
)


# The work that types and a message may take together, and that of a domain: one for each value, and HASH more for each
# that is hashed: structs, arrays, strings, bytes, and addresses, each address once. typed_types.py has that of types.
# The largest data in use takes nearly as much: 61 orders of Seaport, in a tree for 64, in a line of 65 KB.
HASH = 10
MAX_WORK = 7500
MAX_DOMAIN_WORK = 300


class Budget:
    """How much more work the message, or the domain, that is being read may take."""

    __slots__ = ("_addresses", "_left", "_most")

    def __init__(self, most: int) -> None:
        self._most = self._left = most
        self._addresses: set[str] = set()

    def bounding(self, encode: Encode) -> Encode:
        """`encode`, which begins with all of `most` each time."""

        def bounded(value: object) -> bytes:
            self._left = self._most
            try:
                return encode(value)
            finally:
                self._addresses.clear()

        return bounded

    def spend(self, work: int) -> None:
        self._left -= work
        if self._left < 0:
            raise wrong("too_many_values", "This typed data has too many values: split it.")

    def address(self, value: object) -> bytes:
        """The 32 bytes of an address."""
        if type(value) is str and value not in self._addresses:
            self.spend(HASH)
            self._addresses.add(value)
        return _encode_address(value)


class Fault(Exception):
    """A value is at fault. Each array and struct around it adds a step to its path.

    value, allowed, wanted: as in mistyped(). problem: what is wrong, with a value of the right type.
    """

    def __init__(
        self,
        value: object,
        *allowed: type,
        wanted: str = "",
        problem: tuple[str, str] | None = None,
        step: str | None = None,
    ) -> None:
        super().__init__()
        self.steps = [] if step is None else [step]  # the innermost first
        self._value = value
        self._allowed = allowed
        self._wanted = wanted
        self._problem = problem

    def refusal(self, root: str) -> Refusal:
        """root: the path of the outermost value."""
        path = root + "".join(reversed(self.steps))
        if self._problem:
            return Refusal.of(path, *self._problem)
        return mistyped(self._value, path, *self._allowed, wanted=self._wanted)


def wrong(code: str, message: str, step: str | None = None) -> Fault:
    return Fault(None, problem=(code, message), step=step)


def value_of(type: str, text: str) -> Value:
    """The value of an atom from a policy's text, as Path.values() gives it: for a bool true or false.

    Raises ValueError, with a text for people that does not repeat the value.
    """
    try:
        value = {"true": True, "false": False}.get(text, text) if type == "bool" else text
        ATOMS[type].encode(value)
        return ATOMS[type].read(value)
    except Fault as fault:
        ((problem, *_),) = fault.refusal("").context.values()
        raise ValueError("this must be true or false" if type == "bool" else problem.message) from None


def address(value: object, field: str) -> bytes:
    """The 20 bytes of 0x and 40 hexadecimal digits: all lower-case, all upper-case, or with EIP-55's checksum."""
    try:
        return _encode_address(value)[12:]
    except Fault as fault:
        raise fault.refusal(field) from None


class _Atom(NamedTuple):
    """A type of the standard. encode: a value to its 32 bytes. read: a valid value to what policies compare."""

    encode: Encode
    read: Callable[[object], Value]


def _integer_type(least: int, limit: int) -> Encode:
    signed = least < 0

    def encode(value: object) -> bytes:
        number = value if type(value) is int else integer(value)
        if not least <= number < limit:
            if number < 0 and not signed:
                raise wrong("negative", "This number is less than zero.")
            raise _out_of_range()
        return number.to_bytes(32, "big", signed=signed)

    return encode


def integer(value: object) -> int:
    """An integer from its text. One number has one decimal text, because readers take others differently."""
    if type(value) is int:
        return value
    if type(value) is not str or not value:
        raise Fault(value, int, str, wanted=_INTEGER)
    digits = value[1:] if value[0] == "-" else value
    if value.isascii() and digits.isdecimal() and (digits[0] != "0" or value == "0"):
        if len(digits) > _MAX_DIGITS:  # and int() takes time that is quadratic in their number
            raise _out_of_range()
        return int(value)
    if _HEX_NUMBER(value):
        if len(value) > 2 + _MAX_HEX_DIGITS:
            raise _out_of_range()
        return int(value, 16)
    raise wrong("not_integer", f"This must be {_INTEGER}.")


def _out_of_range() -> Fault:
    return wrong("out_of_range", "This number does not fit its type.")


def _encode_address(value: object) -> bytes:
    if type(value) is not str or not value:
        raise Fault(value, str, wanted=ADDRESS)
    if len(value) != 42:  # before it is looked up: it may be very long
        raise _not_address()
    return _address_word(value)


@lru_cache(maxsize=MAX_WORDS)
def _address_word(text: str) -> bytes:
    digits = text[2:]
    content = from_hex(digits) if text[:2] == "0x" else None
    if content is None:
        raise _not_address()
    lower = digits.lower()
    if digits not in (lower, digits.upper()):
        # EIP-55, for all digits at once: upper-case are the letters for which the hash has a digit above 7.
        above_7 = _number(keccak_256(lower.encode()).hex()[:40].encode().translate(_ABOVE_7), "big")
        lower_case = _number(lower.encode(), "big")
        letters = lower_case >> 1 & _CASES
        if _number(digits.encode(), "big") ^ lower_case != letters & above_7:
            raise wrong("not_address", "The case of this address is not its checksum (EIP-55): a digit may be wrong.")
    return bytes(12) + content


# For 40 letters, the bit in which upper and lower case differ. In a lower-case letter, unlike a digit, the next higher
# bit is set as well.
_number = int.from_bytes
_CASES = int.from_bytes(b"\x20" * 40, "big")
_ABOVE_7 = bytes.maketrans(b"0123456789abcdef", bytes(8) + b"\x20" * 8)


def _not_address() -> Fault:
    return wrong("not_address", f"This must be {ADDRESS}.")


def _encode_bool(value: object) -> bytes:
    if value is True:
        return _TRUE
    if value is False:
        return _FALSE
    raise Fault(value, bool)


def _encode_string(value: object) -> bytes:
    if type(value) is not str:
        raise Fault(value, str)
    return _short_string(value) if len(value) <= MAX_WORD else _hash_string(value)


def _hash_string(text: str) -> bytes:
    content = utf_8(text)
    if content is None:
        raise wrong(*NOT_UTF_8)
    return keccak_256(content)


_short_string = lru_cache(maxsize=MAX_WORDS)(_hash_string)


def _encode_bytes(value: object) -> bytes:
    return keccak_256(hex_bytes(value))


def _fixed_bytes(size: int) -> Encode:
    padding = bytes(32 - size)

    def encode(value: object) -> bytes:
        data = hex_bytes(value)
        if len(data) != size:
            has = counted(len(data), "byte")
            raise wrong("wrong_length", f"This has {has}. It must have {size}: 0x and {2 * size} digits.")
        return data + padding

    return encode


def hex_bytes(value: object) -> bytes:
    if type(value) is not str:
        raise Fault(value, str, wanted=HEX)
    content = from_hex(value[2:]) if value[:2] == "0x" else None
    if content is None:
        raise wrong("not_hex", f"This must be {HEX}. Nothing is converted: send the bytes themselves.")
    return content


def _same(value: object) -> Value:
    assert isinstance(value, (bool, str))
    return value


def struct(type_hash: bytes, members: Sequence[tuple[str, Encode]], hashes: int, budget: Budget) -> Encode:
    """The function from a struct to its hash. members: its fields, by their names.

    hashes: how many of them are strings or bytes.
    """
    work = len(members) + HASH * (1 + hashes)

    def encode(value: object) -> bytes:
        if type(value) is not dict:
            raise Fault(value, dict)
        budget.spend(work)
        words = [type_hash]
        name = ""
        try:
            for name, encode_member in members:
                words.append(encode_member(value[name]))
        except KeyError:
            raise Fault(MISSING, wanted="a value of the type that this field has", step=f".{name}") from None
        except Fault as fault:
            fault.steps.append(f".{name}")
            raise
        return keccak_256(b"".join(words))

    return encode


def array(encode_element: Encode, length: str, hashes: int, budget: Budget) -> Encode:
    """The function from an array to its hash. length: as its type says it; "" where any is right.

    hashes: 1 for strings and bytes, otherwise 0.
    """
    work = 1 + HASH * hashes

    def encode(value: object) -> bytes:
        if type(value) is not list:
            raise Fault(value, list)
        if length and str(len(value)) != length:
            has = counted(len(value), "element")
            raise wrong("wrong_length", f"This array has {has}. By its type, it must have {length}.")
        budget.spend(HASH + work * len(value))
        words: list[bytes] = []
        try:
            for element in value:
                words.append(encode_element(element))
        except Fault as fault:
            fault.steps.append(f"[{len(words)}]")
            raise
        return keccak_256(b"".join(words))

    return encode


_TRUE = bytes(31) + b"\x01"
_FALSE = bytes(32)
ATOMS = {
    "address": _Atom(_encode_address, hex_bytes),
    "bool": _Atom(_encode_bool, _same),
    "bytes": _Atom(_encode_bytes, hex_bytes),
    "string": _Atom(_encode_string, _same),
}
for _bits in range(8, 257, 8):
    ATOMS[f"uint{_bits}"] = _Atom(_integer_type(0, 1 << _bits), integer)
    ATOMS[f"int{_bits}"] = _Atom(_integer_type(-1 << (_bits - 1), 1 << (_bits - 1)), integer)
    ATOMS[f"bytes{_bits // 8}"] = _Atom(_fixed_bytes(_bits // 8), hex_bytes)
