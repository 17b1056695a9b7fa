"""The comparison with the earlier daemon, leverj-ordersigner-daemon, for `ordersigner compare`.

In: the paths of two sockets, and requests. Out, as text: whether the daemons agree, who listens, and the commands that
replace the earlier daemon. Raises client.Error if a daemon does not answer, or if nothing is at the earlier path.

Keys go only to the two sockets. The text has no request, and nothing that the earlier daemon says in an error: it may
repeat a key.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import shlex
import socket
import stat
from typing import Iterator, Sequence

from ordersigner.client import Client, Error, SignerError, connect, encode, read_signature
from ordersigner.peer import peer_of

EARLIER_SOCKET = "/tmp/leverj-ordersigner-daemon.sock"  # unless its option --interface says otherwise
EXAMPLES = "/usr/share/doc/ordersigner/examples"
DROP_IN = "/etc/systemd/system/ordersigner.socket.d/earlier-daemon-path.conf"

# Other characters mean something to sed, to systemd or to a terminal.
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9./_+-]+\Z")

# Orders with published signatures. Everybody knows their keys.
SPOT = {
    "type": "spot",
    "instrument": {
        "symbol": "LEVETH",
        "quote": {"address": "0x0000000000000000000000000000000000000000", "decimals": 18},
        "base": {"address": "0x167cdb1aC9979A6a694B368ED3D2bF9259Fa8282", "decimals": 9},
    },
    "order": {
        "accountId": "0x167cdb1aC9979A6a694B368ED3D2bF9259Fa8282",
        "side": "buy",
        "quantity": 12.3343,
        "price": 23.44322,
        "orderType": "LMT",
        "instrument": "LEVETH",
        "timestamp": 12382173200872,
        "expiryTime": 1238217320021122,
    },
    "signer": "0xb98ea45b6515cbd6a5c39108612b2cd5ae184d5eb0d72b21389a1fe6db01fe0d",
}
FUTURES = {
    "type": "futures",
    "instrument": {"id": "1", "quote": {"address": "0xb0F776EB352738CF25710d92Fca2f4A5e2c24D3e", "decimals": 18}},
    "order": {
        "accountId": "0xc21b183A8050D1988117B86408655ff974d021A0",
        "originator": "0x10758C328A02B511d2a7B8f55459929Fa760411f",
        "instrument": "1",
        "price": 9380.0,
        "quantity": 1.0,
        "marginPerFraction": "191428571428571430000",
        "side": "buy",
        "orderType": "SLM",
        "timestamp": 1595560081494041,
        "quote": "0xb0F776EB352738CF25710d92Fca2f4A5e2c24D3e",
        "isPostOnly": False,
        "reduceOnly": False,
        "clientOrderId": 1,
        "triggerPrice": 9385,
    },
    "signer": "0xae9edfad7fa29b0d6e14b045b5e74f3360e041545cf64236e81e616849072d65",
}


def examples() -> list[tuple[str, bytes]]:
    """Names and lines of the requests that are compared if the user gives none."""
    return [("the example of a spot order", encode(SPOT)), ("the example of a futures order", encode(FUTURES))]


def earlier_path(given: str | None) -> str:
    """The path of the earlier daemon's socket: the one that the user gives, or the usual one."""
    if given is None and not os.path.exists(EARLIER_SOCKET):
        raise Error(f"there is no earlier daemon at {EARLIER_SOCKET}; if its socket is elsewhere: --earlier PATH")
    path = os.path.abspath(given or EARLIER_SOCKET)
    if not _PLAIN_PATH.match(path):
        raise Error("--earlier: the path may have only letters, digits and the characters . / _ + -")
    return path


