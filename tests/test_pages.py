"""How sessions of pages are read, and compared with what commands print."""

from __future__ import annotations

import pytest
from support.pages import Command, is_printed, sessions

pytestmark = pytest.mark.once

PAGE = """\
1. A session in a list:

   .. code-block:: console

      # install -D one \\
            two
      $ ordersigner signers
      0x2b5a bids
        asks

Text, and another block::

    # no session

.. code-block:: console

    # systemctl is-active ordersigner.socket
    active
"""


def test_a_session_has_commands_of_root_and_of_others_and_what_they_print() -> None:
    assert sessions(PAGE) == [
        Command(by_root=True, words="install -D one two", output=""),
        Command(by_root=False, words="ordersigner signers", output="0x2b5a bids\n  asks"),
        Command(by_root=True, words="systemctl is-active ordersigner.socket", output="active"),
    ]


SHOWN = "Nov 30 20:16:42 signer ordersigner[812]: Froze rule bids for uid 0, gid 0,\npid 913\n…\nSigned in 86 µs:  2"


@pytest.mark.parametrize(
    ("printed", "same"),
    [
        (
            "Dec  1 00:00:00 vm ordersigner[7]: Froze rule bids for uid 1, gid 1, pid 9\nx\ny\nSigned in 1 µs:  2\n",
            True,
        ),
        (
            "Dec  1 00:00:00 vm ordersigner[7]: Froze rule asks for uid 1, gid 1, pid 9\nx\ny\nSigned in 1 µs:  2\n",
            False,
        ),
        (
            "Dec  1 00:00:00 vm ordersigner[7]: Froze rule bids for uid 1, gid 1, pid 9\nx\ny\nSigned in 1 µs: 2\n",
            False,
        ),
        (
            "Dec  1 00:00:00 vm ordersigner[7]: Froze rule bids for uid 1, gid 1, pid 9\nx\ny\nSigned in 1 µs:  3\n",
            False,
        ),
        ("Dec  1 00:00:00 vm ordersigner[7]: Froze rule bids for uid 1, gid 1, pid 9\nx\nSigned in 1 µs:  2\nz", False),
    ],
    ids=["times and numbers", "a word", "a column", "a count", "more at the end"],
)
def test_only_times_and_numbers_of_processes_and_users_may_differ(printed: str, same: bool) -> None:
    assert is_printed(SHOWN, printed) == same
