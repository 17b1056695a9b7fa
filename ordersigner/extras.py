"""What two of the commands need and pip does not install by default: the extras of setup.py.

In: the error of an import. Out: one line that says what to install. Raises the error if it is about a module of ours.
"""

from __future__ import annotations

import shlex
import sys

from ordersigner.text import printable

FAILED = 1  # exit status


def missing(program: str, extra: str, error: ImportError) -> int:
    """Says on stderr what to install; returns the exit status."""
    print(f"{program}: {to_install(extra, error)}", file=sys.stderr)
    return FAILED


def to_install(extra: str, error: ImportError) -> str:
    module = (error.name or __package__).partition(".")[0]
    if module == __package__:
        raise error
    reason = "is missing" if isinstance(error, ModuleNotFoundError) else f"cannot be imported ({error})"
    command = f"{shlex.quote(sys.executable or 'python3')} -m pip install 'ordersigner[{extra}]'"
    return printable(f"the Python module {module} {reason}. To install it: {command}")
