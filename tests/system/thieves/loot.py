"""The loot of a thief, which is not sent away but put into ~/loot, with a file for each way to get it."""

from __future__ import annotations

import os

LOOT = os.path.expanduser("~/loot")


def take(way: str, content: bytes) -> None:
    os.makedirs(LOOT, exist_ok=True)
    with open(os.path.join(LOOT, way), "ab") as file:
        file.write(content + b"\n")


def take_file(way: str, path: str, most: int = 1 << 20) -> None:
    """The content of a file, up to `most` bytes, or why there is none."""
    try:
        with open(path, "rb", buffering=0) as file:
            content = file.read(most) or b""
    except OSError as error:
        content = os.strerror(error.errno or 0).encode()
    take(way, path.encode(errors="surrogateescape") + b": " + content)
