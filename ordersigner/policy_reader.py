"""Reads the policy file: text to a Policy, or to everything that is wrong with it.

In: the text, or the path, of a policy. Out: a Reading. It raises nothing: all mistakes are in the Reading at once, each
with its line. Where an address is wanted, a wrong word is never repeated, and no long word is: it may be a private key.

    policy  = { blank | ("#" | ";") text | section | setting }     one a line; leading and trailing blanks do not count
    section = "[market " NAME "]" | "[rule " NAME "]"              NAME: letters, digits, . _ / -, up to 64; each once
    setting = WORD "=" WORD { " " WORD }                           each once in a section

Not configparser: that takes an indented line as more of the value above and copies [DEFAULT] into every section, and
its values have no line numbers. Not TOML: values have no line numbers there either, and nan is a number.
"""

from __future__ import annotations

import grp
import pwd
import re
from typing import Callable, Iterator, NamedTuple, Sequence, TypeVar

from ordersigner.order_limits import Amount, Market, OrderLimits
from ordersigner.orders import FUTURES_ORDER_TYPES, MAX_DECIMALS, SIDES
from ordersigner.policy import Judge, Named, Policy, Rate, Rule

DEFAULT_PATH = "/etc/ordersigner/policy"
MAX_SIZE = 1024 * 1024  # bytes
MAX_GRANTS = 190  # keys that the rules name, counted for each rule: so many fit into the answer to a client that asks
MAX_RATE = 100_000  # signatures; a rule remembers the time of each
MAX_CLOCK = 10**9  # seconds
MAX_QUOTED = 32  # characters of a word that may be repeated: half of a private key's
SPANS = {"second": 1, "minute": 60, "hour": 3600}  # of a rate, in seconds
UNBOUND_TYPES = {"MKT", "STM"}  # types of order whose price binds nobody

_SECTION = re.compile(r"\[(market|rule) ([A-Za-z0-9._/-]{1,64})\]")
_SETTING = re.compile(r"([A-Za-z][A-Za-z0-9.-]*)[ \t]*=[ \t]*(.*)")
_ADDRESS = re.compile(r"(?:0x)?([0-9A-Fa-f]{40})")
_PRIVATE_KEY = re.compile(r"(?:0x)?[0-9A-Fa-f]{64}")
_AMOUNT = re.compile(r"[0-9]{1,60}(?:\.[0-9]{1,18})?")
_NUMBER = re.compile(r"[0-9]{1,10}")
_RATE = re.compile(r"([0-9]{1,6})/(second|minute|hour)")
_BLANKS = " \t\r"

T = TypeVar("T")


class Complaint(NamedTuple):
    """What is wrong with a line. Line 0 is the file as a whole."""

    line: int
    reason: str


class Reading(NamedTuple):
    """What a policy file says. With errors, nothing of it holds.

    warnings: of users and groups that do not exist. One that was deleted must not stop the others.
    """

    path: str
    policy: Policy
    errors: Sequence[Complaint]
    warnings: Sequence[Complaint]

    def lines(self, complaints: Sequence[Complaint]) -> list[str]:
        """FILE:LINE: reason, for each."""
        return [f"{self.path}:{line}: {reason}" if line else f"{self.path}: {reason}" for line, reason in complaints]


def read_file(path: str) -> Reading:
    """The policy at `path`."""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_SIZE + 1)
        if len(content) > MAX_SIZE:
            return _unreadable(path, f"it has more than {MAX_SIZE:,} bytes")
        return read(content.decode(), path)
    except OSError as error:
        hint = f": chgrp ordersigner-policy {path}" if isinstance(error, PermissionError) else ""
        return _unreadable(path, f"it cannot be read: {error.strerror}{hint}")
    except UnicodeDecodeError as error:
        return _unreadable(path, "this line is not UTF-8", line=content.count(b"\n", 0, error.start) + 1)


def _unreadable(path: str, reason: str, line: int = 0) -> Reading:
    return Reading(path, Policy(), [Complaint(line, reason)], [])


def read(text: str, path: str) -> Reading:
    """The policy that `text` is. path: for complaints only."""
    reader = _Reader()
    sections = list(reader.sections(text))
    markets = {section.name: reader.market(section) for section in sections if section.kind == "market"}
    rules = [reader.rule(section, markets) for section in sections if section.kind == "rule"]
    granted = 0
    for rule in rules:
        granted += len(rule.keys)
        if granted > MAX_GRANTS:
            reader.error(rule.line, f"the rules name more than {MAX_GRANTS} keys, counted for each rule")
            break
    policy = Policy() if reader.errors else Policy(rules)
    return Reading(path, policy, sorted(reader.errors), sorted(reader.warnings))


class _Setting(NamedTuple):
    line: int
    words: list[str]


class _Section(NamedTuple):
    line: int
    kind: str
    name: str
    settings: dict[str, _Setting]


class _Invalid(Exception):
    """A word is not what its setting takes. The text is the reason."""


