"""The files of an administrator."""

from __future__ import annotations

import os
from pathlib import Path

from support.daemon import EXAMPLE_LINE
from support.keys import ADDRESS, put, with_held_key

LINE = with_held_key(EXAMPLE_LINE) + b"\n"

ME = os.getuid()

RULE = f"[rule all]\nkey = {ADDRESS}\nusers = {ME}\naccounts = any\nmarkets = any\n"


class Files:
    """keys/ and policy, as the administrator has them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.keys = directory / "keys"
        self.policy = directory / "policy"
        self.keys.mkdir(0o700)
        put(self.keys, "example")
        self.policy.write_text(RULE)

    @property
    def options(self) -> list[str]:
        return ["--keys", str(self.keys), "--policy", str(self.policy)]
