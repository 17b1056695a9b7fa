"""Held keys, and files with keys."""

from __future__ import annotations

import os
from pathlib import Path

from oracles import oracle

from ordersigner.signing.keys import HeldKey
from support.daemon import EXAMPLE

KEY = EXAMPLE["request"]["signer"][2:]

ADDRESS = oracle.signer_address(KEY)

OTHER_KEY = "11" * 32


def held(text: str) -> HeldKey:
    """The held key from a file with that text."""
    reader, writer = os.pipe()
    os.write(writer, text.encode())
    os.close(writer)
    try:
        return HeldKey(reader)
    finally:
        os.close(reader)


def put(directory: Path, name: str, text: str = KEY, mode: int = 0o600) -> Path:
    path = directory / name
    path.write_text(text)
    path.chmod(mode)
    return path


def with_held_key(line: bytes) -> bytes:
    """The example, signed by address."""
    return line.replace(KEY.encode(), ADDRESS[2:].encode())
