"""What `ordersigner status` shows: the counters of each process of the daemon.

In: the path of the socket. Out: the status of each process, as the daemon gives it, and the processes that did not
answer in time. Raises client.Error. The daemon gives the status only to root and to users who may read the policy.

Several processes can share the socket (ordersigner@.service), and the kernel chooses the one that gets a connection. So
systemd is asked which processes there are, and new connections are made until each of them has answered.
"""

from __future__ import annotations

import subprocess
import time
from typing import Any, Dict, Iterator, NamedTuple

from ordersigner.client import SYSTEM_SOCKET, Client, ProtocolError, encode, read_response, refusal

UNITS = ("ordersigner.service", "ordersigner@*.service")
PATIENCE = 5.0  # seconds for all processes to answer
SYSTEMCTL_SECONDS = 5.0

Status = Dict[str, Any]  # see ordersigner-protocol(7)


class Report(NamedTuple):
    """The processes of the daemon."""

    processes: list[Status]
    silent: list[int]  # process numbers of those that did not answer


def ask(path: str, timeout: float) -> Report:
    """Raises SignerError if this user may not read the status, and other client.Errors if no process answers."""
    expected = set(running()) if path == SYSTEM_SOCKET else set()
    found: dict[int, Status] = {}
    deadline = time.monotonic() + PATIENCE
    while not found or (expected - found.keys() and time.monotonic() < deadline):
        with Client(path, timeout) as client:
            (response,) = client.exchange([encode({"type": "status"})], read_response)
        if not response["ok"]:
            raise refusal(response)
        status = response.get("status")
        if not isinstance(status, dict) or not isinstance(status.get("pid"), int):
            raise ProtocolError("the response has no valid status")
        found[status["pid"]] = status
    return Report([found[pid] for pid in sorted(found)], sorted(expected - found.keys()))


def running() -> list[int]:
    """The daemon's processes that systemd knows, none without systemd."""
    command = ["systemctl", "show", "--value", "--property=MainPID", *UNITS]
    try:
        shown = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SYSTEMCTL_SECONDS).stdout
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [int(word) for word in shown.split() if word.isdecimal() and word != "0"]


def words(status: Status) -> Iterator[str]:
    """The status of one process, for people."""
    last = f", the last one {_time(status['last_signed'])}" if status["last_signed"] else ""
    keys = f", {status['keys']} of {status['keys_wanted']} keys" if status["keys_wanted"] else ""
    rules = f", {status['rules']} {'rule' if status['rules'] == 1 else 'rules'}" if status["rules"] else ""
    yield f"Process {status['pid']}, version {status['version']}, since {_time(status['started'])}:"
    yield f"  now            {status['connections']} connections{keys}{rules}"
    yield f"  signed         {status['signed']:,}{last}"
    yield from (f"    {kind:<12} {number:,}" for kind, number in status["signed_by_type"].items())
    yield from (f"    rule {rule:<7} {number:,}" for rule, number in status["signed_by_rule"].items())
    yield f"  refused        {status['refused']:,}"
    yield from (f"    {code:<12} {number:,}" for code, number in status["refused_by_code"].items())
    yield f"  failed         {status['failed']:,}"
    if status["not_recorded"]:
        yield f"  not recorded   {status['not_recorded']:,} journal entries"


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
