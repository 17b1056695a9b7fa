"""`ordersignerd --check`: the policy in words, with what it does not limit.

In: a Reading, the held keys if they are known, and what journald drops. Out: lines for people, and everything that is
wrong.
"""

from __future__ import annotations

import sys
from typing import Sequence

from ordersigner.policy.reader import Reading
from ordersigner.policy.rules import Rule
from ordersigner.signing.keyring import Keyring


def check(reading: Reading, keyring: Keyring | None, losses: Sequence[str]) -> int:
    """Print what the policy means, and what is wrong. Returns the exit status: 0, or 1 if anything is wrong.

    keyring: None if the keys are not known. losses: of entries, a sentence for each. A user or group that does not
    exist is wrong here, and so is a key that a rule names and no file holds. The daemon itself works without them.
    """
    problems = reading.lines([*reading.errors, *reading.warnings])
    if keyring is not None:
        problems += [f"key {label}: {reason}" for label, reason in keyring.refused.items()]
        problems += [
            f"key {address}: no file holds it" for address in sorted(reading.policy.keys - keyring.keys.keys())
        ]
        for address in keyring.keys:
            print(f"Key {address} is available.")
    if not reading.errors and not reading.policy.rules:
        print(f"{reading.path} has no rules: nobody may use a key that the daemon holds.")
    for rule in reading.policy.rules:
        print("\n".join(_words(rule)))
    problems += losses
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def _words(rule: Rule) -> list[str]:
    users = [f"user {user}" for user in rule.users if user.number is not None]
    users += [f"members of group {group}" for group in rule.groups if group.number is not None]
    lines = [
        f"Rule {rule.name}, line {rule.line}:",
        f"  lets            {', '.join(users) or 'nobody, since no user or group of it exists,'}",
        f"  use the key     {', '.join(rule.keys)}",
    ]
    open_ends: list[str] = []
    for judge in dict.fromkeys(judge for judges in rule.judges.values() for judge in judges):
        what, *limits = judge.permits()
        lines += [f"  to sign         {what}", *(f"                  {words}" for words in limits)]
        open_ends += judge.leaves_open()
    if rule.rate is None:
        open_ends.append("how many signatures")
    else:
        lines.append(f"  in each process at most {rule.rate.number} times in {rule.rate.seconds} seconds")
    return [*lines, *(f"  does not limit  {words}" for words in open_ends)]
