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
from contextlib import suppress
from typing import Any, Callable, Dict, NamedTuple, Sequence

from ordersigner.payloads.messages import NOT_PLAIN
from ordersigner.policy import hyperliquid_limits, message_limits, order_limits
from ordersigner.policy.hyperliquid_limits import HyperliquidLimits
from ordersigner.policy.message_limits import MessageLimits
from ordersigner.policy.order_limits import Market, OrderLimits
from ordersigner.policy.rules import Judge, Named, Policy, Rule
from ordersigner.policy.settings import (
    PRIVATE_KEY,
    Complaint,
    Section,
    Setting,
    WrongSection,
    address,
    listed,
    quoted,
    rate,
    section_of,
)
from ordersigner.policy.typed_limits import AnyTypedData, TypedLimits

DEFAULT_PATH = "/etc/ordersigner/policy"
MAX_SIZE = 1024 * 1024  # bytes
MAX_GRANTS = 190  # keys that the rules name, counted for each rule; the answer to a client that asks has room for these

# The settings that each kind of section has; those of "typed" are paths, which the types say.
SETTINGS: dict[str, tuple[str, ...]] = {
    "market": order_limits.MARKET_SETTINGS,
    "typed": ("type",),
    "message": message_limits.SETTINGS,
    "hyperliquid": hyperliquid_limits.SETTINGS,
    "rule": (
        *("key", "users", "groups", "rate"),
        *("markets", *order_limits.SETTINGS),
        *("typed", "messages", "hyperliquid"),
    ),
}
# The settings of a rule that list sections: the kind of these sections, and the type of request that they are about.
LISTS = {
    "typed": ("typed", "typed_data"),
    "messages": ("message", "message"),
    "hyperliquid": ("hyperliquid", "hyperliquid"),
}
# What a section is compiled to; raises WrongSection.
COMPILERS: dict[str, Callable[[Section], Any]] = {
    "market": Market.read,
    "typed": TypedLimits,
    "message": MessageLimits,
    "hyperliquid": HyperliquidLimits,
}
HAVE_ANY = ("market", "typed")  # kinds of sections for which a rule may say "any"

_HEADERS = [f"[{kind} NAME]" for kind in SETTINGS]
_HEADER = re.compile(rf"\[({'|'.join(SETTINGS)}) ([A-Za-z0-9._/-]{{1,64}})\]")
_SETTING = re.compile(r"([A-Za-z][^\s=<>]*)[ \t]*(=|<=|>=|(?<=[ \t])within(?=[ \t]|$))[ \t]*(.*)")
_BLANKS = " \t\r"

_Compiled = Dict[str, Dict[str, Any]]  # sections by kind and name; None for one that is wrong


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
    sections, errors = split(text)
    compiled: _Compiled = {kind: {} for kind in COMPILERS}
    for section in sections:
        if section.kind in COMPILERS:
            compiled[section.kind][section.name] = None
            with suppress(WrongSection):
                compiled[section.kind][section.name] = COMPILERS[section.kind](section)
    rules = [_rule(section, compiled) for section in sections if section.kind == "rule"]
    granted = 0
    for rule in rules:
        granted += len(rule.keys)
        if granted > MAX_GRANTS:
            reason = f"the rules name more than {MAX_GRANTS} keys, counted for each rule"
            errors.append(Complaint(rule.line, reason))
            break
    _check_names(sections)
    errors += (error for section in sections for error in section.errors)
    warnings = sorted(warning for section in sections for warning in section.warnings)
    return Reading(path, Policy() if errors else Policy(rules), sorted(errors), warnings)


# From lines to sections.
def split(text: str) -> tuple[list[Section], list[Complaint]]:
    """The sections of a policy, whose settings nobody has read yet, and the lines that are not a part of one."""
    sections: list[Section] = []
    errors: list[Complaint] = []
    for number, line in enumerate(text.split("\n"), 1):
        try:
            _add(line.strip(_BLANKS), number, sections)
        except ValueError as error:
            errors.append(Complaint(number, str(error)))
    return sections, errors


