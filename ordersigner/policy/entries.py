"""The journal's words and fields for the values that conditions name.

In: compiled conditions, once; then payloads that they allow. Out: words, and a field for each value. Raises nothing for
such payloads. Pure. A client's text is cut and cleaned as everywhere in the journal.
"""

from __future__ import annotations

from itertools import islice
from typing import Iterable

from ordersigner.payloads.paths import Path
from ordersigner.payloads.payload import Payload
from ordersigner.payloads.typed_values import Value
from ordersigner.policy.conditions import Condition
from ordersigner.text import ELLIPSIS, cleaned, entered

MAX_ENTERED = 16  # fields whose values an entry has
MAX_ELEMENTS = 4  # of an array, in an entry


class Entries:
    """The values of the fields that some conditions name, for entries of the journal."""

    def __init__(self, conditions: Iterable[Condition], name: str) -> None:
        """name: that each field of an entry has, such as ORDERSIGNER_VALUE."""
        self._name = name
        # As it is, where a condition allows only one.
        self._known: dict[str, Path | tuple[str, str]] = {}
        for condition in conditions:
            for side in condition.sides:
                path, access = side.amount.path, side.access
                if not isinstance(access, Path):
                    continue
                if condition.only is not None and not access.array:
                    self._known[path] = self._entry(access.where, condition.only)
                elif side.amount.function != "count":
                    self._known.setdefault(path, access)

    def of(self, payload: Payload) -> tuple[str, tuple[str, ...]]:
        """The words, "" if there is no such field, and the fields."""
        entries: list[tuple[str, str]] = []
        for known in islice(self._known.values(), MAX_ENTERED):
            if isinstance(known, tuple):
                entries.append(known)
            elif not known.array:
                entries.append(self._entry(known.where, known.values(payload)[0]))
            else:
                elements = list(islice(known.each(payload), MAX_ELEMENTS + 1))
                entries += [self._entry(place, value) for place, value in elements[:MAX_ELEMENTS]]
                entries += [self._left_out(f"{place} ") for place, _ in elements[MAX_ELEMENTS:]]
        if len(self._known) > MAX_ENTERED:
            entries.append(self._left_out())
        if not entries:
            return "", ()
        words, fields = zip(*entries)
        return f" with {', '.join(words)}", fields

    def _left_out(self, place: str = "") -> tuple[str, str]:
        return f"{place}{ELLIPSIS}", f"{self._name}={place}{ELLIPSIS}"

    def _entry(self, place: str, value: Value) -> tuple[str, str]:
        """What the journal says of a value at its place, in words and as a field."""
        kind = type(value)
        if kind is str:
            text, in_words = entered(value)
            return f"{place} {in_words}", f"{self._name}={place} {text}"
        if kind is int:
            text = cleaned(value)
        elif kind is bool:
            text = "true" if value else "false"
        else:
            assert isinstance(value, bytes)
            text = f"0x{value.hex()}"
            if len(value) != 20:  # an address is not cut: it is shorter than a key
                text = cleaned(text)
        words = f"{place} {text}"
        return words, f"{self._name}={words}"
