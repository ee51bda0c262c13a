"""Versions of a model on a volume: made beside, shown by one rename, the previous one kept.

<parent>/<name>                               link to the version that readers see
<parent>/.versions/<name>/<fingerprint>/      complete versions, each with its marker
<parent>/.versions/<name>/.partial/           journal and files of the one that is being made
<parent>/.versions/<name>/.lease              who makes it (see lease.py)
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from llmops_models.errors import GiveUp
from llmops_models.fetch.disk import size_of, sync, unique
from llmops_models.fetch.journal import Journal

log = logging.getLogger(__name__)

MARKER = ".llmops.json"
FORMAT = 1


class Store:
    """The versions behind one link."""

    def __init__(self, link: Path) -> None:
        self.link = link.absolute()
        self.versions = self.link.parent / ".versions" / self.link.name
        self.partial = self.versions / ".partial"
        self.files = self.partial / "files"
        self.lease = self.versions / ".lease"

    def is_current(self, fingerprint: str) -> bool:
        """Whether readers see this version, complete. Reads names and sizes only."""
        shown = self._shown()
        return shown is not None and shown.name == fingerprint and is_complete(shown, fingerprint)

    def shown_source(self) -> Mapping[str, Any] | None:
        """The source of the complete version that readers see."""
        shown = self._shown()
        if shown is None or not is_complete(shown, shown.name):
            return None
        return read_marker(shown).get("source")

    def prepare(self) -> None:
        """Makes the folders. Raises GiveUp where the link's place is taken."""
        if self.link.exists() and not self.link.is_symlink():
            raise GiveUp(
                f"{self.link} is there and was not made by this downloader: "
                f"remove it, or name another folder"
            )
        self.versions.mkdir(parents=True, exist_ok=True)

    def begin(self, fingerprint: str) -> Journal:
        """Goes on with a partial version, or removes what is left of another one."""
        self._remove_garbage()
        self.partial.mkdir(exist_ok=True)
        journal = Journal(self.partial / "journal", fingerprint)
        if not journal.resumed:
            shutil.rmtree(self.files, ignore_errors=True)
        self.files.mkdir(exist_ok=True)
        return journal

    def show_complete(self, fingerprint: str) -> bool:
        """Shows a version that is complete already; gives whether there is one."""
        version = self.versions / fingerprint
        if not is_complete(version, fingerprint):
            return False
        self._show(version)
        return True

    def publish(
        self,
        root: Path,
        fingerprint: str,
        source: Mapping[str, Any],
        files: Iterable[Mapping[str, Any]],
    ) -> Path:
        """Marks `root`, a folder of the partial version, as complete and shows it."""
        listed = sorted(files, key=lambda each: str(each["path"]))
        write_marker(root, fingerprint, source, listed)
        version = self.versions / fingerprint
        if version.exists():  # Its files are not what its marker says.
            version.rename(self.versions / f".damaged-{unique()[:8]}")
        root.rename(version)
        sync(self.versions)
        self._show(version)
        shutil.rmtree(self.partial)
        return version

    def _show(self, version: Path) -> None:
        """Turns the link, and then removes all versions but this and the one before."""
        before = self._shown()
        if before != version:
            fresh = self.link.with_name(f".{self.link.name}.{unique()[:8]}")
            fresh.symlink_to(os.path.relpath(version, self.link.parent))
            fresh.replace(self.link)
            sync(self.link.parent)
            kept = {version, before}
            for other in self.versions.iterdir():
                if other.is_dir() and not other.name.startswith(".") and other not in kept:
                    shutil.rmtree(other)
        self._remove_garbage()

    def _remove_garbage(self) -> None:
        """Removes what a killed process has left."""
        for each in self.link.parent.glob(f".{self.link.name}.????????"):
            if each.is_symlink():
                each.unlink()
        for each in self.versions.glob(".damaged-*"):
            shutil.rmtree(each)

    def _shown(self) -> Path | None:
        """The version folder that the link leads to."""
        try:
            target = os.readlink(self.link)
        except OSError:
            return None
        return self.versions / Path(target).name


def is_complete(version: Path, fingerprint: str) -> bool:
    """Whether a folder has its marker and every file that the marker lists, in its size."""
    marker = read_marker(version)
    if marker.get("format") != FORMAT or marker.get("fingerprint") != fingerprint:
        return False
    return all(
        size_of(version / each["path"]) == each["size"] and (version / each["path"]).exists()
        for each in marker["files"]
    )


def read_marker(version: Path) -> dict[str, Any]:
    """The marker's content; empty where there is none."""
    try:
        content = json.loads((version / MARKER).read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write_marker(
    root: Path, fingerprint: str, source: Mapping[str, Any], files: list[Mapping[str, Any]]
) -> None:
    """Writes the manifest; it is on disk, as are all names, when this returns."""
    for folder in {(root / each["path"]).parent for each in files}:
        sync(folder)
    marker = {
        "format": FORMAT,
        "fingerprint": fingerprint,
        "source": dict(source),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": files,
    }
    path = root / MARKER
    path.write_text(json.dumps(marker, indent=1) + "\n")
    sync(path)
    sync(root)
