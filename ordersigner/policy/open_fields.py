"""For `ordersignerd --check`: the fields and the sides of fields that conditions leave open.

In: compiled Conditions, and the fields that their kind of payload has. Out: words, such as "how high message.price may
be". Raises nothing. Pure.

A field is walked from its path as the type has it, with "*" for every dimension of an array. Where conditions name
single elements, the walk goes into these, and then through all others.
"""

from __future__ import annotations

from itertools import islice
from typing import Callable, List, NamedTuple, Sequence

from ordersigner.policy.conditions import Condition, Conditions, Field
from ordersigner.policy.rules import OPEN_WITH_TOTAL
from ordersigner.policy.terms import Amount
from ordersigner.text import listed

MAX_OPEN = 100  # fields that are listed


_Leaf = Callable[[str, Sequence["_Claim"]], List[str]]  # from the end of a walk to the words for what is open there


class _Claim(NamedTuple):
    """What a condition says about a field, or about a part of it."""

    steps: Sequence[str]  # of the path, from where the walk is on
    condition: Condition
    part: tuple[str, int, int] | None
    is_low: bool  # whether it limits how low the value may be
    is_high: bool  # whether it limits how high


def leaves_open(conditions: Conditions) -> list[str]:
    """Which fields, or sides of them, are not limited, in words."""
    return _Walk(conditions.compiled).words(conditions)


class _Walk:
    """The way through the fields, with what conditions say about them."""

    def __init__(self, compiled: Sequence[Condition]) -> None:
        plain = [condition for condition in compiled if not condition.term.is_total]
        self._counts = [
            _Claim(
                _steps(condition.term.amount), condition, None, condition.operator != "<=", condition.most is not None
            )
            for condition in plain
            if condition.term.amount.function == "count" and condition.term.divisor is None
        ]
        self._direct = [claim for condition in plain for claim in _direct(condition)]
        self._claims = [*self._direct, *(claim for condition in plain for claim in self._of_price(condition))]

    def words(self, conditions: Conditions) -> list[str]:
        fields = list(islice(conditions.fields.fields(), MAX_OPEN + 1))
        words = [word for field in fields[:MAX_OPEN] if field.type for word in self._open(field)]
        if len(fields) > MAX_OPEN:
            words.append("further fields: the type has very many")
        arrays: dict[str, tuple[int, ...]] = {}
        for field in fields:
            steps = field.path.split(".")
            stars = [number for number, step in enumerate(steps) if step == "*"]
            for depth, number in enumerate(stars[: len(field.lengths)]):
                if not field.lengths[depth]:
                    arrays[".".join(steps[:number])] = field.lengths[:depth]
        for path, lengths in arrays.items():
            words += self._walk("", path.split("."), lengths, _about(path, self._counts), _open_count)
        return [*words, OPEN_WITH_TOTAL] if conditions.totals else words

    def _open(self, field: Field) -> list[str]:
        def leaf(path: str, claims: Sequence[_Claim]) -> list[str]:
            most = self._most(path)
            if most == 0:
                return []
            return _open_sides(path, field.type, field.hint, claims, most)

        return self._walk("", field.path.split("."), field.lengths, _about(field.path, self._claims), leaf)

    def _walk(
        self, done: str, steps: Sequence[str], lengths: Sequence[int], claims: Sequence[_Claim], leaf: _Leaf
    ) -> list[str]:
        """The words of `leaf` for every element to which `steps` lead from `done`."""
        for number, step in enumerate(steps):
            if step == "*":
                return self._walk_array(done, steps[number + 1 :], lengths, claims, leaf)
            done = f"{done}.{step}" if done else step
            claims = [claim._replace(steps=claim.steps[1:]) for claim in claims]
        return leaf(done, claims)

    def _walk_array(
        self, array: str, steps: Sequence[str], lengths: Sequence[int], claims: Sequence[_Claim], leaf: _Leaf
    ) -> list[str]:
        every = [claim._replace(steps=claim.steps[1:]) for claim in claims if claim.steps[0] == "*"]
        single: dict[int, list[_Claim]] = {}
        for claim in claims:
            if claim.steps[0] != "*":
                single.setdefault(int(claim.steps[0]), []).append(claim._replace(steps=claim.steps[1:]))
        most = (lengths[0] if lengths else 0) or self._most(array)
        inner = lengths[1:]
        if most is not None:
            single = {at: own for at, own in single.items() if at < most}
        words: list[str] = []
        if most is None or len(single) < most:
            words = self._walk(f"{array}.*", steps, inner, every, leaf)
            if single:
                others = f"element{'s' if len(single) > 1 else ''} {listed(sorted(single), 'and')}"
                if "*" in array:
                    others += f" of {array}"
                words = [f"{word}, except in {others}" for word in words]
        for at in sorted(single):
            words += self._walk(f"{array}.{at}", steps, inner, [*every, *single[at]], leaf)
        return words

    def _most(self, path: str) -> int | None:
        """How many elements an array, or bytes of a field, there are at the most; None: any number."""
        bounds = [claim.condition.most for claim in _about_all(path, self._counts)]
        return min((most for most in bounds if most is not None), default=None)

    def _of_price(self, condition: Condition) -> list[_Claim]:
        """A price limits one of the two only if the other has limits of its own."""
        amount, divisor = condition.term.amount, condition.term.divisor
        if divisor is None:
            return []
        is_most = condition.operator == "<="
        claims = []
        if not amount.function and self._is_limited(divisor):
            claims.append(_Claim(_steps(amount), condition, amount.part, True, is_most))  # below zero it never holds
        if not divisor.function and self._is_limited(amount):
            # Any divisor meets >= 0.
            is_high = not is_most and condition.level > 0
            claims.append(_Claim(_steps(divisor), condition, divisor.part, True, is_high))
        return claims

    def _is_limited(self, amount: Amount) -> bool:
        """Whether conditions on it alone limit both sides of an amount."""
        if amount.function == "count":
            return self._most(amount.path) is not None
        claims = [claim for claim in _about_all(amount.path, self._direct) if claim.part in (None, amount.part)]
        if amount.function == "sum":
            claims = [claim for claim in claims if claim.condition.term.amount.function == "sum"]
        return any(claim.is_low for claim in claims) and any(claim.is_high for claim in claims)


