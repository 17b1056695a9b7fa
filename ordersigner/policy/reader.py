"""Reads the policy file: text to a Policy, or to everything that is wrong with it.

In: the text, or the path, of a policy. Out: a Reading. It raises nothing: all mistakes are in the Reading at once, each
with its line. Where an address is wanted, a wrong word is never repeated, and no long word is: it may be a private key.

    policy  = { blank | ("#" | ";") text | section | setting }     one a line; leading and trailing blanks do not count
    section = "[" KIND " " NAME "]"     KIND: a key of SETTINGS; NAME: letters, digits, . _ / -, up to 64; each once
    setting = PATH OPERATOR VALUE       PATH: a word or, in some kinds of sections, the term of a condition; OPERATOR:
                                        the first one on the line; each once in a section

split() cuts the text into sections. Each kind of limits compiles its own sections. Then each rule asks the kinds of
limits that it mentions for its judges.

Control characters, and others that are not shown, are an error even in comments: many editors end a line at some of
them, and show the rest of a comment as a setting. Messages with such a character are not allowed either.

Not configparser: that takes an indented line as more of the value above and copies [DEFAULT] into every section, and
its values have no line numbers. Not TOML: values have no line numbers there either, and nan is a number.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any, Dict, Mapping, NamedTuple, Sequence

from ordersigner.payloads.messages import NOT_PLAIN
from ordersigner.policy import accounts
from ordersigner.policy.accounts import Accounts, Named
from ordersigner.policy.conditions import OPERATORS
from ordersigner.policy.kinds import KINDS
from ordersigner.policy.limits import Limits
from ordersigner.policy.rules import Judge, Policy, Rule
from ordersigner.policy.settings import (
    BLANKS,
    PRIVATE_KEY,
    Complaint,
    Section,
    Setting,
    WrongSection,
    address,
    did_you_mean,
    quoted,
    rate,
)
from ordersigner.text import UTF_16, is_utf_16, listed, without_mark

DEFAULT_PATH = "/etc/ordersigner/policy"
MAX_SIZE = 1024 * 1024  # bytes
MAX_TOTALS = 256  # totals and rates of all rules, for which a daemon's state has room
# A user or group of a similar name is looked for among so many, and is closer than other similar words.
MAX_NAMES, CLOSE = 1000, 0.8
MAX_GRANTS = 190  # keys that the rules name, counted for each rule; the answer to a client that asks has room for these

LIMITS = tuple(dict.fromkeys(kind.limits for kind in KINDS.values()))
# The settings that each kind of section has, but for the paths of "typed", which the types say.
SETTINGS: dict[str, tuple[str, ...]] = {
    **{limits.kind: limits.settings for limits in LIMITS},
    "rule": (
        *("key", "users", "groups", "rate"),
        *(name for limits in LIMITS for name in (limits.listed_by, *limits.rule_settings)),
    ),
}

_HAVE_ANY = {limits.kind for limits in LIMITS if limits.has_any}
_HEADERS = [f"[{kind} NAME]" for kind in SETTINGS]
_HEADER = re.compile(rf"\[({'|'.join(SETTINGS)}) ([A-Za-z0-9._/-]{{1,64}})\]")
_KINDS = {limits.kind: limits for limits in LIMITS}
_NEITHER = (
    "this is neither a section, such as [rule NAME], nor a setting, such as NAME = VALUE, nor a condition with "
    f"one of the operators {' '.join(OPERATORS)}"
)

_Compiled = Dict[str, Dict[str, Any]]  # sections by kind and name; None for one that is wrong


class Reading(NamedTuple):
    """What a policy file says. With errors, none of it is used.

    warnings: of users and groups that do not exist. One that was deleted must not stop the others.
    """

    path: str
    policy: Policy
    errors: Sequence[Complaint]
    warnings: Sequence[Complaint]

    def lines(self, complaints: Sequence[Complaint]) -> list[str]:
        """FILE:LINE: reason, for each."""
        return [f"{self.path}:{line}: {reason}" if line else f"{self.path}: {reason}" for line, reason in complaints]


def read_file(path: str, *, keeps_state: bool = True) -> Reading:
    """The policy at `path`. No file at DEFAULT_PATH is a policy without rules. keeps_state: as in read()."""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_SIZE + 1)
        if len(content) > MAX_SIZE:
            return _unreadable(path, f"it has more than {MAX_SIZE:,} bytes")
        if is_utf_16(content):
            return _unreadable(path, UTF_16)
        return read(without_mark(content).decode(), path, keeps_state=keeps_state)
    except OSError as error:
        if path == DEFAULT_PATH and isinstance(error, FileNotFoundError):
            return Reading(path, Policy(), [], [])
        if error.filename in accounts.FILES:
            return _unreadable(path, f"{error.filename} cannot be read, so no user has a name: {error.strerror}")
        hint = f": chgrp ordersigner-policy {path}" if isinstance(error, PermissionError) else ""
        return _unreadable(path, f"it cannot be read: {error.strerror}{hint}")
    except UnicodeDecodeError as error:
        return _unreadable(path, "this line is not UTF-8", line=content.count(b"\n", 0, error.start) + 1)


def _unreadable(path: str, reason: str, line: int = 0) -> Reading:
    return Reading(path, Policy(), [Complaint(line, reason)], [])


def read(text: str, path: str, *, keeps_state: bool = True) -> Reading:
    """The policy in `text`. path: for complaints only. Raises OSError as accounts.read() does.

    keeps_state: whether the daemon has a place for what it counts, without which a total would begin at 0 with each
    start.
    """
    known = accounts.read()
    sections, errors = split(text)
    compiled: _Compiled = {
        limits.kind: {section.name: _compile(limits, section) for section in sections if section.kind == limits.kind}
        for limits in LIMITS
    }
    rules = [_rule(section, compiled, known) for section in sections if section.kind == "rule"]
    reason = f"the rules name more than {MAX_GRANTS} keys, counted for each rule"
    errors += _beyond(MAX_GRANTS, [(rule.line, len(rule.keys)) for rule in rules], reason)
    reason = f"the rules have more than {MAX_TOTALS} totals and rates; the totals of a section count for each rule"
    counts = [(rule.line, len(rule.totals) + (rule.rate is not None)) for rule in rules]
    errors += _beyond(MAX_TOTALS, counts, reason)
    _check_names(sections)
    if not keeps_state:
        _refuse_totals(sections)
    errors += (error for section in sections for error in section.errors)
    warnings = sorted(warning for section in sections for warning in section.warnings)
    return Reading(path, Policy() if errors else Policy(rules, known.state), sorted(errors), warnings)


# From lines to sections.
def split(text: str) -> tuple[list[Section], list[Complaint]]:
    """The sections of a policy, whose settings nobody has read yet, and the lines that are not a part of one."""
    sections: list[Section] = []
    errors: list[Complaint] = []
    for number, line in enumerate(text.split("\n"), 1):
        try:
            _add(line.strip(BLANKS), number, sections)
        except ValueError as error:
            errors.append(Complaint(number, str(error)))
    return sections, errors


def _add(line: str, number: int, sections: list[Section]) -> None:
    """Add the content of a line to the sections. Raises ValueError, with the reason."""
    if NOT_PLAIN(line):
        raise ValueError("this line has a character that is not shown, or that changes the direction of the text")
    if not line or line[0] in "#;":
        return
    if line[0] == "[":
        sections.append(_section(line, number))
        return
    setting = Setting.of(line, number)
    if setting is None:
        raise ValueError(_NEITHER)
    if not sections:
        raise ValueError("a setting must be in a section, such as [rule NAME]")
    section = sections[-1]
    limits = _KINDS.get(section.kind)
    if limits and limits.has_conditions and setting.name not in limits.settings:
        section.conditions.append(setting)
    elif setting.name in section.settings:
        raise ValueError(f"{quoted(setting.name)} is set twice in this section")
    else:
        section.settings[setting.name] = setting


def _section(line: str, number: int) -> Section:
    """An empty section. If its header is wrong, it is of no kind, and its settings are not read."""
    match = _HEADER.fullmatch(line)
    kind, name = match.groups() if match else ("", "")
    if not match:
        hint = did_you_mean(line[1:].partition(" ")[0], SETTINGS)
        reason = f"a section is {listed(_HEADERS)}, with at most 64 letters, digits and . _ / - in the name{hint}"
    elif PRIVATE_KEY.fullmatch(name):
        reason = "a name must not look like a private key"
    elif name == "any" and kind in _HAVE_ANY:
        reason = f"any stands for every {kind}, so none can have this name"
    else:
        return Section(number, kind, name)
    nameless = Section(number, "", "")
    nameless.wrong(reason)
    return nameless


def _beyond(most: int, counts: Sequence[tuple[int, int]], reason: str) -> list[Complaint]:
    """A complaint about the first line at which there is more than `most`. counts: lines, and what they add."""
    so_far = 0
    for line, number in counts:
        so_far += number
        if so_far > most:
            return [Complaint(line, reason)]
    return []


def _refuse_totals(sections: Sequence[Section]) -> None:
    for section in sections:
        for setting in (*section.settings.values(), *section.conditions):
            if section.kind and setting.is_total:
                reason = f"{quoted(setting.path)} needs a place for state: start the daemon with --state DIR"
                section.wrong_at(setting.line, reason)


def _check_names(sections: Sequence[Section]) -> None:
    """Each name may be there once for each kind of section."""
    seen: set[tuple[str, str]] = set()
    for section in sections:
        if section.kind and (section.kind, section.name) in seen:
            section.wrong(f"there is another {section.kind} of this name")
        seen.add((section.kind, section.name))


# From sections to rules.
def _compile(limits: type[Limits], section: Section) -> Any:
    """A section as the judges need it; None for one that is wrong and has reported why."""
    with suppress(WrongSection):
        return limits.compile(section)
    return None


def _rule(section: Section, compiled: _Compiled, known: Accounts) -> Rule:
    """The rule of a [rule NAME] section. One with an error allows nothing."""
    settings = section.settings
    section.no_others(SETTINGS["rule"])
    if "users" not in settings and "groups" not in settings:
        section.wrong("a rule needs users or groups, such as users = NAME")
    if "key" not in settings:
        section.wrong("a rule needs key, such as key = ADDRESS")
    keys = ["0x" + key.hex() for key in section.all("key", address)]
    users = _named(section, "users", "user", known.users)
    groups = _named(section, "groups", "group", known.groups)
    judges: dict[str, Sequence[Judge]] = {}
    for limits in LIMITS:
        if limits.listed_by in settings:
            with suppress(WrongSection):
                own = limits.judges(section, compiled[limits.kind])
                judges.update({type: own for type, kind in KINDS.items() if kind.limits is limits})
        else:
            for name in limits.rule_settings:
                if name in settings:
                    section.wrong(f"{name} needs {limits.listed_by}", name)
    lists = [limits.listed_by for limits in LIMITS]
    if not settings.keys() & lists:
        section.wrong(f"a rule needs at least one of {', '.join(lists)}")
    return Rule(
        section.name,
        line=section.line,
        keys=keys,
        users=users,
        groups=groups,
        judges=judges,
        rate=section.one("rate", rate),
    )


def _named(section: Section, setting: str, kind: str, numbers: Mapping[str, int]) -> list[Named]:
    """The users or groups of a setting. One that does not exist has no number, and a warning."""

    def read(name: str) -> Named:
        if name.isascii() and name.isdecimal():
            if len(name) > 10 or int(name) >= 2**32 - 1:  # that number means "no user"
                raise ValueError(f"this is not the number of a {kind}: they are below 4294967295")
            return Named(str(int(name)), int(name))
        if name not in numbers:
            few = numbers if len(numbers) <= MAX_NAMES else ()
            section.warn(f"there is no {kind} {quoted(name)}{did_you_mean(name, few, CLOSE)}", setting)
        return Named(name, numbers.get(name))

    return section.all(setting, read)
