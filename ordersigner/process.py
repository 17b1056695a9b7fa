"""What the daemon's process needs for itself: closed memory, enough descriptors, and threads that can end."""

from __future__ import annotations

import contextlib
import ctypes
import resource

_PR_SET_DUMPABLE = 4  # source: linux/prctl.h


def close_memory() -> None:
    """From here on, this process leaves no core dump, and other processes of its user cannot read its memory."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Where core dumps are piped to a program, the kernel ignores that limit and looks at this flag instead.
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def allow_descriptors(wanted: int) -> int:
    """Raise the limit on open descriptors to `wanted`, as far as the hard limit permits; returns the new limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        soft = min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft


def let_threads_end() -> None:
    """Load the library that glibc needs for pthread_exit().

    glibc would load it at the first call, and abort the process if there were no descriptor left. Python calls
    pthread_exit() for threads that are still there at its own end, and before 3.9.6 for every thread.
    """
    with contextlib.suppress(OSError):  # another libc, which does not need it
        ctypes.CDLL("libgcc_s.so.1")
