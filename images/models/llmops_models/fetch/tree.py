"""Writes what an archive holds below one folder, and nothing anywhere else."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from llmops_models.errors import GiveUp
from llmops_models.fetch.bytestream import ByteStream
from llmops_models.fetch.digest import Digest
from llmops_models.fetch.disk import EarlySync, sync_files
from llmops_models.fetch.journal import Journal
from llmops_models.fetch.space import require_space
from llmops_models.fetch.tuning import Tuning
from llmops_models.fetch.worker import Worker


class Member:
    """A file that is being written; `have` bytes of it are on disk from an earlier try."""

    def __init__(self, path: Path, name: str, size: int, keep: bool, writing: Worker) -> None:
        self._writing = writing
        self.path, self.name, self.size = path, name, size
        self._file = path.open("r+b" if keep and path.exists() else "wb", buffering=0)
        self.have = min(self._file.seek(0, os.SEEK_END), size)
        self._file.truncate(self.have)
        self._file.seek(self.have)
        self._digest = Digest({}, size)
        self._digest.update_from(path, self.have)
        self._early = EarlySync(self._file.fileno(), self.have)

    def restart(self) -> None:
        """Forgets what is on disk."""
        self.have = 0
        self._file.truncate(0)
        self._file.seek(0)
        self._digest = Digest({}, self.size)
        self._early = EarlySync(self._file.fileno(), 0)

    def write(self, data: bytes | memoryview) -> None:
        """Has data written and hashed; a memoryview must stay as it is until `writing` settles."""
        self._writing.submit(self._write, data)

    def _write(self, data: bytes | memoryview) -> None:
        self._digest.update(data)
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]
        self._early.wrote(len(data))

    def close(self) -> dict[str, Any]:
        """Ends the file and gives its record."""
        self._writing.settle()
        self._file.close()
        return {"path": self.name, "size": self.size, "sha256": self._digest.sha256()}


class Tree:
    """The folder, its limits and its records. Links are made last, so that nothing is written
    through one."""

    def __init__(
        self, root: Path, archive_size: int, tuning: Tuning, journal: Journal, writing: Worker
    ) -> None:
        self.root = root
        self._writing = writing
        self.offset = 0
        self.state = ""
        self.files: dict[str, dict[str, Any]] = {}
        self._links: dict[str, dict[str, Any]] = {}
        self._folders: set[str] = set()
        self._tuning = tuning
        self._journal = journal
        self._new: list[Mapping[str, Any]] = []
        self._budget = max(tuning.bomb_floor_bytes, archive_size * tuning.bomb_ratio)
        self._spent = 0
        self._checked = time.monotonic()
        self._keep = journal.same_boot
        # To go on inside a file costs a new request and what was received ahead.
        self.worth_replaying = tuning.chunk_bytes
        self._resume()

    def _resume(self) -> None:
        """Goes on from the last checkpoint."""
        last = max(
            (i for i, each in enumerate(self._journal.records) if "next" in each), default=-1
        )
        for record in self._journal.records[: last + 1]:
            if "next" in record:
                self.offset, self.state = int(record["next"]), str(record["state"])
                if self.offset == 0:  # Here an earlier try began anew.
                    self.files.clear()
                    self._links.clear()
            elif "link" in record:
                self._links[record["link"]] = record
            else:
                self.files[record["path"]] = record

        for name in (*self.files, *self._links):
            self._claim_folders(name.split("/")[:-1])

    def spend(self, count: int) -> None:
        """Counts unpacked bytes. Raises GiveUp where an archive of this size should have fewer."""
        self._spent += count
        if self._spent > self._budget:
            raise GiveUp(
                f"the archive unpacks to more than {self._budget} bytes, too many for its size: "
                f"it is refused as a decompression bomb"
            )

    def open(self, name: str, size: int) -> Member:
        """Begins a file. Raises GiveUp for a name that is not allowed, or where it has no room."""
        path, clean = self._place(name)
        if size > 0:
            require_space(self.root, size)
        path.parent.mkdir(parents=True, exist_ok=True)
        return Member(path, clean, size, self._keep, self._writing)

    def close(self, member: Member) -> None:
        record = member.close()
        self.files[member.name] = record
        self._new.append(record)

    def add_folder(self, name: str) -> None:
        parts = clean_parts(name)
        if parts:
            self._claim_folders(parts)
            self.root.joinpath(*parts).mkdir(parents=True, exist_ok=True)

    def add_link(self, name: str, target: str, hard: bool) -> None:
        """Notes a link. A hard link's target is named from the root, as tar does."""
        _, clean = self._place(name)
        base = PurePosixPath() if hard else PurePosixPath(clean).parent
        if target.startswith("/") or leaves(base, target):
            raise GiveUp(f"the archive's link {name!r} leads out of its folder, to {target!r}")
        record = {"link": clean, "target": target, "hard": hard}
        self._links[clean] = record
        self._new.append(record)

    def checkpoint(self, stream: ByteStream, digest: Digest) -> None:
        """Writes down that all of the archive before here is done, every few seconds."""
        if time.monotonic() - self._checked < self._tuning.checkpoint_seconds:
            return
        stream.settle()
        offset, state = stream.tell(), digest.state
        if not state:
            return
        self.sync()
        self._journal.append([*self._new, {"next": offset, "state": state}])
        self._new.clear()
        self._checked = time.monotonic()

    def sync(self) -> None:
        """Brings new files to the disk."""
        sync_files(self.root / each["path"] for each in self._new if "path" in each)

    def finish(self) -> dict[str, dict[str, Any]]:
        """Makes the links and gives a record for every file."""
        for name, record in sorted(self._links.items()):
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            if record["hard"]:
                target = self.root.joinpath(*clean_parts(record["target"]))
                if target.is_symlink() or not target.is_file():
                    raise GiveUp(f"the archive's link {name!r} leads to no file of the archive")
                os.link(target, path)
                self.files[name] = self.files[str(target.relative_to(self.root))] | {"path": name}
            else:
                path.symlink_to(record["target"])
        root = self.root.resolve()
        for name, record in self._links.items():
            path = (self.root / name).resolve()
            if not path.exists() or not path.is_relative_to(root):
                raise GiveUp(f"the archive's link {name!r} leads to nothing: {record['target']!r}")
        return self.files

    def _place(self, name: str) -> tuple[Path, str]:
        parts = clean_parts(name)
        if not parts:
            raise GiveUp(f"the archive has a file without a name: {name!r}")
        clean = "/".join(parts)
        self._claim_folders(parts[:-1])
        if clean in self.files or clean in self._links or clean in self._folders:
            raise GiveUp(f"the archive holds {clean!r} twice")
        if len(self.files) + len(self._links) >= self._tuning.max_files:
            raise GiveUp(f"the archive holds more than {self._tuning.max_files} files")
        return self.root.joinpath(*parts), clean

    def _claim_folders(self, parts: list[str]) -> None:
        """Notes a folder and those above it. Raises GiveUp where one is a file or a link."""
        for length in range(len(parts), 0, -1):
            folder = "/".join(parts[:length])
            if folder in self._folders:
                return
            if folder in self.files or folder in self._links:
                raise GiveUp(
                    f"the archive holds {folder!r} twice: as a folder, and as something else"
                )
            self._folders.add(folder)


def clean_parts(name: str) -> list[str]:
    """The parts of a name inside the folder. Raises GiveUp for any that could lie outside it."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
        raise GiveUp(f"the archive is refused: the name {name!r} could lie outside its folder")
    return parts


def leaves(base: PurePosixPath, target: str) -> bool:
    """Whether a relative link target goes above the root."""
    depth = len(base.parts)
    for part in target.split("/"):
        if part == "..":
            depth -= 1
        elif part not in ("", "."):
            depth += 1
        if depth < 0:
            return True
    return False