def _add(line: str, number: int, sections: list[Section]) -> None:
    """Add to the sections what a line says. Raises ValueError, with the reason."""
    if NOT_PLAIN(line):
        raise ValueError("this line has a control character, or one that changes the direction of the text")
    if not line or line[0] in "#;":
        return
    if line[0] == "[":
        sections.append(_section(line, number))
        return
    match = _SETTING.fullmatch(line)
    if match is None:
        raise ValueError("this is neither a section, such as [rule NAME], nor a setting, such as NAME = VALUE")
    if not sections:
        raise ValueError("a setting must be in a section, such as [rule NAME]")
    setting = Setting(number, *match.groups())
    settings = sections[-1].settings
    if setting.name in settings:
        raise ValueError(f"{quoted(setting.name)} is set twice in this section")
    settings[setting.name] = setting


def _section(line: str, number: int) -> Section:
    """An empty section. If its header is wrong, it is of no kind, so nobody reads its settings."""
    nameless = Section(number, "", "")
    match = _HEADER.fullmatch(line)
    if match is None:
        nameless.wrong(f"a section is {listed(_HEADERS)}, with at most 64 letters, digits and . _ / - in the name")
        return nameless
    kind, name = match.groups()
    if PRIVATE_KEY.fullmatch(name):
        nameless.wrong("a name must not look like a private key")
        return nameless
    if kind in HAVE_ANY and name == "any":
        nameless.wrong(f"any stands for every {kind}, so none can have this name")
        return nameless
    return Section(number, kind, name)


def _check_names(sections: Sequence[Section]) -> None:
    """Each name may be there once for each kind of section."""
    seen: set[tuple[str, str]] = set()
    for section in sections:
        if section.kind and (section.kind, section.name) in seen:
            section.wrong(f"there is another {section.kind} of this name")
        seen.add((section.kind, section.name))


# From sections to rules.
def _rule(section: Section, compiled: _Compiled) -> Rule:
    """The rule of a [rule NAME] section. One with an error is never in force."""
    settings = section.settings
    section.no_others(SETTINGS["rule"])
    if "users" not in settings and "groups" not in settings:
        section.wrong("a rule needs users or groups")
    if "key" not in settings:
        section.wrong("a rule needs key")
    keys = ["0x" + key.hex() for key in section.all("key", address)]
    users = _named(section, "users", "user", lambda name: pwd.getpwnam(name).pw_uid)
    groups = _named(section, "groups", "group", lambda name: grp.getgrnam(name).gr_gid)
    judges: dict[str, Sequence[Judge]] = {}
    if "markets" in settings:
        with suppress(WrongSection):
            judges["spot"] = judges["futures"] = [OrderLimits(section, compiled["market"])]
    else:
        for name in order_limits.SETTINGS:
            if name in settings:
                section.wrong(f"{name} needs markets", name)
    for name, (kind, payload) in LISTS.items():
        if name == "typed" and section.is_any(name):
            judges[payload] = [AnyTypedData()]
        elif name in settings:
            chosen = section.all(name, section_of(kind, compiled[kind]))
            judges[payload] = [judge for judge in chosen if judge is not None]
    if "markets" not in settings and not judges:
        section.wrong(f"a rule needs at least one of markets, {', '.join(LISTS)}")
    return Rule(
        section.name,
        line=section.line,
        keys=keys,
        users=users,
        groups=groups,
        judges=judges,
        rate=section.one("rate", rate),
    )


def _named(section: Section, setting: str, kind: str, number_of: Callable[[str], int]) -> list[Named]:
    """The users or groups of a setting. One that does not exist is left out, with a warning."""

    def read(name: str) -> Named | None:
        if name.isascii() and name.isdecimal():
            if len(name) > 10 or int(name) >= 2**32 - 1:  # that number means "no user"
                raise ValueError(f"this is not the number of a {kind}")
            return Named(str(int(name)), int(name))
        try:
            return Named(name, number_of(name))
        except (KeyError, ValueError):
            section.warn(f"there is no {kind} {quoted(name)}", setting)
            return None

    return [named for named in section.all(setting, read) if named is not None]
