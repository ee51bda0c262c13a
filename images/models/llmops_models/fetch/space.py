"""Room on the volume."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from llmops_models.errors import GiveUp
from llmops_models.fetch.progress import gib

BLOCK = 4096
# The folder's own entries, the marker and the journal.
RESERVE = 1 << 20


def free_bytes(folder: Path) -> int:
    """What an ordinary user may still write there."""
    info = os.statvfs(folder)
    return info.f_bavail * info.f_frsize


def on_disk(sizes: Iterable[int]) -> int:
    """Bytes that files of these sizes take, in whole blocks."""
    return sum(-(-size // BLOCK) * BLOCK for size in sizes)


def require_space(folder: Path, needed: int, at_least: bool = False) -> None:
    """Raises GiveUp where the volume has less than `needed` bytes free."""
    free = free_bytes(folder)
    if needed + RESERVE > free:
        raise GiveUp(
            f"the volume of {folder} has {gib(free)} GiB free ({free} bytes) and "
            f"{'at least ' if at_least else ''}{gib(needed)} GiB ({needed} bytes) are needed: "
            f"make it larger, or remove what is no longer used"
        )