class _Reader:
    """Collects what is wrong while the file is read to its end."""

    def __init__(self) -> None:
        self.errors: list[Complaint] = []
        self.warnings: list[Complaint] = []

    def error(self, line: int, reason: str) -> None:
        self.errors.append(Complaint(line, reason))

    def sections(self, text: str) -> Iterator[_Section]:
        section: _Section | None = None
        seen: set[tuple[str, str]] = set()
        for number, line in enumerate((line.strip(_BLANKS) for line in text.split("\n")), 1):
            if not line or line[0] in "#;":
                continue
            if line[0] == "[":
                if section is not None:
                    yield section
                section = self._section(number, line)
                if section.name and (section.kind, section.name) in seen:
                    self.error(number, f"there is another {section.kind} of this name")
                seen.add((section.kind, section.name))
                continue
            match = _SETTING.fullmatch(line)
            if match is None:
                self.error(
                    number, "this is neither a section, such as [rule NAME], nor a setting, such as NAME = VALUE"
                )
            elif section is None:
                self.error(number, "a setting must be in a section, such as [rule NAME]")
            elif match[1] in section.settings:
                self.error(number, f"{_quoted(match[1])} is set twice in this section")
            else:
                section.settings[match[1]] = _Setting(number, match[2].split())
        if section is not None:
            yield section

    def _section(self, number: int, line: str) -> _Section:
        match = _SECTION.fullmatch(line)
        if match is None:
            self.error(
                number, "a section is [market NAME] or [rule NAME], with letters, digits and . _ / - in the name"
            )
        elif _PRIVATE_KEY.fullmatch(match[2]):
            self.error(number, "a name must not look like a private key")
        else:
            return _Section(number, match[1], match[2], {})
        return _Section(number, "", "", {})

    def market(self, section: _Section) -> Market | None:
        """None if it has an error."""
        before = len(self.errors)
        base = self._one(section, "base", _token, size=2)
        quote = self._one(section, "quote", _token, size=2)
        instrument = self._one(section, "instrument", _instrument)
        self._no_others(section)
        if "quote" not in section.settings or ("base" in section.settings) == ("instrument" in section.settings):
            self.error(section.line, "a market has quote, and either base (spot) or instrument (futures)")
        if len(self.errors) > before:
            return None
        assert quote is not None
        if instrument is not None:
            return Market(section.name, "futures", instrument + quote[0], 0, quote[1])
        assert base is not None
        return Market(section.name, "spot", base[0] + quote[0], base[1], quote[1])

    def rule(self, section: _Section, markets: dict[str, Market | None]) -> Rule:
        """A rule with an error is not used."""
        if "users" not in section.settings and "groups" not in section.settings:
            self.error(section.line, "a rule needs users or groups")
        for word in ("key", "accounts", "markets"):
            if word not in section.settings:
                self.error(section.line, f"a rule needs {word}")
        keys = ["0x" + key.hex() for key in self._all(section, "key", _address)]
        users = self._all(
            section, "users", self._named(section, "users", "user", lambda name: pwd.getpwnam(name).pw_uid)
        )
        groups = self._all(
            section, "groups", self._named(section, "groups", "group", lambda name: grp.getgrnam(name).gr_gid)
        )
        rate = self._one(section, "rate", _rate)
        limits = self._order_limits(section, markets)
        self._no_others(section)
        judges: dict[str, Judge] = {"spot": limits, "futures": limits}
        return Rule(
            section.name,
            line=section.line,
            keys=keys,
            users=list(filter(None, users)),
            groups=list(filter(None, groups)),
            judges=judges,
            rate=rate,
        )

    def _order_limits(self, section: _Section, markets: dict[str, Market | None]) -> OrderLimits:
        accounts = None if self._is_any(section, "accounts") else self._all(section, "accounts", _address)
        chosen = None if self._is_any(section, "markets") else self._all(section, "markets", _market_of(markets))
        types = self._all(section, "types", _choice(FUTURES_ORDER_TYPES))
        names = ("max-quantity", "min-price", "max-price", "max-notional")
        amounts = [self._one(section, name, _amount) for name in names]
        for name in names:
            setting = section.settings.get(name)
            if setting is None:
                continue
            if chosen is None or len(chosen) != 1:
                self.error(setting.line, f"{name} needs exactly one market, whose tokens it counts")
            if name != "max-quantity" and (not types or UNBOUND_TYPES.intersection(types)):
                self.error(setting.line, f"{name} needs types without MKT and STM, whose price binds nobody")
        limits = {name.replace("-", "_"): amount for name, amount in zip(names, amounts)}
        known = None if chosen is None else [market for market in chosen if market is not None]
        if known is None or len(known) != 1:
            limits = {}  # an error, or none
        return OrderLimits(
            accounts=accounts,
            markets=known,
            sides=self._all(section, "sides", _choice(SIDES)),
            types=types,
            clock=self._one(section, "clock", _clock),
            **limits,
        )

    def _named(
        self, section: _Section, word: str, kind: str, number_of: Callable[[str], int]
    ) -> Callable[[list[str]], Named | None]:
        """Reads a user or a group; one that does not exist is a warning and None."""

        def read(words: list[str]) -> Named | None:
            (name,) = words
            if name.isascii() and name.isdecimal():
                if len(name) > 10 or int(name) >= 2**32 - 1:  # that number means "no user"
                    raise _Invalid(f"this is not the number of a {kind}")
                return Named(str(int(name)), int(name))
            try:
                return Named(name, number_of(name))
            except (KeyError, ValueError):
                self.warnings.append(Complaint(section.settings[word].line, f"there is no {kind} {_quoted(name)}"))
                return None

        return read

    def _is_any(self, section: _Section, word: str) -> bool:
        setting = section.settings.get(word)
        return setting is not None and setting.words == ["any"]

    def _one(self, section: _Section, word: str, read: Callable[[list[str]], T], size: int = 1) -> T | None:
        """The value of a setting of `size` words; None where it is absent or wrong."""
        setting = section.settings.get(word)
        if setting is None:
            return None
        try:
            if len(setting.words) != size:
                raise _Invalid(f"it takes {size} word{'s' if size > 1 else ''}")
            return read(setting.words)
        except _Invalid as error:
            self.error(setting.line, f"{word}: {error}")
            return None

    def _all(self, section: _Section, word: str, read: Callable[[list[str]], T]) -> list[T]:
        """The values of a setting that is a list; none where it is absent. What is wrong is left out."""
        setting = section.settings.get(word)
        values: list[T] = []
        if setting is None:
            return values
        if not setting.words:
            self.error(setting.line, f"{word}: it takes at least one word")
        for number, one in enumerate(setting.words, 1):
            try:
                if one in setting.words[: number - 1]:
                    raise _Invalid("it is there twice")
                values.append(read([one]))
            except _Invalid as error:
                place = f", word {number}" if len(setting.words) > 1 else ""
                self.error(setting.line, f"{word}{place}: {error}")
        return values

    def _no_others(self, section: _Section) -> None:
        for word in section.settings.keys() - _SETTINGS[section.kind]:
            line = section.settings[word].line
            self.error(line, f"a {section.kind} has no setting {_quoted(word)}: {', '.join(_SETTINGS[section.kind])}")


