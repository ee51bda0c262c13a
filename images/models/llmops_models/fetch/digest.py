"""Checksums while the bytes go by: sha256 always, the repository's own where it has none."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmops_models.errors import Retry
from llmops_models.fetch.sha256 import Sha256

# The order of preference where a repository states several and no sha256.
OTHERS = ("crc32c", "git-sha1", "sha1", "md5")
BLOCK = 1 << 20
SHA256 = re.compile(r"[0-9a-f]{64}")


class Mismatch(Retry):
    """The content is not what was announced: worth one more download, not more."""


class Digest:
    """Digests of one file or archive, `size` bytes long."""

    def __init__(self, checks: Mapping[str, str], size: int, state: str = "") -> None:
        """`state` continues an earlier digest (see :meth:`state`)."""
        self._checks = checks
        self._sha256 = Sha256(state)
        self._other: Any = None
        self._name = next((name for name in OTHERS if name in checks), "")
        if "sha256" not in checks and self._name:
            self._other = new_digest(self._name, size)

    def update(self, data: bytes | memoryview) -> None:
        self._sha256.update(data)
        if self._other is not None:
            self._other.update(data)

    def update_from(self, path: Path, length: int) -> None:
        """Takes the first `length` bytes of a file."""
        with path.open("rb", buffering=0) as file:
            while length > 0:
                data = file.read(min(BLOCK, length))
                if not data:
                    raise OSError(f"{path} became shorter while it was read")
                self.update(data)
                length -= len(data)

    def sha256(self) -> str:
        return self._sha256.hexdigest()

    @property
    def state(self) -> str:
        """What an archive's digest goes on from after a restart; empty where it cannot."""
        return "" if self._other is not None else self._sha256.state

    def verify(self, what: str) -> None:
        """Raises Mismatch where the content differs from what was announced."""
        for name, got in (("sha256", self.sha256), (self._name, self._other_digest)):
            expected = self._checks.get(name, "").lower()
            if expected and (name == "sha256" or self._other is not None) and got() != expected:
                raise Mismatch(f"{what}: {name} is {got()} and should be {expected}")

    def _other_digest(self) -> str:
        return str(self._other.hexdigest())


def new_digest(name: str, size: int) -> Any:
    """An object with `update` and `hexdigest`."""
    if name == "crc32c":
        return Crc32c()
    if name == "git-sha1":
        return hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
    return hashlib.new(name, usedforsecurity=False)


class Crc32c:
    """Cloud Storage's checksum; every object there has it, and it costs next to nothing."""

    def __init__(self) -> None:
        import google_crc32c

        self._extend = google_crc32c.extend
        self._value = 0

    def update(self, data: bytes | memoryview) -> None:
        self._value = self._extend(self._value, bytes(data))

    def hexdigest(self) -> str:
        return f"{self._value:08x}"
