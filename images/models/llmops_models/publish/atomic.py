"""Files that are either whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

from llmops_models.fetch.disk import sync


def write_atomically(path: Path, text: str) -> None:
    """Replaces a file's content at once, also when the machine stops half-way. Mode 0600."""
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    sync(path.parent)
