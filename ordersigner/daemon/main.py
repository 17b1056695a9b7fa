"""The daemon `ordersignerd`: arguments and wiring, from start to stop."""

from __future__ import annotations

import _thread
import argparse
import contextlib
import os
import signal
import sys
import threading
from typing import Callable, Iterator, Sequence

from ordersigner import __version__, process
from ordersigner.daemon import check, reload
from ordersigner.daemon.own_socket import BindingError, bound
from ordersigner.peer import Peer
from ordersigner.policy import reader
from ordersigner.policy.rules import Policy
from ordersigner.serving.connection import FAREWELL, GRACE, REST_OF_LINE
from ordersigner.serving.server import POLL, RESERVED_DESCRIPTORS, Limits, OrderServer
from ordersigner.serving.work import TURN
from ordersigner.signing import keyring
from ordersigner.signing.conversation import Service
from ordersigner.signing.journal import LEVELS, Journal, open_journal
from ordersigner.signing.keyring import Keyring
from ordersigner.systemd import activation, handover
from ordersigner.systemd.activation import HandedOver
from ordersigner.systemd.notify import Notifier

STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
RELOAD_SECONDS = 5.0  # for a new policy; after that, the daemon looks at the next signal
STOP_SECONDS = GRACE + FAREWELL + 2 * GRACE + 1.0  # for the stop; after that, the process ends even if something hangs
HANDOVER_SECONDS = REST_OF_LINE + 2 * handover.PATIENCE  # more for a stop that leaves connections to another process


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0 after a stop signal, 1 if there is no socket to serve, 2 for wrong arguments."""
    arguments = parser().parse_args(argv)
    process.close_memory()
    if arguments.reload:
        return reload.request(arguments.policy or reader.DEFAULT_PATH)
    try:
        keys = held_keys(arguments)
    except OSError as error:
        print(f"ordersignerd: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    if arguments.check:
        reading = reader.read_file(arguments.policy or reader.DEFAULT_PATH)
        return check.check(reading, keys if arguments.keys else None)
    process.let_threads_end()
    journal = open_journal(arguments.log_level)
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
            journal, keys, wire_keys=not arguments.no_wire_keys, may_read_status=lambda peer: may_read(peer, path)
        )
        for label, reason in keys.refused.items():
            journal.say("warning", f"Key {label} is not used: {reason}")
        take_policy(service, path)
        own_socket = arguments.socket is not None
        return serve(handed_over, service, limits, path, own_socket=own_socket, cleanup=cleanup)


def parser() -> argparse.ArgumentParser:
    defaults = Limits()
    parser = argparse.ArgumentParser(
        prog="ordersignerd",
        description="Sign orders for clients on a Unix socket: the one that systemd hands over, or --socket.",
    )
    parser.add_argument("--socket", metavar="PATH", help="listen here, not on the socket that systemd hands over")
    parser.add_argument("--mode", type=permissions, default=0o600, help="permissions of --socket (default: 0600)")
    parser.add_argument("--keys", metavar="DIR", help="hold the keys in the files there, one in each")
    parser.add_argument(
        "--policy",
        metavar="FILE",
        help="who may have what signed with the held keys; SIGHUP reloads it (default: "
        f"{reader.DEFAULT_PATH}, without --socket)",
    )
    parser.add_argument("--no-wire-keys", action="store_true", help="sign only with held keys")
    parser.add_argument("--check", action="store_true", help="say what the policy means and what is wrong, and exit")
    parser.add_argument("--reload", action="store_true", help="have the daemon of this service reload its policy")
    parser.add_argument(
        "--log-level",
        choices=LEVELS,
        default="info",
        help="info: an entry for each signature (default); notice: for refusals only; warning: for neither",
    )
    parser.add_argument(
        "--max-connections",
        metavar="N",
        type=connections,
        default=defaults.connections,
        help="connections at once (default: %(default)s)",
    )
    parser.add_argument(
        "--max-connections-per-user",
        metavar="N",
        type=connections,
        default=defaults.connections_per_user,
        help="connections at once of any one user (default: %(default)s)",
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=seconds,
        default=defaults.timeout,
        help="time for a client to end a line it began, and to take its replies (default: %(default)g)",
    )
    parser.add_argument("--version", action="version", version=f"ordersignerd {__version__}")
    return parser


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


def policy_path(arguments: argparse.Namespace) -> str | None:
    """--policy. Without it, a daemon with systemd's socket has a default, and any other daemon has no policy."""
    path: str | None = arguments.policy
    return reader.DEFAULT_PATH if path is None and arguments.socket is None else path


