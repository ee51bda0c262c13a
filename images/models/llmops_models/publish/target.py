"""What the repositories have in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from llmops_models.errors import GiveUp
from llmops_models.publish.manifest import LocalFile

LATEST = "latest"


class Target(Protocol):
    """A repository's folder. Paths are below it. Requests raise Retry or GiveUp."""

    @property
    def uri(self) -> str:
        """The folder's address without credentials."""

    def missing(self, folder: str, files: Iterable[LocalFile]) -> list[LocalFile]:
        """Those that the repository does not have below `folder` with the same checksum."""

    def send(self, folder: str, file: LocalFile) -> bool:
        """Stores a file and compares checksums; False where no bytes had to be sent."""

    def read_text(self, path: str) -> str | None:
        """A small text object, or None where there is none."""

    def write_text(self, path: str, text: str) -> None:
        """Stores a small text object in one step."""


def require_run_id(run_id: str) -> str:
    """Raises GiveUp for a run id that could not be the name of a folder beside `latest`."""
    if run_id in ("", ".", "..", LATEST) or not all(
        each.isascii() and (each.isalnum() or each in "._-") for each in run_id
    ):
        raise GiveUp(f"{run_id!r} cannot be a run id: give letters, digits, '.', '_' and '-'")
    return run_id
