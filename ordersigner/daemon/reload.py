"""The two ends of a reload: `ordersignerd --reload`, which systemd runs, and the daemon, which loads the policy.

The command checks the policy file, sends the daemon SIGHUP, and waits until the new policy is active: then the daemon
answers with SIGURG. A process that does not expect SIGURG ignores it, so the daemon may answer any sender. This way
`systemctl reload` fails if nothing was reloaded, and returns only when the policy is active in this process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading

from ordersigner.policy import reader
from ordersigner.policy.rules import Policy
from ordersigner.signing.conversation import Service

ANSWER = signal.SIGURG
TIMEOUT = 20.0  # seconds to wait for the daemon; it answers within milliseconds, unless its journal hangs
UNKNOWN = -1  # for a generation that the state could not tell: it equals no other, so the file is read again before use


def request(path: str, *, keeps_state: bool) -> int:
    """Check the policy at `path` and have the daemon reload it. Returns the exit status: 0, or 1 with the reasons."""
    reading = reader.read_file(path, keeps_state=keeps_state)
    for line in reading.lines([*reading.errors, *reading.warnings]):
        print(line, file=sys.stderr)
    if reading.errors:
        return 1
    daemon = os.environ.get("MAINPID", "")
    if not daemon.isdecimal() or int(daemon) < 2:
        print(
            "ordersignerd: --reload is for systemd, which sets MAINPID: systemctl reload ordersigner.service",
            file=sys.stderr,
        )
        return 1
    signal.pthread_sigmask(signal.SIG_BLOCK, {ANSWER})
    try:
        os.kill(int(daemon), signal.SIGHUP)
    except OSError as error:
        print(f"ordersignerd: process {daemon} cannot be signalled: {error.strerror}", file=sys.stderr)
        return 1
    if signal.sigtimedwait({ANSWER}, TIMEOUT) is None:
        print("ordersignerd: the daemon did not load the policy; its journal says why", file=sys.stderr)
        return 1
    return 0


class PolicyFile:
    """The policy file of a process, and which of its readings is active. Safe for use by many threads.

    All processes of the daemon share the number of a policy, its generation, which each reload raises. A process that
    sees a higher one than it knows reads the file before it decides. So when a reload has been answered, no process
    decides by an earlier policy, not even one that was stopped all the time; only if the file has got an error since.
    """

    def __init__(self, service: Service, path: str | None, *, keeps_state: bool) -> None:
        """keeps_state: whether the policy may have totals."""
        self._service = service
        self.path = path
        self._keeps_state = keeps_state
        self._lock = threading.Lock()
        self._begun = 0  # readings of the file
        self._in_force = 0  # the number of the active one

    def take(self) -> bool:
        """Load the policy of the file. Returns False if it has an error, and then the earlier one stays active, or if a
        later reading is active by now, because this one took too long.
        """
        return self._take(self._seen())

    def reload(self) -> bool:
        """The same, and then have all other processes do so before they decide."""
        seen = self._seen()
        if not self._take(seen):
            return False
        try:
            raised = self._service.ledger.raise_generation()
        except OSError as error:
            self._service.journal.failed("Other processes cannot be told of the new policy", error)
            return False
        with self._lock:
            if seen is not None and raised == seen + 1 and self._service.generation == seen:
                # Nobody else has reloaded, so this process need not read the file once more.
                self._service.generation = raised
        return True

    def follow(self) -> bool:
        """If another process has reloaded, load the policy of the file. Returns whether one has.

        If the generation cannot be read, rules cannot be entered either, so nothing is decided by an earlier policy.
        """
        seen = self._seen()
        is_newer = seen is not None and seen != self._service.generation and self.path is not None
        if is_newer:
            self._take(seen)
        return is_newer

    def _seen(self) -> int | None:
        """The generation now, None if the state cannot tell."""
        try:
            return self._service.ledger.generation
        except OSError:
            return None

    def _take(self, generation: int | None) -> bool:
        """generation: what it was before the file is read."""
        service, path = self._service, self.path
        with self._lock:
            self._begun = number = self._begun + 1
        policy: Policy | None = Policy()
        if path is not None:
            reading = reader.read_file(path, keeps_state=self._keeps_state)
            for line in reading.lines(reading.warnings):
                service.journal.say("warning", line)
            if reading.errors:
                service.journal.say("err", "The policy is not used: " + "; ".join(reading.lines(reading.errors)))
            policy = None if reading.errors else reading.policy
        with self._lock:
            if number < self._in_force:
                return False
            if policy is not None:
                self._in_force = number
                service.replace_policy(policy)
            service.generation = None if path is None else UNKNOWN if generation is None else generation
        self._say_what_is_in_force()
        return policy is not None

    def _say_what_is_in_force(self) -> None:
        service = self._service
        in_force, held = service.policy, service.keyring.keys.keys()
        if self.path is not None or held:
            _, wanted = service.keyring.count(in_force.keys)
            missing = sorted(in_force.keys - held)
            service.journal.in_force(sorted(held), wanted, missing, len(in_force.rules), self.path)
        for name in sorted(service.frozen - {rule.name for rule in in_force.rules}):
            service.journal.say("warning", f"Rule {name} is frozen, and the policy has no rule of this name")


def answer(sender: int) -> None:
    """Tell the process that asked for a reload that the new policy is active."""
    if sender > 1:
        with contextlib.suppress(OSError):  # it is gone, or another user's
            os.kill(sender, ANSWER)
