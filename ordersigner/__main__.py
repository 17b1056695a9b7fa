"""The command `ordersignerd`, and `python -m ordersigner`: daemon/main.py, if what it needs is installed."""

from __future__ import annotations

import sys

from ordersigner import extras


def main() -> int:
    """Returns the exit status."""
    try:
        from ordersigner.daemon.main import main as daemon
    except ImportError as error:
        return extras.missing("ordersignerd", "daemon", error)
    return daemon()


if __name__ == "__main__":
    sys.exit(main())
