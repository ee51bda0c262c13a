"""One worker at a time on a volume that several pods, maybe on several nodes, have mounted.

The lease is a file that is created complete and locked (link of a locked file). On one kernel the
lock tells at once whether the holder lives. Between kernels, where locks may not reach, the holder
touches the file; who waits judges its age by the file system's own clock and watches it for a few
heartbeats, so that a wrong clock on either side takes no lease from a living holder.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from llmops_models.errors import Retry
from llmops_models.fetch.disk import unique
from llmops_models.fetch.journal import boot_id
from llmops_models.fetch.stopping import Stop
from llmops_models.fetch.tuning import Tuning

log = logging.getLogger(__name__)

POLL_SECONDS = 0.2
# An old lease must stay untouched for so many heartbeats before it is taken.
CONFIRMING_BEATS = 3


class Lease:
    """Held from :meth:`acquire` to the end of the context."""

    def __init__(self, path: Path, tuning: Tuning, stop: Stop) -> None:
        self._path = path
        self._tuning = tuning
        self._stop = stop
        self._token = unique()
        self._handle: int | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)

    def acquire(self, done: Callable[[], bool]) -> bool:
        """Waits for the lease; gives False as soon as `done` says that the work is done."""
        watched = _Watch(self._path, self._tuning)
        told = False
        while not done():
            if self._create():
                self._thread.start()
                return True
            if watched.holder_is_dead():
                self._remove_dead(watched.token)
                continue
            if not told:
                log.info("another process is fetching this model: waiting for it")
                told = True
            if self._stop.wait(POLL_SECONDS):
                raise Retry("stopped while waiting for another process")
        return False

    def check(self) -> None:
        """Raises Retry where another process has taken the lease."""
        if read_holder(self._path).get("token") != self._token:
            raise Retry("another process has taken over this download")

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._handle is None:
            return
        self._thread.join()
        if read_holder(self._path).get("token") == self._token:
            self._path.unlink(missing_ok=True)
        os.close(self._handle)

    def _create(self) -> bool:
        """Puts the lease in place, unless one is there."""
        draft = self._path.with_name(f"{self._path.name}.{self._token}")
        handle = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            locked = lock(handle)
            holder = {"token": self._token, "boot": boot_id() if locked else ""}
            os.write(handle, json.dumps(holder).encode())
            os.link(draft, self._path)
        except FileExistsError:
            os.close(handle)
            return False
        finally:
            draft.unlink()
        self._handle = handle
        return True

    def _remove_dead(self, token: str) -> None:
        """Takes a dead holder's lease away, and nobody else's."""
        grave = self._path.with_name(f"{self._path.name}.{unique()}")
        try:
            self._path.rename(grave)
        except FileNotFoundError:
            return
        if read_holder(grave).get("token") == token:
            log.warning("the process that was fetching this model is gone: going on from there")
        else:  # Someone else was quicker, and this is already the new lease.
            with suppress(FileExistsError):
                os.link(grave, self._path)
        grave.unlink()

    def _beat(self) -> None:
        while not self._ended.wait(self._tuning.heartbeat_seconds):
            if self._handle is not None:
                os.utime(self._handle)


class _Watch:
    """What is known of another's lease by looking at it again and again."""

    def __init__(self, path: Path, tuning: Tuning) -> None:
        self._path = path
        self._tuning = tuning
        self._seen: tuple[str, int] | None = None
        self._since = time.monotonic()
        self.token = ""

    def holder_is_dead(self) -> bool:
        """Whether the lease may be taken away; `token` then says whose it was."""
        try:
            handle = os.open(self._path, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            holder = read_holder(self._path)
            self.token = holder.get("token", "")
            if holder.get("boot") == boot_id() != "":
                return lock(handle)
            return self._is_stale(self.token, os.fstat(handle).st_mtime_ns)
        finally:
            os.close(handle)

    def _is_stale(self, token: str, touched: int) -> bool:
        if self._seen != (token, touched):
            self._seen = (token, touched)
            self._since = time.monotonic()
        unchanged = time.monotonic() - self._since
        if unchanged >= self._tuning.stale_seconds:
            return True
        if unchanged < CONFIRMING_BEATS * self._tuning.heartbeat_seconds:
            return False
        return (self._clock() - touched) / 1e9 >= self._tuning.stale_seconds

    def _clock(self) -> int:
        """What the file system takes for now, in nanoseconds."""
        probe = self._path.with_name(f"{self._path.name}.{unique()}")
        probe.touch()
        try:
            return probe.stat().st_mtime_ns
        finally:
            probe.unlink()


def lock(handle: int) -> bool:
    """Locks an open file; gives False where another has it locked or locks do not work."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def read_holder(path: Path) -> dict[str, str]:
    """Who holds a lease; empty where it is gone."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
