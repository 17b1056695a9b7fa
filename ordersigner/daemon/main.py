"""The daemon `ordersignerd`: wiring, from start to stop.

In: the command line, what systemd hands over, and signals. Out: the exit status. main() makes everything that a process
needs, and hands it to a Daemon, which serves until a signal stops it.
"""

from __future__ import annotations

import _thread
import argparse
import contextlib
import io
import os
import signal
import sys
import threading
import time
from typing import Callable, Sequence

from ordersigner import extras, keccak, process
from ordersigner.daemon import kept_state, reload
from ordersigner.daemon.arguments import parse, policy_path
from ordersigner.daemon.own_socket import BindingError, bound
from ordersigner.peer import Peer, of_this_process
from ordersigner.policy import reader
from ordersigner.serving.server import POLL, RESERVED_DESCRIPTORS, Limits, OrderServer
from ordersigner.serving.stop import FAREWELL, GRACE, REST_OF_LINE
from ordersigner.serving.work import TURN
from ordersigner.signing import keyring
from ordersigner.signing.conversation import Service
from ordersigner.signing.journal import Journal, open_journal
from ordersigner.signing.keyring import Keyring
from ordersigner.systemd import activation, handover, journald, losses
from ordersigner.systemd.activation import HandedOver
from ordersigner.systemd.notify import Notifier
from ordersigner.text import counted

STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
PACKAGED_NAMESPACE = "ordersigner"  # of the journal for held keys, in the package's unit
STATE_DIRECTORY = "/var/lib/ordersigner"  # of the package's unit
RELOAD_SECONDS = 5.0  # for a new policy; after that, the daemon looks at the next signal
# For the stop; after that, the process ends even if something hangs. drain() waits for GRACE + FAREWELL, and then for
# another GRACE; the worker gets GRACE to end.
STOP_SECONDS = GRACE + FAREWELL + 2 * GRACE + 1.0
HANDOVER_SECONDS = REST_OF_LINE + 2 * handover.PATIENCE  # more for a stop that leaves connections to another process


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status.

    0 after a stop signal; 1 without a socket or a directory of keys, if accepting failed, or if --check or --reload
    found a problem; 2 for wrong arguments. With --try, 1 if a request is refused, and 2 if a file cannot be used.
    """
    arguments = parse(argv)
    if keccak.LIBRARY is None:  # Python is too slow for clients that wait
        return extras.missing("ordersignerd", "daemon", ModuleNotFoundError(name="Crypto"))
    process.close_memory()
    if arguments.reload:
        return reload.request(
            arguments.policy or reader.DEFAULT_PATH, keeps_state=kept_state.directory(arguments) is not None
        )
    try:
        keys = held_keys(arguments)
    except OSError as error:
        print(f"ordersignerd: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1 if arguments.requests is None else 2
    if arguments.check:
        return check_policy(arguments, keys if arguments.keys else None)
    process.let_threads_end()
    journal = open_journal(arguments.log_level)
    directory = kept_state.directory(arguments)
    limits = within_descriptors(
        Limits(arguments.max_connections, arguments.max_connections_per_user, arguments.timeout), journal
    )
    with contextlib.ExitStack() as cleanup:
        try:
            handed_over = open_listener(arguments, cleanup)
        except (activation.ActivationError, BindingError) as error:
            print(f"ordersignerd: {error}", file=sys.stderr)
            return 1
        # From here on a stop signal waits for sigwait(). Before, it ends the process, which has nothing to lose yet:
        # connections that it was handed are still in systemd's store.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        path = policy_path(arguments)
        service = Service(
            journal,
            keys,
            ledger=kept_state.ledger(directory, journal),
            wire_keys=not arguments.no_wire_keys,
            may_read_status=lambda peer: may_read(peer, path),
        )
        for label, reason in keys.refused.items():
            journal.say("warning", f"Key {label} is not used: {reason}")
        say_where_entries_go(service)
        policy = reload.PolicyFile(service, path, keeps_state=directory is not None)
        policy.take()
        service.follow = policy.follow
        remove_socket = None if arguments.socket is None else cleanup.close
        return Daemon(handed_over, service, limits, policy, remove_socket=remove_socket).run()


def check_policy(arguments: argparse.Namespace, keyring: Keyring | None) -> int:
    """Print what the policy says, in words or to the requests of --try. Returns the exit status."""
    from ordersigner.daemon import check  # here, because a daemon that serves does not need it

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal may not have every character of a policy
    try:
        if arguments.requests is not None:
            return try_requests(arguments, keyring)
        reading = reader.read_file(arguments.policy or reader.DEFAULT_PATH)
        lost = losses.of_package(PACKAGED_NAMESPACE)
        status = check.check(reading, keyring, lost, arguments.state or STATE_DIRECTORY)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # nobody reads the rest, as with "| head"
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def try_requests(arguments: argparse.Namespace, keyring: Keyring | None) -> int:
    """Print what the policy says to the requests of --try. Returns the exit status."""
    from ordersigner.daemon import trial  # here, as above

    reading = reader.read_file(arguments.policy or reader.DEFAULT_PATH)
    for line in reading.lines([*reading.errors, *reading.warnings]):
        print(line, file=sys.stderr)
    if reading.errors:
        return 2
    tried = trial.Trial(
        reading.policy,
        arguments.client or of_this_process(),
        clock=time.time if arguments.at is None else lambda: float(arguments.at),
        keyring=keyring,
        wire_keys=not arguments.no_wire_keys,
    )
    try:
        return tried.run(trial.lines_of(arguments.requests))
    except trial.Unreadable as error:
        print(f"ordersignerd: {arguments.requests}: {error}", file=sys.stderr)
        return 2


def open_listener(arguments: argparse.Namespace, cleanup: contextlib.ExitStack) -> HandedOver:
    """The socket to serve: bound to --socket, or what systemd hands over, with all other descriptors."""
    if arguments.socket is None:
        return activation.handed_over()
    if activation.is_handed_over():
        raise activation.ActivationError("systemd handed a socket over: --socket is not allowed")
    return HandedOver(cleanup.enter_context(bound(arguments.socket, arguments.mode)), {})


def held_keys(arguments: argparse.Namespace) -> Keyring:
    """The keys in --keys, or those that systemd hands over; raises OSError."""
    if arguments.keys is not None:
        return keyring.from_directory(arguments.keys)
    directory = activation.credentials()
    return Keyring() if directory is None else keyring.from_credentials(directory)


def say_where_entries_go(service: Service) -> None:
    """Say in the journal where other entries are, and which of them journald drops."""
    journal, namespace = service.journal, journald.namespace()
    if namespace:
        command = f"journalctl --namespace=+{namespace} --identifier ordersigner"
        journal.say("info", f"Entries about held keys have a journal of their own. To read all entries: {command}")
    if journald.is_used() and journal.has_signatures:
        found = losses.of_this_process(namespace)
        service.entries_get_lost = bool(found)
        for each in found:
            journal.say("warning", each)


def may_read(peer: Peer, path: str | None) -> bool:
    """Whether a client may read the policy at `path`. Without a policy: root and the daemon's own user."""
    if peer.uid in (0, os.getuid()):
        return True
    try:
        return path is not None and peer.may_read(path)
    except OSError:
        return False


