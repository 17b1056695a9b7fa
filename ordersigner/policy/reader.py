"""Reads the policy file: text to a Policy, or to everything that is wrong with it.

In: the text, or the path, of a policy. Out: a Reading. It raises nothing: all mistakes are in the Reading at once, each
with its line. Where an address is wanted, a wrong word is never repeated, and no long word is: it may be a private key.

    policy  = { blank | ("#" | ";") text | section | setting }     one a line; leading and trailing blanks do not count
    section = "[" KIND " " NAME "]"     KIND: a key of SETTINGS; NAME: letters, digits, . _ / -, up to 64; each once
    setting = WORD OPERATOR VALUE       OPERATOR: "=", or another one for typed data; each once in a section

Control characters are a mistake in comments too. Many editors end a line at some of them, and show a setting where the
rest of a comment is.

Not configparser: that takes an indented line as more of the value above and copies [DEFAULT] into every section, and
its values have no line numbers. Not TOML: values have no line numbers there either, and nan is a number.
"""

from __future__ import annotations

import grp
import pwd
import re
from typing import Any, Callable, Dict, Iterator, NamedTuple, Sequence, TypeVar

from ordersigner.payloads.messages import NOT_PLAIN
from ordersigner.payloads.orders import FUTURES_ORDER_TYPES, MAX_DECIMALS, SIDES
from ordersigner.policy import hyperliquid_limits
from ordersigner.policy.hyperliquid_limits import HyperliquidLimits
from ordersigner.policy.message_limits import MessageLimits
from ordersigner.policy.order_limits import AMOUNT, Amount, Market, OrderLimits, listed
from ordersigner.policy.rules import Judge, Named, Policy, Rate, Rule
from ordersigner.policy.settings import SettingsError
from ordersigner.policy.typed_limits import AnyTypedData, Condition, TypedLimits

DEFAULT_PATH = "/etc/ordersigner/policy"
MAX_SIZE = 1024 * 1024  # bytes
MAX_GRANTS = 190  # keys that the rules name, counted for each rule; the answer to a client that asks has room for these
MAX_RATE = 100_000  # signatures; a rule remembers the time of each
MAX_CLOCK = 10**9  # seconds
MAX_QUOTED = 64  # characters of a word that may be repeated
SPANS = {"second": 1, "minute": 60, "hour": 3600}  # of a rate, in seconds
UNBOUND_TYPES = {"MKT", "STM"}  # types of order whose price binds nobody

ORDER_SETTINGS = ("accounts", "sides", "types", "max-quantity", "min-price", "max-price", "max-notional", "clock")
# The settings that each kind of section has; those of "typed" are paths, which the types say.
SETTINGS: dict[str, tuple[str, ...]] = {
    "market": ("base", "quote", "instrument"),
    "typed": ("type",),
    "message": ("pattern", "hashes"),
    "hyperliquid": hyperliquid_limits.SETTINGS,
    "rule": (
        *("key", "users", "groups", "rate"),
        *("markets", *ORDER_SETTINGS),
        *("typed", "messages", "hyperliquid"),
    ),
}
# The settings of a rule that list sections: the kind of these sections, and the type of request that they are about.
LISTS = {
    "typed": ("typed", "typed_data"),
    "messages": ("message", "message"),
    "hyperliquid": ("hyperliquid", "hyperliquid"),
}
HAVE_ANY = ("market", "typed")  # kinds of sections for which a rule may say "any"

_HEADERS = [f"[{kind} NAME]" for kind in SETTINGS]
_SECTION = re.compile(rf"\[({'|'.join(SETTINGS)}) ([A-Za-z0-9._/-]{{1,64}})\]")
_SETTING = re.compile(r"([A-Za-z][^\s=<>]*)[ \t]*(=|<=|>=|(?<=[ \t])within(?=[ \t]|$))[ \t]*(.*)")
_ADDRESS = re.compile(r"(?:0x)?([0-9A-Fa-f]{40})")
_PRIVATE_KEY = re.compile(r"(?:0x)?[0-9A-Fa-f]{64}")
_HALF_OF_A_KEY = re.compile(r"[0-9A-Fa-f]{32,}")  # no word that is repeated contains this much of a key
_NUMBER = re.compile(r"[0-9]{1,10}")
_RATE = re.compile(r"([0-9]{1,6})/(second|minute|hour)")
_BLANKS = " \t\r"

