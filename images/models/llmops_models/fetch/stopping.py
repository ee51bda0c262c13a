"""A stop that a signal handler may set: it takes no lock."""

from __future__ import annotations

import signal
import time

SLICE_SECONDS = 0.05


class Stop:
    """Once set, it stays set."""

    def __init__(self) -> None:
        self._set = False

    @classmethod
    def on_signals(cls) -> Stop:
        """A stop that SIGTERM and SIGINT set from now on."""
        stop = cls()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: stop.set())
        return stop

    def set(self) -> None:
        self._set = True

    def is_set(self) -> bool:
        return self._set

    def wait(self, seconds: float) -> bool:
        """Waits so long, or until it is set; gives whether it is."""
        end = time.monotonic() + seconds
        while not self._set and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, SLICE_SECONDS))
        return self._set
