"""The arguments of a contract's function: compiled from its signature, and read from the data of a transaction.

In: a signature with names, such as approve(address spender, uint256 amount), once; then data. Out: Function; and the
arguments by their names, or None where the data is not a call of this function in canonical form. Raises ValueError,
with a text for people, for a signature that is not one. Pure. Source: the Solidity contract ABI specification.

Canonical is what the standard encoder writes: each tail begins where the last one ended, padding is zero, each value is
one of its type, and nothing follows. A decoder that follows offsets could be shown other values than the contract
reads, and bytes that no argument covers could be data for another contract. So the data is read from its beginning to
its end, once, and every byte of it is accounted for.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Iterator, NamedTuple, Sequence

from ordersigner.keccak import keccak_256
from ordersigner.payloads.paths import Step, element
from ordersigner.payloads.typed_values import ATOMS
from ordersigner.text import similar

MAX_DEPTH = 8  # of tuples in each other, and dimensions of an array
MAX_HEAD = 15_360  # bytes of arguments; no signed transaction has room for more

_FORM = "a function is written as NAME(TYPE NAME, …), such as approve(address spender, uint256 amount)"
_TOKEN = re.compile(r"\s*(?:([A-Za-z_$][A-Za-z0-9_$]*)|\[([1-9][0-9]{0,8})?\]|([(),]))\s*")
_MEANT = {"uint": "uint256", "int": "int256", "byte": "bytes1", "boolean": "bool"}
_SIZED = re.compile("(u?int|bytes)[0-9]+").fullmatch
_SIZES = {
    "uint": "uint8 to uint256, in steps of 8",
    "int": "int8 to int256, in steps of 8",
    "bytes": "bytes1 to bytes32",
}
_WORD = 32
_MAX_SIGNATURE = 16 * 1024  # characters

# A value at an offset of the data. One that has no fixed size comes with the offset at which it ends.
_Read = Callable[[bytes, int], Any]


class Parameter(NamedTuple):
    """A parameter, or a member of a tuple.

    base: an atom's type, or the members of a tuple. lengths: of the dimensions, the innermost first; 0 for any length.
    """

    name: str
    base: str | tuple[Any, ...]
    lengths: tuple[int, ...]

    @property
    def type(self) -> str:
        """As the contract's selector has it."""
        base = self.base if isinstance(self.base, str) else f"({_types(self.base)})"
        return base + "".join(f"[{length or ''}]" for length in self.lengths)


class Function:
    """A function, to read calls of.

    text: its signature with names. signature: the one that is hashed. selector: the first four bytes of a call.
    """

    __slots__ = ("_read", "parameters", "selector", "signature", "text")

    def __init__(self, text: str) -> None:
        """text: NAME(TYPE NAME, …). Raises ValueError."""
        name, self.parameters = _Parser(text).function()
        self.text = " ".join(text.split())
        self.signature = f"{name}({_types(self.parameters)})"
        self.selector = keccak_256(self.signature.encode())[:4]
        read, size = _tuple(self.parameters)
        self._read = _with_end(read, size) if size else read

    def way(self, words: Sequence[str]) -> tuple[str | tuple[Any, ...], tuple[int, ...], list[Step]]:
        """Where a path leads to: the type there without its dimensions, and these. Then its steps.

        words: names, and for elements of an array their numbers or "*". Raises ValueError, with a text for people.
        """
        base: str | tuple[Any, ...] = self.parameters
        lengths: tuple[int, ...] = ()
        steps: list[Step] = []
        for word in words:
            if lengths:
                steps.append(element(word, lengths[-1]))
                lengths = lengths[:-1]
                continue
            members = () if isinstance(base, str) else base
            found = next((member for member in members if member.name == word), None)
            if found is None:
                meant = similar(word, (member.name for member in members))
                hint = f"; did you mean {meant}?" if meant else ""
                raise ValueError(f"the function has no such argument{hint}")
            base, lengths = found.base, found.lengths
            steps.append(word)
        return base, lengths, steps

    def leaves(self) -> Iterator[tuple[str, str, tuple[int, ...]]]:
        """Each atom: its path with "*" for every dimension, its type, and the length of each array; 0: any."""
        return _leaves("", self.parameters, ())

    def arguments(self, data: bytes) -> dict[str, Any] | None:
        """The arguments of a call by their names; None if the data is not a call of this function in canonical form.

        Tuples are dicts, arrays lists, addresses 20 bytes; other values are those that the type has in Python.
        """
        if data[:4] != self.selector:
            return None
        try:
            arguments, end = self._read(data[4:], 0)
        except (_NotCanonical, UnicodeDecodeError):
            return None
        return arguments if end == len(data) - 4 else None


class _NotCanonical(Exception):
    """The data is not what the standard encoder writes."""


