"""Whose turn is next, by the processor time that each channel has used.

In: channels that wait for a turn, and how long each turn took. Out: the channel whose turn is next. No threads, no
clocks, no I/O.

Time decides, not the number of lines: each channel has an account of the processor time it has used, and the one that
has used the least is next. A client whose lines take a hundred times as long as an order gets a hundredth of the turns.
Nobody saves up: a channel that was idle continues where the others are. This is start-time fair queueing (Goyal, Vin,
Cheng 1996).

That alone would have everybody wait where hundreds of clients send lines of several milliseconds at the same time: all
of them may have used as little as a client with short lines. So after each turn with a long line, channels with short
lines come first, until they have had as much time. A new channel counts as one with long lines until one is short.
"""

from __future__ import annotations

import heapq
import math
import threading
from itertools import count
from random import random

from ordersigner.serving.channel import Channel

ADMISSION = 0.4e-3  # seconds on the account of a new channel: about what accepting it costs the others
LONG = 0.3e-3  # seconds; a line that takes longer is a long one. An order takes 0.05 ms, or 0.2 ms with cold caches
STEADY = 8  # turns over which the time for a line is averaged, so that a single long one counts for little


class Share:
    """A channel's share of the work. It belongs to the channel's owner; connection.py only waits for `returned`."""

    def __init__(self, channel: Channel, account: float, number: int = 0) -> None:
        """number: of the channel, which no other one has."""
        self.channel = channel
        self.number = number
        self.account = account  # seconds of processor time used, on the clock of Turns
        self.line_seconds = LONG  # that a line takes, on average
        self.waiting_since = 0.0  # by perf_counter(): since when it waits for a turn of the worker; 0 if it does not
        self.answered = 0  # lines of the channel, at the worker's last sweep
        self.events = 0  # of epoll, that the worker waits for
        self.returned = threading.Lock()  # taken by the channel's thread, and released by the worker

    @property
    def has_long_lines(self) -> bool:
        return self.line_seconds >= LONG

    def charge(self, used: float, lines: int) -> None:
        """Add the time of a turn to the account, times a random factor from 0.5 to 1.5.

        Without the factor, channels that began together and whose turns take as long would always come one after the
        other, and those between them would wait for all of them.
        """
        self.account += used * (0.5 + random())
        if lines:  # a turn that only reads says nothing about how long lines take
            self.line_seconds += (used / lines - self.line_seconds) / STEADY


class Turns:
    """The queue for turns, and the clock of the accounts."""

    def __init__(self) -> None:
        self._clock = 0.0  # the account with which the latest turn began
        self._admitted = count()  # channels
        self._number = count()  # of equal accounts, first come, first served
        self._owed = 0.0  # seconds for which channels with short lines come first
        # The channels that wait, those with short lines and those with long ones: heaps, the least account first.
        self.short: list[tuple[float, int, Share]] = []
        self.long: list[tuple[float, int, Share]] = []

    def admit(self, channel: Channel) -> Share:
        """Open the account of a new channel."""
        return Share(channel, self._clock + ADMISSION, next(self._admitted))

    def push(self, share: Share) -> None:
        """Have `share` wait for a turn."""
        heap = self.long if share.has_long_lines else self.short
        heapq.heappush(heap, (max(self._clock, share.account), next(self._number), share))

    def pop(self, least_served: float) -> Share | None:
        """Take the next one; None if none waits, or if responses must be sent first.

        least_served: the least account of the channels whose responses are still to be sent; infinite if there are
        none. Responses come before a turn with a greater account, and before any turn with long lines.
        """
        short, long = self.short, self.long
        if short and (self._owed > 0 or not long or short[0] < long[0]):
            return heapq.heappop(short)[2] if short[0][0] <= least_served else None
        return heapq.heappop(long)[2] if long and least_served == math.inf else None

    def begin(self, share: Share) -> None:
        """Note that the turn of `share` begins."""
        share.account = self._clock = max(self._clock, share.account)

    def owe(self, share: Share, used: float) -> None:
        """After a turn with long lines, short lines come first for as long as it took. Their turns use that time up."""
        self._owed = used if share.has_long_lines else self._owed - used