_SETTINGS = {
    "market": ("base", "quote", "instrument"),
    "rule": (
        "key",
        "users",
        "groups",
        "accounts",
        "markets",
        "sides",
        "types",
        "max-quantity",
        "min-price",
        "max-price",
        "max-notional",
        "clock",
        "rate",
    ),
}


# Readers of words. Each raises _Invalid with the reason.
def _address(words: list[str]) -> bytes:
    match = _ADDRESS.fullmatch(words[0])
    if match:
        return bytes.fromhex(match[1])
    if _PRIVATE_KEY.fullmatch(words[0]):
        raise _Invalid("this may be a private key, which must not be here; an address has 40 hexadecimal digits")
    raise _Invalid("this is not an address of 40 hexadecimal digits")


def _token(words: list[str]) -> tuple[bytes, int]:
    return _address(words[:1]), _number(words[1], 0, MAX_DECIMALS, "the token's decimals")


def _instrument(words: list[str]) -> bytes:
    # An order for instrument 0 could be a spot order, and is never signed with a held key.
    return _number(words[0], 1, 2**32 - 1, "the instrument").to_bytes(4, "big")


def _clock(words: list[str]) -> int:
    return _number(words[0], 1, MAX_CLOCK, "the time")


def _number(word: str, least: int, most: int, what: str) -> int:
    if not _NUMBER.fullmatch(word) or not least <= int(word) <= most:
        raise _Invalid(f"{what} must be a whole number from {least} to {most}")
    return int(word)


def _amount(words: list[str]) -> Amount:
    if not _AMOUNT.fullmatch(words[0]):
        raise _Invalid("an amount is decimal digits with at most one point and 18 digits after it")
    return Amount.of(words[0])


def _rate(words: list[str]) -> Rate:
    match = _RATE.fullmatch(words[0])
    if not match or not 1 <= int(match[1]) <= MAX_RATE:
        raise _Invalid(f"a rate is N/second, N/minute or N/hour, with N from 1 to {MAX_RATE}")
    return Rate(int(match[1]), SPANS[match[2]])


def _choice(choices: Sequence[str] | dict[str, bytes]) -> Callable[[list[str]], str]:
    def read(words: list[str]) -> str:
        if words[0] not in choices:
            raise _Invalid(f"valid words are {', '.join(choices)}")
        return words[0]

    return read


def _market_of(markets: dict[str, Market | None]) -> Callable[[list[str]], Market | None]:
    def read(words: list[str]) -> Market | None:
        if words[0] not in markets:
            raise _Invalid(f"there is no section [market {_quoted(words[0])}]")
        return markets[words[0]]

    return read


def _quoted(word: str) -> str:
    """`word`, if it is not so long that it may be a key."""
    return word if len(word) <= MAX_QUOTED and word.isprintable() else "(a long word)"
