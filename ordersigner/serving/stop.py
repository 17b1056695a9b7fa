"""The daemon's stop, as its connections see it: whether it has begun, and until when they may read and send.

The server begins it; the threads of connections and the worker only look. No thread waits for a lock here.
"""

from __future__ import annotations

import math
import os
from time import monotonic

REST_OF_LINE = 1.0  # seconds at the stop for the end of a line that was begun, if connections are kept
GRACE = 0.2  # seconds at the stop in which a client may finish sending a request; what has come by then is answered
FAREWELL = 5.0  # seconds after these in which a client may take the last of its responses


class Stop:
    """Its descriptor, for poll(), becomes ready when the stop begins."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        self.read_until = self.send_until = math.inf  # by monotonic()
        self.keeps = False  # whether connections are kept for the next process, as far as they are between two lines

    @property
    def begun(self) -> bool:
        return self.read_until < math.inf

    def fileno(self) -> int:
        return self._reader

    def begin(self, *, keep: bool = False) -> None:
        self.keeps = keep  # first: a thread that sees that the stop has begun must see this too
        self.read_until = monotonic() + (REST_OF_LINE if keep else GRACE)
        self.send_until = self.read_until + FAREWELL
        os.close(self._writer)

    def close(self) -> None:
        if not self.begun:
            os.close(self._writer)
        os.close(self._reader)