def compared(earlier: Client, ours: Client, requests: Sequence[tuple[str, bytes]]) -> Iterator[tuple[bool, str]]:
    """For each request, given by its name and line: whether the daemons agree, and a sentence that says so."""
    # The earlier daemon takes only CR LF for the end of a line.
    lines = [line.rstrip(b"\r\n") + b"\r\n" for _, line in requests]
    outcomes = zip(earlier.exchange(lines, read_signature), ours.exchange(lines, read_signature))
    for (name, _), (theirs, our) in zip(requests, outcomes):
        refused = [isinstance(outcome, SignerError) for outcome in (theirs, our)]
        if all(refused):
            yield True, f"{name}: both refuse it"
        elif theirs == our:
            yield True, f"{name}: the same signature"
        else:
            earlier_answer = "refuses it" if refused[0] else f"gives {theirs}"
            our_answer = f"refuses it: {our}" if refused[1] else f"gives {our}"
            yield False, f"{name}: the earlier daemon {earlier_answer}, this one {our_answer}"


class Listener:
    """Who listens at a socket, from the socket itself and from /proc.

    pid: the process that listens; 0 if it is in another container.
    unit: the service of the system that the process belongs to, or "".
    is_owners: whether the process is now one of the user who owns the socket. If not, it may be another one that has
    the number by now, or one that was made to look like the listener.
    """

    def __init__(self, path: str, timeout: float | None) -> None:
        self.path = path
        connection = connect(path, timeout)
        unix_socket = socket.socket(fileno=connection.fileno())
        try:
            self.pid, self._uid, _, _ = peer_of(unix_socket)
        finally:
            unix_socket.detach()  # the connection closes the descriptor
            connection.close()
        self._name = _read(f"/proc/{self.pid}/comm").strip()
        # In the unified hierarchy; a user's own services and sessions are under user.slice.
        found = re.search(
            r"^0::/system\.slice/(?:.*/)?([^/]+\.service)", _read(f"/proc/{self.pid}/cgroup"), re.MULTILINE
        )
        self.unit = found[1] if found else ""
        uids = re.search(r"^Uid:\t([0-9\t]+)$", _read(f"/proc/{self.pid}/status"), re.MULTILINE)
        self.is_owners = uids is not None and {int(uid) for uid in uids[1].split()} == {os.stat(path).st_uid}

    def __str__(self) -> str:
        state = os.stat(self.path)
        who = f"process {self.pid}" + (f" ({self._name})" if self._name else "")
        service = f" in {self.unit}" if self.unit else ""
        socket_is = f"owner {_user(state.st_uid)}, group {_group(state.st_gid)}, mode {stat.S_IMODE(state.st_mode):04o}"
        return f"{self.path} ({socket_is}), where {who} of user {_user(self._uid)}{service} listens"


def steps(earlier: Listener) -> str:
    """The commands that replace the earlier daemon by this one, for root's shell, with comments."""
    path = earlier.path
    if earlier.pid <= 1:
        end = "# ... where it runs: seen from here, another container listens, or systemd itself"
    elif not earlier.is_owners:
        end = f"# ... but not process {earlier.pid}: it does not belong to the user who owns the socket"
    elif earlier.unit:
        end = f"systemctl disable --now {shlex.quote(earlier.unit)}  # if it runs nothing else, as cron.service would"
    else:
        end = f"kill {earlier.pid}  # no service of systemd: also remove what starts it at boot"
    # For another path than the usual one.
    adapt = f"sed -i 's|{EARLIER_SOCKET}|{path}|g' {DROP_IN}\n"
    return f"""\
# Let the users of the clients connect to this daemon. The first command shows which clients are connected now.
lsof +E -aU -p {earlier.pid}
usermod --append --groups ordersigner USER
# End the earlier daemon, and have this one answer at its path.
{end}
rm -f {path} {path}.lock
install -D -m 0644 {EXAMPLES}/earlier-daemon-path.conf {DROP_IN}
{adapt if path != EARLIER_SOCKET else ""}\
echo 'x {path}' >/etc/tmpfiles.d/ordersigner.conf
systemctl daemon-reload
systemctl restart ordersigner.socket
# Check it.
ordersigner compare --earlier {path}"""


def _read(path: str) -> str:
    """The content of a file in /proc; "" if it may not be read, or if its process has ended."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