def may_read(peer: Peer, path: str | None) -> bool:
    """Whether a client may read the policy at `path`, by its mode. Without a policy: root and the daemon's own user."""
    if peer.uid in (0, os.getuid()):
        return True
    try:
        return path is not None and peer.may_read(os.stat(path))
    except OSError:
        return False


def take_policy(service: Service, path: str | None) -> bool:
    """Put the policy at `path` in force. If it has an error, return False: the earlier one stays in force.

    The same where this call was left behind, and another one has begun since: that one has the later policy.
    """
    service.reloads = turn = service.reloads + 1
    policy: Policy | None = Policy()
    if path is not None:
        reading = reader.read_file(path)
        for line in reading.lines(reading.warnings):
            service.journal.say("warning", line)
        if reading.errors:
            service.journal.say("err", "The policy is not used: " + "; ".join(reading.lines(reading.errors)))
        policy = None if reading.errors or turn < service.reloads else reading.policy
    if policy is not None:
        service.replace_policy(policy)
    in_force, held = service.policy, service.keyring.keys.keys()
    if path is not None or held:
        _, wanted = service.keyring.count(in_force.keys)
        service.journal.in_force(sorted(held), wanted, sorted(in_force.keys - held), len(in_force.rules), path)
    return policy is not None


def serve(
    handed_over: HandedOver,
    service: Service,
    limits: Limits,
    path: str | None,
    *,
    own_socket: bool,
    cleanup: contextlib.ExitStack,
) -> int:
    """Serve until a stop signal; answer what was received; return the exit status.

    path: of the policy, for reloads. own_socket: the listener is not systemd's; cleanup removes its path.
    """
    listener, others = handed_over
    notifier = Notifier(service.status)
    server = OrderServer(listener, service, limits, heartbeat=lambda alive: notifier.heartbeat(alive=alive))
    faults: list[Exception] = []

    def accept() -> None:
        try:
            server.serve_forever(POLL)
        except Exception as error:  # noqa: BLE001 - without this thread, or the worker, it would serve nobody
            faults.append(error)
            os.kill(os.getpid(), signal.SIGTERM)

    def change_policy(sender: int) -> None:
        with notifier.reloading():
            taken = take_policy(service, path)
        if taken:
            reload.answer(sender)

    def stop() -> None:
        notifier.stopping()
        server.shutdown()
        if own_socket:  # clients that wait at systemd's socket are left to the next process
            cleanup.close()  # first, so that new clients find no socket rather than one that nobody serves
            server.accept_pending()
        kept = server.drain(keep=not own_socket and handover.is_possible(notifier))
        handover.give(kept, notifier)
        server.server_close()
        service.keyring.wipe()
        for fault in faults:
            service.journal.failed("The daemon cannot go on", fault)
        given = f", {len(kept)} connections given to systemd" if kept else ""
        service.journal.say("info", f"Stopped after {service.counters.signed} signatures{given}")
        notifier.close()

    # How long a thread waits before it asks for the interpreter. The wait starts again whenever the worker gives it up
    # for a moment, so with a time longer than a turn the accepting thread could wait for seconds in a crowd.
    sys.setswitchinterval(TURN / 5)
    service.journal.say("info", f"Listening on {listener.getsockname()}")
    kept = handover.take(others, notifier)
    if kept:
        service.journal.say("info", f"{len(kept)} connections taken from systemd")
    server.take_over(kept)
    threading.Thread(target=accept, name="accept", daemon=True).start()
    notifier.ready()
    while True:
        received = signal.sigwaitinfo(STOP_SIGNALS)
        if received.si_signo != signal.SIGHUP:
            break
        if path is not None:
            within(RELOAD_SECONDS, change_policy, received.si_pid)
        elif signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup(1) ignores it; the wait still ends
            break
    within(STOP_SECONDS + (0 if own_socket else HANDOVER_SECONDS), stop)
    return 1 if faults else 0


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


def permissions(text: str) -> int:
    with _says("permissions in octal, from 000 to 777"):
        value = int(text, 8)
        if 0 <= value <= 0o777:
            return value
        raise ValueError


def connections(text: str) -> int:
    with _says("a whole number, at least 1"):
        value = int(text)
        if value >= 1:
            return value
        raise ValueError


def seconds(text: str) -> float:
    with _says("seconds, from 0.001 to 86400"):
        value = float(text)
        if 0.001 <= value <= 86400:
            return value
        raise ValueError


@contextlib.contextmanager
def _says(expected: str) -> Iterator[None]:
    """Have an option's value that is not as expected refused with those words."""
    try:
        yield
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected {expected}") from None