class Daemon:
    """One process of the service. Its main thread waits for signals; other threads accept, reload and stop."""

    def __init__(
        self,
        handed_over: HandedOver,
        service: Service,
        limits: Limits,
        policy: reload.PolicyFile,
        *,
        remove_socket: Callable[[], None] | None,
    ) -> None:
        """policy: its file, for reloads. remove_socket: removes the listener's path; None if systemd owns it."""
        self._listener, self._others = handed_over
        self._service = service
        self._policy = policy
        self._remove_socket = remove_socket
        self._notifier = Notifier(service.status)
        self._server = OrderServer(self._listener, service, limits, heartbeat=self._heartbeat)
        self._faults: list[Exception] = []  # that ended the accepting

    def run(self) -> int:
        """Serve until a stop signal; answer what was received; return the exit status."""
        # How long a thread waits before it asks for the interpreter. The wait starts again whenever the worker gives it
        # up for a moment, so with a time longer than a turn the accepting thread could wait for seconds in a crowd.
        sys.setswitchinterval(TURN / 5)
        journal = self._service.journal
        journal.say("info", f"Listening on {self._listener.getsockname()}")
        kept = handover.take(self._others, self._notifier)
        if kept:
            journal.say("info", f"{counted(len(kept), 'connection')} taken from systemd")
        self._server.take_over(kept)
        threading.Thread(target=self._accept, name="accept", daemon=True).start()
        self._notifier.ready()
        while True:
            received = signal.sigwaitinfo(STOP_SIGNALS)
            if received.si_signo != signal.SIGHUP:
                break
            if self._policy.path is not None:
                within(RELOAD_SECONDS, self._reload, received.si_pid)
            elif signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup(1) ignores it; the wait still ends
                break
        within(STOP_SECONDS + (HANDOVER_SECONDS if self._remove_socket is None else 0), self._stop)
        return 1 if self._faults else 0

    def _accept(self) -> None:
        try:
            self._server.serve_forever(POLL)
        except Exception as error:  # noqa: BLE001 - without this thread, or the worker, it would serve nobody
            self._faults.append(error)
            os.kill(os.getpid(), signal.SIGTERM)

    def _heartbeat(self, alive: bool) -> None:
        self._service.share_counts()
        self._notifier.heartbeat(alive=alive)

    def _reload(self, sender: int) -> None:
        with self._notifier.reloading():
            taken = self._policy.reload()
        if taken:
            reload.answer(sender)

    def _stop(self) -> None:
        self._notifier.stopping()
        self._server.shutdown()
        if self._remove_socket is not None:  # clients that wait at systemd's socket are left to the next process
            self._remove_socket()  # first, so that new clients find no socket rather than one that nobody serves
            self._server.accept_pending()
        keep = self._remove_socket is None and handover.is_possible(self._notifier)
        kept = self._server.drain(keep=keep)
        handover.give(kept, self._notifier)
        self._server.server_close()
        self._service.keyring.wipe()
        journal = self._service.journal
        self._service.share_counts()
        try:
            self._service.ledger.close()
        except OSError as error:
            journal.failed("The state may be counted too high after a boot", error)
        for fault in self._faults:
            journal.failed("The daemon cannot go on", fault)
        given = f", {counted(len(kept), 'connection')} given to systemd" if kept else ""
        journal.say("info", f"Stopped after {counted(self._service.counters.signed, 'signature')}{given}")
        self._notifier.close()


def within(seconds: float, function: Callable[..., None], *arguments: object) -> None:
    """Run `function`, and leave it behind after `seconds`.

    In a thread, so that a journal that hangs, or a thread that it holds up, cannot keep the process from ending. If the
    system has no thread left, it runs here: a reload or a stop that fails would end all connections at once.
    """
    ended = threading.Lock()
    ended.acquire()

    def run() -> None:
        try:
            function(*arguments)
        except Exception:  # noqa: BLE001 - said on standard error, as for any thread
            sys.excepthook(*sys.exc_info())
        finally:
            ended.release()

    try:
        # Not threading.Thread: its start() would wait without limit for a thread that finds no memory to begin.
        _thread.start_new_thread(run, ())
    except (RuntimeError, MemoryError):
        run()
    ended.acquire(timeout=seconds)


def within_descriptors(limits: Limits, journal: Journal) -> Limits:
    """`limits`, with no more connections than the process may have descriptors for."""
    wanted = limits.connections + RESERVED_DESCRIPTORS
    allowed = process.allow_descriptors(wanted)
    if allowed >= wanted:
        return limits
    connections = max(1, allowed - RESERVED_DESCRIPTORS)
    journal.say("warning", f"{allowed} descriptors are allowed: serving {connections} connections at once, no more")
    return limits._replace(connections=connections)
