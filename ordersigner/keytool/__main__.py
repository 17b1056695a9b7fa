"""The command `ordersigner-keys`, and `python -m ordersigner.keytool`: main.py, if what it needs is installed."""

from __future__ import annotations

import sys

from ordersigner import extras


def main() -> int:
    """Returns the exit status."""
    try:
        from ordersigner.keytool.main import main as keytool
    except ImportError as error:
        return extras.missing("ordersigner-keys", "keys", error)
    return keytool()


if __name__ == "__main__":
    sys.exit(main())
