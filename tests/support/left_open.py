"""Finds what a policy leaves open, as a black box: in a request that is allowed, a single value is changed.

It knows no kind of request. A value is any leaf of a request's JSON, an optional member that is absent, or how many
elements an array has. At the end of its type is the largest, and the smallest, value that can be read and signed. Of
texts, addresses and other words there are several others, some of them from other requests.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Tuple

from ordersigner.policy.kinds import KINDS

Path = Tuple[Any, ...]  # keys and indexes, from the request on
_NOT_SIGNED = ("type", "id", "signer")  # members of every request
_ENDS = sorted({2**size - 1 for size in (53, *range(8, 257, 8))} | {10**digits for digits in range(60)}, reverse=True)
_NEGATIVE_ENDS = [-(2 ** (size - 1)) for size in range(256, 7, -8)]
_LENGTHS = (100, 20, 5, 3, 2)  # of arrays, as many as a request has room for
_OTHERS: Sequence[Any] = (True, 0, 2**53 - 1, "0x" + "a5" * 20, "text", "")  # of a member that is absent
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?").fullmatch
_HEX = re.compile("(0x)?[0-9A-Fa-f]*").fullmatch
_LETTERS = 64  # of a text that are changed, one at a time


class Change(NamedTuple):
    """A change of one value. side: "low" and "high" for the ends of a type, "other", or "more" elements.

    requests: for an end, from the farthest on. Otherwise several that differ.
    """

    path: Path
    side: str
    requests: Iterable[dict[str, Any]]

    @property
    def name(self) -> str:
        """The path as a policy has it. Typed data, transactions and messages have no name of their own there."""
        path = self.path[1:] if self.path[0] in ("typed_data", "transaction") else self.path
        return ".".join(map(str, path)).replace("hex", "text", self.path[0] == "hex")


def words_of(requests: Iterable[dict[str, Any]]) -> dict[Path, list[Any]]:
    """The values of requests at each path, with * for each index: words that are valid there, whatever they mean."""
    known: dict[Path, list[Any]] = {}
    for request in requests:
        for path, value in _leaves(request, ()):
            values = known.setdefault((request["type"], *_general(path)), [])
            if value not in values:
                values.append(value)
    return known


def changes(request: dict[str, Any], known: Mapping[Path, Sequence[Any]]) -> Iterator[Change]:
    """Every change of one value. known: as words_of()."""
    members = {key: value for key, value in request.items() if key not in _NOT_SIGNED}
    for path, value in _leaves(members, ()):
        words = known.get((request["type"], *_general(path)), ())
        if isinstance(value, list):
            longer = ([*value, *[value[-1]] * (length - len(value))] for length in _LENGTHS if length > len(value) > 0)
            yield Change(path, "more", _with(request, path, longer))
            continue
        others = [*_others(value), *words]
        if _is_number(value):
            for side, ends in (("high", _ENDS), ("low", [*_NEGATIVE_ENDS, 0])):
                yield Change(path, side, _with(request, path, map(type(value), ends)))
            others = [other for other in others if not _is_number(other) and not _is_hex(other)]
        yield Change(path, "other", _with(request, path, others))
    for key in KINDS[request["type"]].form.optional:
        if key not in request:
            others = [*_OTHERS, *known.get((request["type"], key), ())]
            yield Change((key,), "other", _with(request, (key,), others))


def _others(value: object) -> list[Any]:
    if isinstance(value, bool):
        return [not value]
    if not isinstance(value, str):
        return [] if isinstance(value, (int, float)) else list(_OTHERS)
    others = ["another text", "", "a" * 500, *(value + letter for letter in "0aZ ")]
    if _is_hex(value):
        digits = value[2:] if value[:2] == "0x" else value
        bytes = [byte * (len(digits) // 2) for byte in ("00", "a5", "ff")]
        others += [value[: len(value) - len(digits)] + each for each in (*bytes, "a5" * 100, "")]
    for at, letter in enumerate(value[:_LETTERS]):
        other = {"9": "0", "z": "a", "Z": "A"}.get(letter, chr(ord(letter) + 1))
        others.append(value[:at] + other + value[at + 1 :])
    return others


def _is_hex(value: object) -> bool:
    return isinstance(value, str) and bool(_HEX(value))


def _is_number(value: object) -> bool:
    return type(value) in (int, float) or (isinstance(value, str) and bool(_NUMBER(value)))


def _leaves(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """All leaves, and all arrays, below a value."""
    if isinstance(value, list):
        yield path, value
    if isinstance(value, (list, dict)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(inner, (*path, key))
    else:
        yield path, value


def _general(path: Path) -> Path:
    return tuple("*" if isinstance(key, int) else key for key in path)


def _with(request: dict[str, Any], path: Path, values: Iterable[Any]) -> Iterator[dict[str, Any]]:
    for value in values:
        yield _changed(request, path, value)


def _changed(value: Any, path: Path, new: Any) -> Any:
    """A copy with another value at a path. Everything that is not on the way there is shared."""
    if not path:
        return new
    changed = copy.copy(value)
    changed[path[0]] = _changed(value[path[0]] if len(path) > 1 else None, path[1:], new)
    return changed


def names(open_ends: Iterable[str], permits: Iterable[str], change: Change) -> bool:
    """Whether words of `--check` name a side of a value: those for what is not limited, or those for what is allowed.

    The words for what is not limited may also name the whole of which it is a part.
    """
    steps = change.name.split(".")
    own = _in_words(steps)
    wholes = [_in_words(steps[:end]) for end in range(1, len(steps))]
    return any(own.search(text) and _names_side(text, change) for text in (*open_ends, *permits)) or any(
        whole.search(text) and not _OF_SIDE.search(text) for whole in wholes for text in open_ends
    )


_OF_SIDE = re.compile(" at least | at most |from [0-9.]+ to |how (low|high|many) |, except in ")


def _in_words(steps: Sequence[str]) -> re.Pattern[str]:
    """A path among words, with an index or a * for each index."""
    found = [rf"(?:\.|\[)(?:\*|{step})\]?" if step.isdecimal() else rf"\.{re.escape(step)}" for step in steps]
    return re.compile(rf"(?<![\w.\]]){''.join(found)[2:]}(?![\w\[]|\.[\w*])")


def _names_side(text: str, change: Change) -> bool:
    """Whether words that have the path are about a side of it."""
    excepted = re.search(r", except in elements? ([0-9, or]+)", text)
    if excepted and {str(key) for key in change.path if isinstance(key, int)} & set(re.findall("[0-9]+", excepted[1])):
        return False
    if change.side == "more":
        return bool(re.match("how many elements ", text))
    if re.search("how (low|high)", text):
        return bool(re.search(f"how (low or )?{change.side}", text))
    if " from 0 to " in text:
        return change.side == "low"
    return not _OF_SIDE.search(text.partition(", except in ")[0])
