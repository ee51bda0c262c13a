"""Unpacks an archive while it is received: tar, tar.gz, tar.zst and zip."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmops_models.errors import GiveUp
from llmops_models.fetch.bytestream import Broken, ByteStream
from llmops_models.fetch.digest import Digest, Mismatch
from llmops_models.fetch.journal import Journal
from llmops_models.fetch.kinds import archive_kind
from llmops_models.fetch.remote import RemoteFile
from llmops_models.fetch.tar import DECODERS, unpack_tar
from llmops_models.fetch.transfer import Transfer
from llmops_models.fetch.tree import Tree
from llmops_models.fetch.worker import Worker
from llmops_models.fetch.zip import RangeFile, read_directory, unpack_zip

log = logging.getLogger(__name__)


class Unpacking:
    """One archive on its way into a folder."""

    def __init__(
        self, transfer: Transfer, archive: RemoteFile, root: Path, journal: Journal
    ) -> None:
        self._transfer = transfer
        self._archive = archive
        self._root = root
        self._journal = journal
        self._kind = archive_kind(archive.path)
        # Zip wants its end first. Without ranges the whole file is kept until it is unpacked.
        self._copy = (
            root.with_name("archive") if self._kind == "zip" and not archive.ranges else None
        )
        self._entries = None
        if self._kind == "zip" and self._copy is None:
            try:
                self._entries = read_directory(RangeFile(transfer, archive))
            except Broken as error:
                raise GiveUp(f"{archive.path}: {error}: store the archive again") from error

    def needed_bytes(self) -> tuple[int, bool]:
        """Bytes that unpacking takes, and whether it may be more."""
        if self._entries is not None:
            return sum(entry.file_size for entry in self._entries), False
        return self._archive.size, self._kind != "tar"

    def run(self) -> dict[str, dict[str, Any]]:
        """Unpacks; what is not as announced is downloaded once more and then given up."""
        try:
            return self._unpack(resume=True)
        except (Mismatch, Broken) as first:
            log.warning("%s: %s; once more from the beginning", self._archive.path, first)
        try:
            return self._unpack(resume=False)
        except (Mismatch, Broken) as second:
            raise GiveUp(
                f"{self._archive.path}: {second}, twice: the archive is damaged, store it again"
            ) from second

    def _unpack(self, resume: bool) -> dict[str, dict[str, Any]]:
        with Worker("hash") as hashing, Worker("write") as writing:
            tree = self._tree(resume, writing)
            digest = Digest(self._archive.checks, self._archive.size, tree.state)
            if self._copy is not None:
                self._download(self._copy, digest)
                stream = ByteStream(self._read_copy, users=(writing,))
            else:
                stream = ByteStream(self._receive, digest, tree.offset, hashing, (writing,))
            if self._kind == "zip":
                unpack_zip(stream, self._entries or [], tree, digest)
            else:
                unpack_tar(stream, DECODERS[self._kind or "tar"], tree, digest)
            stream.drain()
            stream.settle()
        digest.verify(self._archive.path)
        tree.sync()
        if self._copy is not None:
            self._copy.unlink()
        return tree.finish()

    def _tree(self, resume: bool, writing: Worker) -> Tree:
        """The folder as the last checkpoint left it, or an empty one."""
        if not resume:
            self._journal.records.clear()
        tuning, size = self._transfer.tuning, self._archive.size
        tree = Tree(self._root, size, tuning, self._journal, writing)
        resumable = self._kind in ("tar", "zip") and self._archive.ranges
        if resume and resumable and (tree.offset > 0 or self._journal.same_boot):
            return tree
        self._journal.records.clear()
        self._journal.append([{"next": 0, "state": ""}])
        shutil.rmtree(self._root)
        self._root.mkdir()
        return Tree(self._root, size, tuning, self._journal, writing)

    def _receive(self, start: int) -> Iterator[memoryview]:
        return self._transfer.stream(
            self._archive, start, ahead=self._transfer.tuning.connections + 2
        )

    def _download(self, copy: Path, digest: Digest) -> None:
        """Brings the whole archive, and reads its directory."""
        with copy.open("wb") as file:
            for piece in self._receive(0):
                file.write(piece)
                digest.update(piece)
        with copy.open("rb") as file:
            self._entries = read_directory(file)

    def _read_copy(self, start: int) -> Iterator[memoryview]:
        assert self._copy is not None
        with self._copy.open("rb") as file:
            file.seek(start)
            while data := file.read(1 << 20):
                yield memoryview(data)
