"""Upload sessions that a killed publish has begun, so that the next one goes on inside a file.

Whoever knows a session's address may write that one object: the file has mode 0600, and an address
is never printed.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from pathlib import Path

from llmops_models.publish.atomic import write_atomically
from llmops_models.publish.manifest import LocalFile


class Sessions:
    """Paths (with query) of open sessions, by object and content. Safe for many threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        try:
            kept = json.loads(path.read_text())
        except (FileNotFoundError, ValueError):
            kept = {}
        self._kept: dict[str, str] = kept if isinstance(kept, dict) else {}

    def get(self, place: str, file: LocalFile) -> str:
        """The session of an object with just this content, or an empty text."""
        return str(self._kept.get(_key(place, file), ""))

    def keep(self, place: str, file: LocalFile, session: str) -> None:
        """Keeps a session; an empty one is forgotten."""
        with self._lock:
            if session:
                self._kept[_key(place, file)] = session
            else:
                self._kept.pop(_key(place, file), None)
            self._save()

    def retain(self, wanted: Iterable[tuple[str, LocalFile]]) -> None:
        """Forgets all sessions but those of these objects."""
        keys = {_key(place, file) for place, file in wanted}
        with self._lock:
            self._kept = {key: each for key, each in self._kept.items() if key in keys}
            self._save()

    def _save(self) -> None:
        if self._kept:
            write_atomically(self._path, json.dumps(self._kept))
        else:
            self._path.unlink(missing_ok=True)


def _key(place: str, file: LocalFile) -> str:
    return f"{place} {file.size} {file.sha256}"