T = TypeVar("T")
_Compiled = Dict[str, Dict[str, Any]]  # sections by kind and name; None for one with an error


class Complaint(NamedTuple):
    """What is wrong with a line. Line 0 is the file as a whole."""

    line: int
    reason: str


class Reading(NamedTuple):
    """What a policy file says. With errors, none of it is in force.

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
    """The policy at `path`. No file at DEFAULT_PATH is a policy without rules."""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_SIZE + 1)
        if len(content) > MAX_SIZE:
            return _unreadable(path, f"it has more than {MAX_SIZE:,} bytes")
        return read(content.decode(), path)
    except OSError as error:
        if path == DEFAULT_PATH and isinstance(error, FileNotFoundError):
            return Reading(path, Policy(), [], [])
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
    compilers = {
        "market": reader.market,
        "typed": reader.typed,
        "message": reader.message,
        "hyperliquid": reader.hyperliquid,
    }
    compiled: _Compiled = {kind: {} for kind in compilers}
    for section in sections:
        if section.kind in compilers:
            compiled[section.kind][section.name] = compilers[section.kind](section)
    rules = [reader.rule(section, compiled) for section in sections if section.kind == "rule"]
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
    word: str
    operator: str
    value: str

    @property
    def words(self) -> list[str]:
        return self.value.split()


class _Section(NamedTuple):
    line: int
    kind: str
    name: str
    settings: dict[str, _Setting]  # by the word, and the operator if that is not "="

    def conditions(self, *left_out: str) -> list[Condition]:
        return [
            Condition(setting.word, setting.operator, setting.value)
            for name, setting in self.settings.items()
            if name not in left_out
        ]


class _Invalid(Exception):
    """A word is not what its setting takes. The text is the reason."""


class _Reader:
    """Collects what is wrong while the file is read to its end."""

    def __init__(self) -> None:
        self.errors: list[Complaint] = []
        self.warnings: list[Complaint] = []

    def error(self, line: int, reason: str) -> None:
        self.errors.append(Complaint(line, _HALF_OF_A_KEY.sub("(a long word)", reason)))

    def sections(self, text: str) -> Iterator[_Section]:
        section: _Section | None = None
        seen: set[tuple[str, str]] = set()
        for number, line in enumerate((line.strip(_BLANKS) for line in text.split("\n")), 1):
            if NOT_PLAIN(line):
                self.error(number, "this line has a control character, or one that changes the direction of the text")
                continue
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
                continue
            word, operator, value = match.groups()
            name = word if operator == "=" else f"{word} {operator}"
            if section is None:
                self.error(number, "a setting must be in a section, such as [rule NAME]")
            elif name in section.settings:
                self.error(number, f"{_quoted(name)} is set twice in this section")
            else:
                section.settings[name] = _Setting(number, word, operator, value)
        if section is not None:
            yield section

    def _section(self, number: int, line: str) -> _Section:
        match = _SECTION.fullmatch(line)
        if match is None:
            self.error(
                number, f"a section is {listed(_HEADERS)}, with at most 64 letters, digits and . _ / - in the name"
            )
        elif _PRIVATE_KEY.fullmatch(match[2]):
            self.error(number, "a name must not look like a private key")
        elif match[1] in HAVE_ANY and match[2] == "any":
            self.error(number, f"any stands for every {match[1]}, so none can have this name")
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

    def typed(self, section: _Section) -> TypedLimits | None:
        setting = section.settings.get("type")
        if setting is None:
            self.error(section.line, "a section of typed data needs type")
            return None
        return self._compiled(section, lambda: TypedLimits(setting.value, section.conditions("type")))

    def message(self, section: _Section) -> MessageLimits | None:
        self._no_others(section)
        pattern, hashes = (section.settings.get(name) for name in SETTINGS["message"])
        return self._compiled(
            section,
            lambda: MessageLimits(pattern=pattern and pattern.value, hashes=hashes.value if hashes else "no"),
        )

    def hyperliquid(self, section: _Section) -> HyperliquidLimits | None:
        values = {name: setting.value for name, setting in section.settings.items()}
        return self._compiled(section, lambda: HyperliquidLimits(values))

    def _compiled(self, section: _Section, compile: Callable[[], T]) -> T | None:
        """What `compile` returns, or None and its errors, each with the line of its setting."""
        try:
            return compile()
        except SettingsError as error:
            for name, reason in error.problems:
                known = section.settings.get(name)
                self.error(known.line if known else section.line, f"{_quoted(name)}: {reason}")
            return None

    def rule(self, section: _Section, sections: _Compiled) -> Rule:
        """A rule with an error is not used."""
        settings = section.settings
        if "users" not in settings and "groups" not in settings:
            self.error(section.line, "a rule needs users or groups")
        if "key" not in settings:
            self.error(section.line, "a rule needs key")
        keys = ["0x" + key.hex() for key in self._all(section, "key", _address)]
        users = self._all(
            section, "users", self._named(section, "users", "user", lambda name: pwd.getpwnam(name).pw_uid)
        )
        groups = self._all(
            section, "groups", self._named(section, "groups", "group", lambda name: grp.getgrnam(name).gr_gid)
        )
        rate = self._one(section, "rate", _rate)
        judges: dict[str, Sequence[Judge]] = {}
        if "markets" in settings:
            if "accounts" not in settings:
                self.error(settings["markets"].line, "markets needs accounts")
            judges["spot"] = judges["futures"] = [self._order_limits(section, sections)]
        else:
            for name in ORDER_SETTINGS:
                if name in settings:
                    self.error(settings[name].line, f"{name} needs markets")
        for name, (kind, payload) in LISTS.items():
            if name == "typed" and self._is_any(section, name):
                judges[payload] = [AnyTypedData()]
            elif name in settings:
                chosen = self._all(section, name, _section_of(sections, kind))
                judges[payload] = [judge for judge in chosen if judge is not None]
        if not judges:
            self.error(section.line, f"a rule needs at least one of markets, {', '.join(LISTS)}")
        self._no_others(section)
        return Rule(
            section.name,
            line=section.line,
            keys=keys,
            users=list(filter(None, users)),
            groups=list(filter(None, groups)),
            judges=judges,
            rate=rate,
        )

    def _order_limits(self, section: _Section, sections: _Compiled) -> OrderLimits:
        accounts = None if self._is_any(section, "accounts") else self._all(section, "accounts", _address)
        chosen = (
            None if self._is_any(section, "markets") else self._all(section, "markets", _section_of(sections, "market"))
        )
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
                value = read([one])
                if one in setting.words[: number - 1] or (value is not None and value in values):
                    raise _Invalid("it is there twice")
                values.append(value)
            except _Invalid as error:
                place = f", word {number}" if len(setting.words) > 1 else ""
                self.error(setting.line, f"{word}{place}: {error}")
        return values

    def _no_others(self, section: _Section) -> None:
        known = SETTINGS[section.kind]
        for name in section.settings.keys() - set(known):
            line = section.settings[name].line
            self.error(line, f"a {section.kind} has no setting {_quoted(name)}: {', '.join(known)}")


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
    if not AMOUNT.fullmatch(words[0]):
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


def _section_of(sections: _Compiled, kind: str) -> Callable[[list[str]], Any]:
    def read(words: list[str]) -> Any:
        if words[0] not in sections[kind]:
            raise _Invalid(f"there is no section [{kind} {_quoted(words[0])}]")
        return sections[kind][words[0]]

    return read


def _quoted(word: str) -> str:
    """`word`, unless it may be a key or a part of one."""
    if len(word) <= MAX_QUOTED and word.isprintable() and not _HALF_OF_A_KEY.search(word):
        return word
    return "(a long word)"
