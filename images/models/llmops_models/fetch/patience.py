"""How long and how often a request is tried again."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

from llmops_models.errors import Retry
from llmops_models.fetch.stopping import Stop
from llmops_models.fetch.tuning import Tuning

log = logging.getLogger(__name__)


class Patience:
    """Waits between tries: longer each time, with jitter, for a bounded time."""

    def __init__(self, tuning: Tuning, stop: Stop) -> None:
        self._tuning = tuning
        self._stop = stop
        self._end = time.monotonic() + tuning.retry_seconds
        self._tries = 0

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Does not count the time of a long transfer, which gets somewhere while it lasts."""
        started = time.monotonic()
        try:
            yield
        finally:
            self._end += time.monotonic() - started

    def wait(self, error: Retry) -> None:
        """Waits before the next try, or raises the error where the time is up."""
        longest = min(
            self._tuning.backoff_seconds * 2**self._tries, self._tuning.backoff_limit_seconds
        )
        pause = error.after if error.after is not None else random.uniform(longest / 2, longest)
        self._tries += 1
        if time.monotonic() + pause > self._end or self._stop.is_set():
            raise error
        log.warning("%s; again in %.1f s", error, pause)
        if self._stop.wait(pause):
            raise error