def _leaves(
    before: str, members: Sequence[Parameter], lengths: tuple[int, ...]
) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    for member in members:
        path = before + member.name + ".*" * len(member.lengths)
        all_lengths = (*lengths, *reversed(member.lengths))
        if isinstance(member.base, str):
            yield path, member.base, all_lengths
        else:
            yield from _leaves(f"{path}.", member.base, all_lengths)


def _types(parameters: Sequence[Parameter]) -> str:
    return ",".join(parameter.type for parameter in parameters)


# From text to parameters.
class _Parser:
    """Reads a signature token by token."""

    def __init__(self, text: str) -> None:
        if len(text) > _MAX_SIGNATURE:
            raise ValueError(f"a function has at most {_MAX_SIGNATURE} characters")
        self._tokens: list[re.Match[str]] = []
        at = 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise ValueError(_FORM)
            self._tokens.append(match)
            at = match.end()
        self._at = 0

    def function(self) -> tuple[str, tuple[Parameter, ...]]:
        name = self._word()
        if not name or not self._mark("("):
            raise ValueError(_FORM)
        parameters = () if self._mark(")") else self._parameters(1)
        if self._at != len(self._tokens):
            raise ValueError(f"{_FORM}: nothing follows the last bracket")
        return name, parameters

    def _parameters(self, depth: int) -> tuple[Parameter, ...]:
        """The parameters in brackets, from after the opening bracket. Reads the closing one as well."""
        if depth > MAX_DEPTH:
            raise ValueError(f"tuples are in each other at most {MAX_DEPTH} deep")
        parameters: dict[str, Parameter] = {}
        while True:
            parameter = self._parameter(depth)
            if parameter.name in parameters:
                raise ValueError(f"two parameters have the name {parameter.name}")
            parameters[parameter.name] = parameter
            if self._mark(")"):
                return tuple(parameters.values())
            if not self._mark(","):
                raise ValueError(_FORM)

    def _parameter(self, depth: int) -> Parameter:
        base: str | tuple[Parameter, ...]
        if self._mark("("):
            base = self._parameters(depth + 1)
        else:
            base = self._word()
            if base and base not in ATOMS:
                raise ValueError(_no_type(base))
        lengths = []
        while self._at < len(self._tokens) and self._tokens[self._at][0].lstrip().startswith("["):
            lengths.append(int(self._tokens[self._at][2] or 0))
            self._at += 1
        name = self._word()
        if not base or not name:
            raise ValueError(f"{_FORM}: each parameter needs a type and a name")
        if len(lengths) > MAX_DEPTH:
            raise ValueError(f"an array has at most {MAX_DEPTH} dimensions")
        return Parameter(name, base, tuple(lengths))

    def _word(self) -> str:
        """Read the next token if it is a word; otherwise ""."""
        word = self._tokens[self._at][1] if self._at < len(self._tokens) else None
        if word is None:
            return ""
        self._at += 1
        return word

    def _mark(self, mark: str) -> bool:
        """Read the next token if it is this mark; returns whether it was."""
        if self._at < len(self._tokens) and self._tokens[self._at][3] == mark:
            self._at += 1
            return True
        return False


def _no_type(word: str) -> str:
    """The complaint about a word that is no type."""
    if word in _MEANT:
        return f"write {_MEANT[word]}: the selector is the hash of the full name"
    meant = similar(word, ATOMS)
    sized = _SIZED(word)
    hint = f"; did you mean {meant}?" if meant else ""
    if sized:
        hint = f"; there are {_SIZES[sized[1]]}"
    return f"a parameter begins with its type, such as address, uint256 or (…){hint}"


# From parameters to functions that read. The second value is the size in bytes, or 0 where it is not fixed.
def _reader(parameter: Parameter, dimensions: int) -> tuple[_Read, int]:
    """The reader of a parameter with only this many of its dimensions, the innermost ones."""
    if not dimensions:
        return _atom(parameter.base) if isinstance(parameter.base, str) else _tuple(parameter.base)
    element, size = _reader(parameter, dimensions - 1)
    length = parameter.lengths[dimensions - 1]
    if length:
        _check_head(length * (size or _WORD))
        return _fixed_array(element, size, length), size * length
    return _array(element, size), 0


def _check_head(size: int) -> None:
    if size > MAX_HEAD:
        raise ValueError(f"these parameters take more than {MAX_HEAD} bytes, and a transaction has no room for them")


