"""Files on the volume: their sizes, and when their bytes are on the disk."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

SYNCS_AT_ONCE = 8
# Bytes after which the disk is told to begin.
SYNC_STEP = 8 << 20
# Of sync_file_range(2): begin to write what is not on disk yet, and do not wait for it.
BEGIN = 2


def unique() -> str:
    """A part of a name that nothing else has."""
    return os.urandom(16).hex()


def size_of(path: Path) -> int:
    """A file's size, or 0 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def sync(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_files(paths: Iterable[Path]) -> None:
    """Waits until these files are on disk."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(SYNCS_AT_ONCE, thread_name_prefix="sync") as pool:
        list(pool.map(sync, paths))


@cache
def _sync_file_range() -> Any:
    """The function of the C library, or None."""
    try:
        function = ctypes.CDLL(None).sync_file_range
    except (OSError, AttributeError):
        return None
    function.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
    return function


class EarlySync:
    """Has a file's bytes written to the disk while others are received: `fsync` then waits less.

    It promises nothing, so that a volume which cannot do it makes no fault.
    """

    def __init__(self, handle: int, place: int) -> None:
        """For what is written to the open file `handle` from `place` on."""
        self._handle = handle
        self._begun = self._place = place
        self._function = _sync_file_range()

    def wrote(self, count: int) -> None:
        """Says that so many more bytes were written."""
        self._place += count
        if self._function is not None and self._place - self._begun >= SYNC_STEP:
            self._function(self._handle, self._begun, self._place - self._begun, BEGIN)
            self._begun = self._place