def _steps(amount: Amount) -> Sequence[str]:
    return amount.path.split(".")


def _about(path: str, claims: Sequence[_Claim]) -> list[_Claim]:
    """Those about a field, or about elements of it if its path has a "*"."""
    steps = path.split(".")
    return [claim for claim in claims if len(claim.steps) == len(steps) and all(map(_covers, claim.steps, steps))]


def _about_all(path: str, claims: Sequence[_Claim]) -> list[_Claim]:
    """The claims about everything that a path stands for. A claim about one element says nothing about the others."""
    steps = path.split(".")
    return [claim for claim in _about(path, claims) if all(map(_covers_all, claim.steps, steps))]


def _covers(own: str, step: str) -> bool:
    return _covers_all(own, step) or (step == "*" and own.isdecimal())


def _covers_all(own: str, step: str) -> bool:
    return own in (step, "*")


def _direct(condition: Condition) -> list[_Claim]:
    """What a condition on one amount says about it."""
    amount, operator = condition.term.amount, condition.operator
    if amount.function == "count" or condition.term.divisor is not None:
        return []
    is_high = operator != ">="
    # The type's own end, 0, limits how low an unsigned value may be.
    is_low = operator not in ("<=", "until") or not condition.side.is_signed
    if amount.function == "sum" and (condition.side.is_signed or not is_high):
        return []  # any element can be high if another one is below zero, and any low one if another one is high
    return [_Claim(_steps(amount), condition, amount.part, is_low, is_high)]


def _open_count(path: str, claims: Sequence[_Claim]) -> list[str]:
    return [] if any(claim.is_high for claim in claims) else [f"how many elements {path} has"]


def _open_sides(path: str, type: str, hint: str, claims: Sequence[_Claim], most: int | None) -> list[str]:
    """The sides of one field that are open. most: how many bytes it has at most; None: any number."""
    whole = [claim for claim in claims if claim.part is None]
    parts: dict[tuple[str, int, int], list[_Claim]] = {}
    for claim in claims:
        if claim.part is not None:
            parts.setdefault(claim.part, []).append(claim)
    is_pinned = any(claim.condition.operator in ("=", "matches") for claim in whole)
    named = f"{path} ({hint})" if hint else path
    if is_pinned:
        patterns = [claim.condition.pattern for claim in whole if claim.condition.operator == "matches"]
        if len(patterns) < len([claim for claim in whole if claim.condition.operator in ("=", "matches")]):
            return []
        if any(pattern.is_one_text for pattern in patterns if pattern):
            return []
        items = [item for pattern in patterns if pattern for item in pattern.open_items]
        return [f"{path}, as far as it matches its pattern", *(f"what is at {item} in {path}" for item in items)]
    if parts and type == "bytes":
        return _open_words(path, parts, most)
    is_low, is_high = (any(claim.is_low for claim in whole), any(claim.is_high for claim in whole))
    if is_low and is_high and (parts or not hint):
        return []
    if parts:
        return _open_bits(path, int(type[4:]), parts)
    if is_low == is_high:
        return [named]
    return [f"how high {path} may be" if is_low else f"how low {path} may be (it may be negative)"]


def _open_bits(path: str, size: int, parts: dict[tuple[str, int, int], list[_Claim]]) -> list[str]:
    words = []
    free = (1 << size) - 1
    for (_, first, number), claims in sorted(parts.items()):
        if any(claim.is_high for claim in claims) and any(claim.is_low for claim in claims):
            free &= ~(((1 << number) - 1) << first)
    named = free
    for (_, first, number), claims in sorted(parts.items()):
        mask = ((1 << number) - 1) << first
        if mask & free and not any(claim.is_high for claim in claims):
            words.append(f"how high {_range('bit', first, first + number - 1)} of {path} may be")
            named &= ~mask
    spans = [f"{span} of {path}" for span in _ranges("bit", [bit for bit in range(size) if named >> bit & 1])]
    return spans + words


def _open_words(path: str, parts: dict[tuple[str, int, int], list[_Claim]], most: int | None) -> list[str]:
    known = {number: claims for (_, number, _), claims in parts.items()}
    end = max(known) + 1 if most is None else -(-most // 32)
    words = [f"{span} of {path}" for span in _ranges("word", [word for word in range(end) if word not in known])]
    for number, claims in sorted(known.items()):
        if not any(claim.is_high for claim in claims):
            words.append(f"how high word {number} of {path} may be")
    if most is None:
        words += [f"what follows word {end - 1} of {path}", f"how long {path} is"]
    return words


def _ranges(unit: str, numbers: Sequence[int]) -> list[str]:
    """Ascending numbers, as "word 6" and "words 0 to 3"."""
    spans: list[tuple[int, int]] = []
    for number in numbers:
        if spans and spans[-1][1] == number - 1:
            spans[-1] = (spans[-1][0], number)
        else:
            spans.append((number, number))
    return [_range(unit, first, last) for first, last in spans]


def _range(unit: str, first: int, last: int) -> str:
    return f"{unit} {first}" if first == last else f"{unit}s {first} to {last}"
