"""The files of a finished model, with their checksums."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from llmops_models.errors import GiveUp, Retry
from llmops_models.fetch.digest import BLOCK, Crc32c
from llmops_models.fetch.progress import Progress
from llmops_models.fetch.stopping import Stop


@dataclass(frozen=True)
class LocalFile:
    """One file, `size` bytes long; `path` is below the folder, the digests are hexadecimal."""

    path: str
    file: Path
    size: int
    sha256: str
    sha1: str
    crc32c: str

    @property
    def crc32c_base64(self) -> str:
        """As Cloud Storage writes it."""
        return base64.b64encode(bytes.fromhex(self.crc32c)).decode()

    def record(self) -> dict[str, Any]:
        """What the record of a publish says of it."""
        return {"path": self.path, "size": self.size, "sha256": self.sha256}


class FileBody:
    """The bytes of a file from `start` on, for one request."""

    def __init__(self, file: LocalFile, start: int, progress: Progress) -> None:
        self.size = file.size - start
        self._name = file.path
        self._start = start
        self._left = self.size
        self._progress = progress
        self._file = file.file.open("rb", buffering=0)

    def seek(self, place: int) -> None:
        self._file.seek(self._start + place)
        self._left = self.size - place

    def read(self, count: int) -> bytes:
        data = self._file.read(min(count, self._left))
        if not data and self._left > 0:
            raise GiveUp(f"{self._name} became shorter while it was published")
        self._left -= len(data)
        self._progress.add(len(data))
        return data

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> FileBody:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def find_files(folder: Path, exclude: Iterable[str]) -> Iterator[tuple[str, Path]]:
    """Paths of the files below a folder, in order.

    Hidden and partial ones are left out, and names (of files or folders) that match a pattern.
    """
    patterns = (".*", "*.partial", *exclude)

    def wanted(name: str) -> bool:
        return not any(fnmatch(name, pattern) for pattern in patterns)

    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(filter(wanted, folders))
        for name in sorted(filter(wanted, names)):
            path = Path(parent, name)
            yield path.relative_to(folder).as_posix(), path


def read_file(path: str, file: Path, stop: Stop) -> LocalFile:
    """Reads a file once for all its checksums. Raises Retry where it is stopped."""
    sha256, sha1 = hashlib.sha256(), hashlib.sha1(usedforsecurity=False)
    crc32c, size = Crc32c(), 0
    with file.open("rb", buffering=0) as opened:
        while data := opened.read(BLOCK):
            if stop.is_set():
                raise Retry("stopped")
            size += len(data)
            for digest in (sha256, sha1, crc32c):
                digest.update(data)
    return LocalFile(path, file, size, sha256.hexdigest(), sha1.hexdigest(), crc32c.hexdigest())
