"""The way from a payload to the values of a field, through objects and arrays.

In: the steps of a path, once; then payloads. Out: Path, which finds the values and the place of each. Raises Unreadable
for a payload without such values. Pure. Rules name fields by such paths.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Dict, Iterable, Iterator, List, Sequence, Tuple, Union

from ordersigner.payloads.payload import Unreadable
from ordersigner.payloads.typed_values import Value
from ordersigner.text import counted

ARRAY = 'this is an array: write ".*" after it for every element, or the number of one, such as ".0"'

_INDEX = re.compile("0|[1-9][0-9]{0,8}").fullmatch

Step = Union[str, int]  # a member's name, an element's number, or "*" for all elements of an array
Kept = Dict[str, List[Value]]  # the values of a Path with a "*", once they are read: several sections may ask
Start = Callable[[Any], Tuple[Any, Kept]]  # a payload to where the path begins, and to the values kept for it


class Path:
    """The way to an atom, or to something that is counted. With a "*" it leads to any number of values.

    type: of the atom; for a count "elements" or "bytes". where: the place of the one value. array: the place of
    the first array of which it takes every element; "" if it takes one value.
    """

    __slots__ = (
        "_counts",
        "_names_first_array",
        "_path",
        "_read",
        "_root",
        "_start",
        "_steps",
        "array",
        "type",
        "where",
    )

    def __init__(
        self,
        type: str,
        read: Callable[[Any], Value],
        root: str,
        steps: Sequence[Step],
        start: Start,
        *,
        counts: bool = False,
        names_first_array: bool = False,
    ) -> None:
        """read: from the JSON at the end of the path to its value. root: the place where the path starts. counts:
        whether the values are lengths.

        names_first_array: of arrays in each other, whether the outermost stands for an empty one in refusals.
        """
        self.type = type
        self._read = read
        self._root = root
        self._start = start
        self._counts = counts
        self._names_first_array = names_first_array
        self._steps = steps
        self._path = ".".join(map(str, (*(("count",) if counts else ()), root, *steps)))
        self.array = _place(root, steps[: list(steps).index("*")]) if "*" in steps else ""
        self.where = "" if self.array else _place(root, steps)

    def values(self, payload: Any) -> list[Value]:
        """The values as policies compare them. Raises Unreadable where an array is too short.

        One without elements is too short as well, since it would meet any condition. Only a count takes it.
        """
        value, kept = self._start(payload)
        if self.array:
            values = kept.get(self._path)
            if values is None:
                try:
                    *_, found = self._walk(value)
                except IndexError:
                    raise self._missing(payload) from None
                values = kept[self._path] = list(map(self._read, found))
            return values
        try:
            for step in self._steps:
                value = value[step]
        except IndexError:
            raise self._missing(payload) from None
        return [self._read(value)]

    def each(self, payload: Any) -> Iterator[tuple[str, Value]]:
        """Each value with its place, such as message.offer[1].token, one by one: the first ones cost little."""
        return self._each(self._root, self._start(payload)[0], 0)

    def _each(self, place: str, value: Any, done: int) -> Iterator[tuple[str, Value]]:
        """Those in `value`, to which `done` steps lead."""
        for number, step in enumerate(self._steps[done:], done + 1):
            if step == "*":
                if not value and not self._counts:
                    at_fault = self.array if self._names_first_array else place
                    raise Unreadable(at_fault, "at least one element in this array")
                for at, element in enumerate(value):
                    yield from self._each(f"{place}[{at}]", element, number)
                return
            if type(step) is int and step >= len(value):
                raise Unreadable(place, f"element {step} of this array")
            place, value = _place(place, (step,)), value[step]
        yield place, self._read(value)

    def _missing(self, payload: Any) -> Unreadable:
        """Which element is not there."""
        try:
            for _ in self.each(payload):
                pass
        except Unreadable as fault:
            return fault
        raise AssertionError("all elements are there")

    def place(self, payload: Any, number: int) -> str:
        """The place of one of the values. number: its index in values()."""
        if not self.array:
            return self.where
        value, _ = self._start(payload)
        levels = [[value], *self._walk(value)]
        steps: list[Step] = []  # from the value outwards, since an array can have thousands
        for step, before in zip(reversed(self._steps), reversed(levels[:-1])):
            if step == "*":
                at = 0
                while number >= len(before[at]):
                    number -= len(before[at])
                    at += 1
                steps.append(number)
                number = at
            else:
                steps.append(step)
        return _place(self._root, reversed(steps))

    def _walk(self, value: Any) -> Iterator[list[Any]]:
        """The value after each step. Raises IndexError."""
        found: list[Any] = [value]
        for step in self._steps:
            if step == "*":
                if not self._counts and not all(found):
                    raise IndexError
                found = [element for value in found for element in value]
            else:
                found = [value[step] for value in found]
            yield found


def element(word: str, length: int) -> Step:
    """The step to elements of an array, from a word of a policy. length: that the array must have; 0: any."""
    if word == "*":
        return word
    if not _INDEX(word):
        raise ValueError(ARRAY)
    if length and int(word) >= length:
        raise ValueError(f"this array has {counted(length, 'element')}, from 0 to {length - 1}")
    return int(word)


def _place(root: str, steps: Iterable[Step]) -> str:
    """Where the steps lead to from `root`, as refusals say it."""
    return root + "".join(f"[{step}]" if type(step) is int else f".{step}" for step in steps)
