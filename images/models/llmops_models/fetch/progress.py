"""A line every few seconds: bytes, rate and time left. Whole lines, for logs."""

from __future__ import annotations

import logging
import threading
import time

log = logging.getLogger(__name__)


class Progress:
    """Counts bytes from any thread. As a context it reports every `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._total = 0
        self._present = 0
        self._received = 0
        self._since = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._report, name="progress", daemon=True)

    def expect(self, total: int, present: int) -> None:
        """Says how many bytes there will be, and how many of them are already here."""
        self._total, self._present, self._received = total, present, 0
        self._since = time.monotonic()

    def add(self, count: int) -> None:
        with self._lock:
            self._received += count

    @property
    def received(self) -> int:
        """Bytes that came over the network."""
        return self._received

    def line(self) -> str:
        """For example `1.50 of 4.00 GiB, 310.0 MiB/s, 8 s left`."""
        seconds = max(time.monotonic() - self._since, 1e-3)
        rate = self._received / seconds
        here = self._present + self._received
        left = f"{(self._total - here) / rate:.0f} s left" if rate > 0 else "waiting"
        return f"{gib(here)} of {gib(self._total)} GiB, {rate / (1 << 20):.1f} MiB/s, {left}"

    def summary(self) -> str:
        """For example `4.00 GiB in 12.9 s, 310.0 MiB/s`."""
        seconds = max(time.monotonic() - self._since, 1e-3)
        rate = self._received / seconds / (1 << 20)
        return f"{gib(self._received)} GiB in {seconds:.1f} s, {rate:.1f} MiB/s"

    def _report(self) -> None:
        while not self._ended.wait(self._seconds):
            log.info("%s", self.line())

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


def gib(count: float) -> str:
    """Bytes as GiB with two decimals."""
    return f"{count / (1 << 30):.2f}"
