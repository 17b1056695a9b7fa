"""`ordersignerd --check`: the policy in words, for each rule, what it may sign next to what it does not limit.

In: a Reading, the held keys if they are known, which rules are frozen, and what journald drops. Out: a page for people,
80 columns wide unless a single word is longer, and everything that is wrong.
"""

from __future__ import annotations

import os
import re
import sys
import textwrap
from time import gmtime, strftime
from typing import Iterator, Mapping, NamedTuple, Sequence

from ordersigner.policy.reader import Reading
from ordersigner.policy.rules import Judge, Rule
from ordersigner.signing.keyring import Keyring
from ordersigner.state import state_file
from ordersigner.state.memory import Frozen
from ordersigner.text import counted

WIDTH = 120  # columns, at most
LEFT, RIGHT = 44, 32  # columns of the two sides. An address, with its indent, fits the left one.

_NOBODY = "nobody: none of its users and groups exists"
_STRUCT = re.compile(r"([^\s(),]+)\(([^()]*)\)")  # of typed data
_JOINED = "\xa0"  # a blank where a line must not end
_MAY_END = "\u200b "  # where a line may end and there is no blank


def check(reading: Reading, keyring: Keyring | None, losses: Sequence[str], state: str) -> int:
    """Print what the policy means, and what is wrong. Returns the exit status: 0, or 1 if anything is wrong.

    keyring: None if the keys are not known. losses: of entries, a sentence for each. state: the directory that may have
    it; which rules are frozen changes no status. A user or group that does not exist is wrong here, and so is a key
    that a rule names and no file holds. The daemon itself works without them.
    """
    frozen: Mapping[str, Frozen] = {}
    unknown = ""
    try:
        frozen = state_file.read_frozen(state)
    except OSError as error:
        unknown = f" Which of them are frozen cannot be read: {state}: {error.strerror or error}"
    rules = reading.policy.rules
    problems = reading.lines([*reading.errors, *reading.warnings])
    if keyring is not None:
        problems += [f"key {label}: {reason}" for label, reason in keyring.refused.items()]
        problems += [
            f"key {address}: no file holds it" for address in sorted(reading.policy.keys - keyring.keys.keys())
        ]
        for address in keyring.keys:
            print(f"Key {address} is available.")
    problems += losses
    page = _Page()
    for rule in rules:
        print("\n".join(page.of(rule, frozen.get(rule.name))), end="\n\n")
    for problem in problems:
        print(problem, file=sys.stderr)
    if not reading.errors:
        for name in sorted(frozen.keys() - {rule.name for rule in rules}):
            print(f"warning: the rule {name} is frozen, but the policy has no such rule", file=sys.stderr)
    sys.stderr.flush()
    print(_summary(reading, len(problems), sum(rule.name in frozen for rule in rules)) + (unknown if rules else ""))
    return 1 if problems else 0


def _summary(reading: Reading, problems: int, frozen: int) -> str:
    """The last line of the page."""
    rules = reading.policy.rules
    if reading.errors:
        return f"{reading.path}: {counted(problems, 'problem')}. The daemon does not use a policy with an error."
    if not rules:
        what = f"{reading.path} has no rules" if os.path.exists(reading.path) else f"There is no file {reading.path}"
        return f"{what}: nobody may use a key that the daemon holds."
    of_them = f", {frozen} of them frozen" if frozen else ""
    wrong = f"{counted(problems, 'problem')}, see above." if problems else "No problems were found."
    keys = counted(len(reading.policy.keys), "key")
    return f"{reading.path}: {counted(len(rules), 'rule')}{of_them}, {keys}. {wrong}"


class _Part(NamedTuple):
    """A part of a rule: what a section of the policy permits, and what it does not limit."""

    title: str
    permits: Sequence[str]
    leaves_open: Sequence[str]


class _Page:
    """The words for rules, one after the other."""

    def __init__(self) -> None:
        self._structs: dict[str, tuple[str, str]] = {}  # of typed data, by name: the fields, and where they were shown

    def of(self, rule: Rule, frozen: Frozen | None) -> Iterator[str]:
        """The lines for a rule. frozen: since when and by whom, if it is."""
        since = "" if frozen is None else f", frozen since {_utc(frozen.since)} by uid {frozen.uid}"
        yield f"Rule {rule.name}, line {rule.line}{since}:"
        users = [f"user {user}" for user in rule.users if user.number is not None]
        users += [f"members of group {group}" for group in rule.groups if group.number is not None]
        yield from _wrapped(f"  lets {', '.join(users) or _NOBODY}", LEFT + RIGHT + 4, WIDTH)
        yield from (f"  {'use' if number == 0 else 'or '} the key {key}" for number, key in enumerate(rule.keys))
        parts = [
            _Part(judge.title, self._permits(judge, kind), judge.leaves_open()) for judge, kind in _judges(rule).items()
        ]
        if rule.rate is None:
            parts.append(_Part("", ["any number of signatures"], ["how many signatures"]))
        else:
            number, seconds = rule.rate
            parts.append(_Part("", [f"at most {counted(number, 'signature')} in any {counted(seconds, 'second')}"], []))
        yield from _columns(parts)

    def _permits(self, judge: Judge, kind: str) -> list[str]:
        """What a judge permits. A struct of typed data is shown only once on a page."""
        what, *limits = judge.permits()
        if kind == "typed_data":
            what = _STRUCT.sub(lambda struct: self._struct(struct[1], struct[2], judge.title), what)
        return [what, *limits]

    def _struct(self, name: str, fields: str, title: str) -> str:
        shown, where = self._structs.get(name, ("", ""))
        if shown == fields and where != title:
            return f"{name}(… as in {where})"
        self._structs[name] = fields, title
        return f"{name}({_MAY_END}{fields.replace(' ', _JOINED).replace(',', ', ')}){_MAY_END}"


def _judges(rule: Rule) -> dict[Judge, str]:
    """All that judge for a rule, each with a type of payload that it judges."""
    kinds: dict[Judge, str] = {}
    for kind, judges in rule.judges.items():
        for judge in judges:
            kinds.setdefault(judge, kind)
    return kinds


def _columns(parts: Sequence[_Part]) -> Iterator[str]:
    """The parts of a rule below each other, each with its two sides next to each other. A line of the left side that is
    longer than the column has a row of its own.
    """
    yield ""
    yield f"  {'may sign':{LEFT}}  does not limit"
    for part in parts:
        yield f"  {'-' * LEFT}  {'-' * RIGHT}"
        if part.title:
            yield f"  {part.title}"
        right = (line for text in part.leaves_open for line in _wrapped(text, RIGHT, WIDTH - LEFT - 4))
        for line in (line for text in part.permits for line in _wrapped(text, LEFT, WIDTH - 2)):
            beside = next(right, "") if len(line) <= LEFT else ""
            yield f"  {line:{LEFT}}  {beside}".rstrip()
        yield from (f"{'':{LEFT}}    {line}" for line in right)


def _wrapped(text: str, width: int, most: int) -> list[str]:
    """A text in lines of `width` columns. Longer words get a line of up to `most` columns, and are cut there."""
    text = re.sub(rf"[^ ]{{{most - 2}}}(?=[^ ])", r"\g<0> ", text)
    lines = textwrap.wrap(text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    return [line.replace(_JOINED, " ").replace(_MAY_END, "").replace(_MAY_END[0], "") for line in lines]


def _utc(seconds: float) -> str:
    return strftime("%Y-%m-%d %H:%M:%S UTC", gmtime(seconds))
