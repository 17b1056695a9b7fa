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

    processes: list[Status]  # each with the name of its "unit", None if it is not known
    silent: list[str]  # the units of those that did not answer


def ask(path: str, timeout: float) -> Report:
    """Raises SignerError if this user may not read the status, and other client.Errors if no process answers."""
    found: dict[int, Status] = {}
    deadline = time.monotonic() + PATIENCE
    while True:
        status = _ask_one(path, timeout)
        found[status["pid"]] = status
        units = running() if path == SYSTEM_SOCKET else {}
        silent = units.keys() - found.keys()
        if not silent or time.monotonic() > deadline:
            break
    processes = [{"unit": units.get(pid), **found[pid]} for pid in sorted(found) if pid in units or not units]
    return Report(processes, sorted(units[pid] for pid in silent))


def _ask_one(path: str, timeout: float) -> Status:
    """The status of the process that gets the connection."""
    with Client(path, timeout) as client:
        (response,) = client.exchange([encode({"type": "status"})], read_response)
    if not response["ok"]:
        raise refusal(response)
    status = response.get("status")
    if not isinstance(status, dict) or not isinstance(status.get("pid"), int):
        raise ProtocolError("the response has no valid status")
    return status


def running() -> dict[int, str]:
    """The units of the daemon's processes that systemd knows, by process number; none without systemd."""
    command = ["systemctl", "show", "--property=Id,MainPID", *UNITS]
    try:
        shown = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SYSTEMCTL_SECONDS).stdout
    except (OSError, subprocess.TimeoutExpired):
        return {}
    shown_units = [dict(line.split("=", 1) for line in lines.splitlines()) for lines in shown.split("\n\n") if lines]
    return {int(unit["MainPID"]): unit["Id"] for unit in shown_units if unit["MainPID"] != "0"}


def words(status: Status) -> Iterator[str]:
    """The status of one process, for people."""
    last = f", the last one {_time(status['last_signed'])}" if status["last_signed"] else ""
    keys = f", {status['keys']} of {status['keys_wanted']} keys" if status["keys_wanted"] else ""
    rules = f", {status['rules']} {'rule' if status['rules'] == 1 else 'rules'}" if status["rules"] else ""
    unit = f"{status['unit']}: " if status["unit"] else ""
    yield f"{unit}process {status['pid']}, version {status['version']}, since {_time(status['started'])}:"
    yield f"  now            {status['connections']} connection{'' if status['connections'] == 1 else 's'}{keys}{rules}"
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
