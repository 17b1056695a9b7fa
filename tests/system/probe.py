"""Tries, from inside the sandbox, everything that it must prevent. Prints the results as JSON."""

from __future__ import annotations

import json
import mmap
import os
import resource
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator


def outcome(action: Callable[[], object]) -> str:
    """The result of `action` as text, or the name of the error that it raises."""
    try:
        return str(action())
    except OSError as error:
        return type(error).__name__


def files_that_can_be_written() -> Iterator[str]:
    """Directories and regular files. Devices and sockets do not count."""
    for directory, _, names in os.walk("/"):
        if directory.startswith(
            ("/proc", "/sys/fs/cgroup")
        ):  # the kernel's interfaces, where a process may change itself
            continue
        for path in [directory, *(os.path.join(directory, name) for name in names)]:
            if os.access(path, os.W_OK) and stat.S_IFMT(os.stat(path).st_mode) in (stat.S_IFDIR, stat.S_IFREG):
                yield path


def execute(descriptor: int) -> None:
    """Write code into a file and map it, like a program that brings its own code."""
    os.write(descriptor, b"\xc3" * mmap.PAGESIZE)
    mmap.mmap(descriptor, mmap.PAGESIZE, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC).close()


def a_file_with_the_state() -> int:
    return os.open(os.environ["STATE_DIRECTORY"], os.O_TMPFILE | os.O_RDWR, 0o700)


def visible_sockets() -> Iterator[str]:
    for directory, _, names in os.walk("/run"):
        for name in names:
            path = os.path.join(directory, name)
            if stat.S_ISSOCK(os.lstat(path).st_mode):
                yield path


with open("/proc/self/status") as file:
    status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)

print(
    json.dumps(
        {
            "uid is root's": os.getuid() == 0,
            "groups": [group for group in os.getgroups() if group != os.getgid()],
            "capabilities": [status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")],
            "NoNewPrivs": status["NoNewPrivs"],
            "Seccomp": status["Seccomp"],
            "core": resource.getrlimit(resource.RLIMIT_CORE),
            "writable": list(files_that_can_be_written()),
            "sockets": sorted(visible_sockets()),
            "IPv4": outcome(lambda: socket.socket(socket.AF_INET)),
            "netlink": outcome(lambda: socket.socket(socket.AF_NETLINK)),
            "interfaces": sorted(os.listdir("/sys/class/net")),
            "program": outcome(lambda: subprocess.run(["/usr/bin/true"], check=False)),
            "executable memory": outcome(lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)),
            "executable file": outcome(lambda: execute(a_file_with_the_state())),
            "executable file in memory": outcome(lambda: execute(os.memfd_create("code"))),
            "other processes": [name for name in os.listdir("/proc") if name.isdigit() and name != str(os.getpid())],
            "homes": [outcome(lambda: os.listdir("/home")), outcome(lambda: os.listdir("/root"))],
        }
    )
)
