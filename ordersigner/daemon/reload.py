"""The two ends of a reload: `ordersignerd --reload`, which systemd runs, and the daemon, which puts a policy in force.

The command checks the policy file, sends the daemon SIGHUP, and waits until the new policy is in force: then the daemon
answers with SIGURG. A process that does not expect SIGURG ignores it, so the daemon may answer any sender. This way
`systemctl reload` fails if nothing was reloaded, and returns only when the policy is in force in this process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys

from ordersigner.policy import reader
from ordersigner.policy.rules import Policy
from ordersigner.signing.conversation import Service

ANSWER = signal.SIGURG
TIMEOUT = 20.0  # seconds to wait for the daemon; it answers within milliseconds, unless its journal hangs


def request(path: str) -> int:
    """Check the policy at `path` and have the daemon reload it. Returns the exit status: 0, or 1 with the reasons."""
    reading = reader.read_file(path)
    for line in reading.lines([*reading.errors, *reading.warnings]):
        print(line, file=sys.stderr)
    if reading.errors:
        return 1
    daemon = os.environ.get("MAINPID", "")
    if not daemon.isdecimal() or int(daemon) < 2:
        print("ordersignerd: MAINPID is not set: run systemctl reload ordersigner.service", file=sys.stderr)
        return 1
    signal.pthread_sigmask(signal.SIG_BLOCK, {ANSWER})
    try:
        os.kill(int(daemon), signal.SIGHUP)
    except OSError as error:
        print(f"ordersignerd: process {daemon} cannot be told: {error.strerror}", file=sys.stderr)
        return 1
    if signal.sigtimedwait({ANSWER}, TIMEOUT) is None:
        print("ordersignerd: the daemon did not take the policy: see its journal", file=sys.stderr)
        return 1
    return 0


def take_policy(service: Service, path: str | None) -> bool:
    """Put the policy at `path` in force. If it has an error, return False: the earlier one stays in force.

    It returns False, too, if a later reload has begun meanwhile, because this one took too long: the later one decides.
    """
    service.reloads = number = service.reloads + 1
    policy: Policy | None = Policy()
    if path is not None:
        reading = reader.read_file(path)
        for line in reading.lines(reading.warnings):
            service.journal.say("warning", line)
        if reading.errors:
            service.journal.say("err", "The policy is not used: " + "; ".join(reading.lines(reading.errors)))
        policy = None if reading.errors or number < service.reloads else reading.policy
    if policy is not None:
        service.replace_policy(policy)
    in_force, held = service.policy, service.keyring.keys.keys()
    if path is not None or held:
        _, wanted = service.keyring.count(in_force.keys)
        service.journal.in_force(sorted(held), wanted, sorted(in_force.keys - held), len(in_force.rules), path)
    return policy is not None


def answer(sender: int) -> None:
    """Tell the process that asked for a reload that the new policy is in force."""
    if sender > 1:
        with contextlib.suppress(OSError):  # it is gone, or another user's
            os.kill(sender, ANSWER)
