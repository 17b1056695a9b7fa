"""What `ordersigner status` shows: the counters of each process of the daemon, and what all have done together by rule.

In: the path of the socket. Out: the status of each process, as the daemon gives it, and the processes that did not
answer in time. Raises client.Error. The daemon gives the status only to root and to users who may read the policy.

Several processes can share the socket (ordersigner@.service), and the kernel chooses the one that gets a connection. So
systemd is asked which processes there are, and new connections are made until each of them has answered.
"""

from __future__ import annotations

import subprocess
import time
from typing import Any, Dict, Iterable, Iterator, NamedTuple

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
    number = len(status["rules"]) + status.get("rules_left_out", 0)
    rules = f", {number} {'rule' if number == 1 else 'rules'}" if number else ""
    unit = f"{status['unit']}: " if status["unit"] else ""
    yield f"{unit}process {status['pid']}, version {status['version']}, since {_time(status['started'])}:"
    yield f"  now            {status['connections']} connection{'' if status['connections'] == 1 else 's'}{keys}{rules}"
    yield f"  signed         {status['signed']:,}{last}"
    yield from (f"    {kind:<12} {number:,}" for kind, number in status["signed_by_type"].items())
    width = _width(status["signed_by_rule"], 7)
    yield from (f"    rule {rule:<{width}} {number:,}" for rule, number in status["signed_by_rule"].items())
    yield f"  refused        {status['refused']:,}"
    width = _width(status["refused_by_code"], 12)
    yield from (f"    {code:<{width}} {number:,}" for code, number in status["refused_by_code"].items())
    yield f"  failed         {status['failed']:,}"
    if status["not_recorded"]:
        yield f"  not recorded   {status['not_recorded']:,} journal entries"


def words_of_rules(status: Status) -> Iterator[str]:
    """What the rules have done in all processes, and what of them is frozen, for people."""
    if status["rules"] or status["frozen"]:
        yield "all processes together:"
    width = _width(status["rules"], 9)
    for name, rule in status["rules"].items():
        counts = f"{_number(rule['signed'])} signed, {_number(rule['refused'])} refused"
        yield f"  rule {name:<{width}} {counts}{', frozen' if rule['frozen'] else ''}"
        for total in rule["totals"]:
            where = f"[{total['section'] or 'rule ' + name}] {total['term']}"
            used = "unknown" if total["used"] is None else total["used"]
            yield f"    in {SPANS[total['span']]:<9} {used} of {total['limit']}: {where}"
    if status.get("rules_left_out"):
        yield f"  and {status['rules_left_out']} more rules, which the answer has no room for"
    strange = [name for name in status["frozen"] if name not in status["rules"]]
    if strange and not status.get("rules_left_out"):
        yield f"  frozen         {', '.join(strange)}: the policy has no such rule"


def _width(names: Iterable[str], least: int) -> int:
    """Of a column, in characters."""
    return max([least, *map(len, names)])


SPANS = {"hour": "an hour", "day": "a day"}


def _number(count: int | None) -> str:
    return "unknown" if count is None else f"{count:,}"


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