def _tuple(members: Sequence[Parameter]) -> tuple[_Read, int]:
    """The values by the names of the members."""
    readers = []
    head = 0
    for member in members:
        read, size = _reader(member, len(member.lengths))
        readers.append((member.name, head, read, bool(size)))
        head += size or _WORD
        _check_head(head)

    def read_static(data: bytes, start: int) -> dict[str, Any]:
        return {name: read(data, start + offset) for name, offset, read, _ in readers}

    def read_dynamic(data: bytes, start: int) -> tuple[dict[str, Any], int]:
        end = start + head
        _check_end(data, end)
        values = {}
        for name, offset, read, is_static in readers:
            if is_static:
                values[name] = read(data, start + offset)
            else:
                values[name], end = _tail(data, start, start + offset, end, read)
        return values, end

    if all(is_static for _, _, _, is_static in readers) and readers:
        return read_static, head
    return read_dynamic, 0


def _with_end(read: _Read, size: int) -> _Read:
    """The same for what has a fixed size, at the beginning of the data."""

    def read_whole(data: bytes, start: int) -> tuple[Any, int]:
        _check_end(data, start + size)
        return read(data, start), start + size

    return read_whole


def _fixed_array(element: _Read, size: int, length: int) -> _Read:
    """size: of an element; 0 if it is not fixed."""

    def read_static(data: bytes, start: int) -> list[Any]:
        return [element(data, at) for at in range(start, start + size * length, size)]

    def read_dynamic(data: bytes, start: int) -> tuple[list[Any], int]:
        return _tails(data, start, length, element)

    return read_static if size else read_dynamic


def _array(element: _Read, size: int) -> _Read:
    def read(data: bytes, start: int) -> tuple[list[Any], int]:
        length, start = _length(data, start)
        if not size:
            return _tails(data, start, length, element)
        end = start + size * length
        _check_end(data, end)
        return [element(data, at) for at in range(start, end, size)], end

    return read


def _tails(data: bytes, start: int, length: int, element: _Read) -> tuple[list[Any], int]:
    """Elements that have no fixed size: an offset for each, and then one after the other."""
    end = start + _WORD * length
    _check_end(data, end)
    values = []
    for at in range(start, end, _WORD):
        value, end = _tail(data, start, at, end, element)
        values.append(value)
    return values, end


def _tail(data: bytes, start: int, at: int, end: int, read: _Read) -> Any:
    """The value that begins at `end`, and the place where it ends. at: the place of its offset, which counts from
    `start`.
    """
    if int.from_bytes(data[at : at + _WORD], "big") != end - start:
        raise _NotCanonical
    return read(data, end)


def _length(data: bytes, start: int) -> tuple[int, int]:
    """The length at `start`, and the place where its elements begin."""
    end = start + _WORD
    _check_end(data, end)
    length = int.from_bytes(data[start:end], "big")
    if length > len(data):  # no element takes less than a byte; this keeps the numbers small
        raise _NotCanonical
    return length, end


def _check_end(data: bytes, end: int) -> None:
    if end > len(data):
        raise _NotCanonical


def _atom(type: str) -> tuple[_Read, int]:
    if type in ("bytes", "string"):
        return _read_bytes if type == "bytes" else _read_string, 0
    if type == "address":
        return _read_address, _WORD
    if type == "bool":
        return _read_bool, _WORD
    if type.startswith("bytes"):
        return _fixed_bytes(int(type[5:])), _WORD
    bits = int(type.rpartition("int")[2])
    return (_unsigned if type.startswith("u") else _signed)(bits), _WORD


def _unsigned(bits: int) -> _Read:
    limit = 1 << bits

    def read(data: bytes, at: int) -> int:
        number = int.from_bytes(data[at : at + _WORD], "big")
        if number >= limit:
            raise _NotCanonical
        return number

    return read


def _signed(bits: int) -> _Read:
    limit = 1 << (bits - 1)

    def read(data: bytes, at: int) -> int:
        number = int.from_bytes(data[at : at + _WORD], "big", signed=True)
        if not -limit <= number < limit:
            raise _NotCanonical
        return number

    return read


def _fixed_bytes(size: int) -> _Read:
    padding = bytes(_WORD - size)

    def read(data: bytes, at: int) -> bytes:
        if data[at + size : at + _WORD] != padding:
            raise _NotCanonical
        return data[at : at + size]

    return read


_NO_ADDRESS = bytes(12)  # the first bytes of a word that is an address


def _read_address(data: bytes, at: int) -> bytes:
    if data[at : at + 12] != _NO_ADDRESS:
        raise _NotCanonical
    return data[at + 12 : at + _WORD]


def _read_bool(data: bytes, at: int) -> bool:
    number = int.from_bytes(data[at : at + _WORD], "big")
    if number > 1:
        raise _NotCanonical
    return number == 1


def _read_bytes(data: bytes, start: int) -> tuple[bytes, int]:
    length, start = _length(data, start)
    end = start + length
    padded = end + -length % _WORD
    _check_end(data, padded)
    if any(data[end:padded]):
        raise _NotCanonical
    return data[start:end], padded


def _read_string(data: bytes, start: int) -> tuple[str, int]:
    content, end = _read_bytes(data, start)
    return content.decode(), end
