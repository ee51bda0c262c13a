"""Downloads the files of a folder, several at once, each in order and resumable."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from llmops_models.errors import GiveUp
from llmops_models.fetch.digest import Digest, Mismatch
from llmops_models.fetch.disk import EarlySync, size_of
from llmops_models.fetch.journal import Journal
from llmops_models.fetch.remote import RemoteFile
from llmops_models.fetch.transfer import Transfer

log = logging.getLogger(__name__)

# With fewer connections than this for each file, a file is one stream: that costs less CPU.
FEW_FILES = 3

Item = TypeVar("Item")
Result = TypeVar("Result")


def fetch_files(
    transfer: Transfer, files: Iterable[RemoteFile], root: Path, journal: Journal
) -> dict[str, dict[str, Any]]:
    """Brings every file below `root`; gives a record (path, size, sha256) for each."""
    done = done_files(journal, root)
    missing = [file for file in files if file.path not in done]
    for folder in {(root / file.path).parent for file in missing}:
        folder.mkdir(parents=True, exist_ok=True)
    large = sum(file.size > transfer.tuning.chunk_bytes for file in missing)
    ahead = transfer.tuning.connections // max(1, large)
    work = partial(_fetch_file, transfer, root=root, journal=journal, ahead=ahead)
    for record in at_once(transfer, work, missing):
        done[record["path"]] = record
    return done


def at_once(
    transfer: Transfer, work: Callable[[Item], Result], items: Iterable[Item]
) -> list[Result]:
    """The results of `work`, on several files at once; the first error stops the transfer."""
    with ThreadPoolExecutor(transfer.tuning.files_at_once, thread_name_prefix="file") as pool:
        tasks = [pool.submit(work, item) for item in items]
        ended, _ = wait(tasks, return_when=FIRST_EXCEPTION)
        failed = next((task for task in ended if task.exception() is not None), None)
        if failed is not None:
            transfer.stop.set()
            pool.shutdown(cancel_futures=True)
        return [task.result() for task in ([failed] if failed is not None else tasks)]


def done_files(journal: Journal, root: Path) -> dict[str, dict[str, Any]]:
    """The records of files that an earlier try has completed and that are still there."""
    return {
        record["path"]: record
        for record in journal.records
        if "path" in record and size_of(root / record["path"]) == record["size"]
    }


def present_bytes(files: Iterable[RemoteFile], root: Path) -> int:
    """Bytes of these files that are on disk already."""
    return sum(min(size_of(root / file.path), file.size) for file in files)


def _fetch_file(
    transfer: Transfer, file: RemoteFile, root: Path, journal: Journal, ahead: int
) -> dict[str, Any]:
    """One file; content that is not as announced is downloaded once more and then given up."""
    path = root / file.path
    # After a crash of the machine an unchecked file may hold what was never written.
    keep = file.ranges and (bool(file.checks) or journal.same_boot)
    try:
        digest = _receive(transfer, file, path, keep, ahead)
    except Mismatch as first:
        log.warning("%s; once more from the beginning", first)
        try:
            digest = _receive(transfer, file, path, False, ahead)
        except Mismatch as second:
            path.unlink(missing_ok=True)
            raise GiveUp(f"{second}, twice: the source is damaged, store it again") from second
    record = {"path": file.path, "size": file.size, "sha256": digest}
    journal.append([record])
    return record


def _receive(transfer: Transfer, file: RemoteFile, path: Path, keep: bool, ahead: int) -> str:
    """Receives what is missing, checks everything and gives the sha256.

    `ahead` is the number of ranges that this file may have under way at once.
    """
    digest = Digest(file.checks, file.size)
    with path.open("r+b" if keep and path.exists() else "wb", buffering=0) as target:
        have = min(target.seek(0, os.SEEK_END), file.size)
        target.truncate(have)
        target.seek(have)
        digest.update_from(path, have)
        early = EarlySync(target.fileno(), have)

        def take(piece: memoryview) -> None:
            digest.update(piece)
            left = piece
            while left:
                left = left[target.write(left) :]
            early.wrote(len(piece))

        if ahead >= FEW_FILES and file.ranges:
            for piece in transfer.stream(file, have, ahead):
                take(piece)
        else:
            transfer.push(file, have, take)
        digest.verify(file.path)
        os.fsync(target.fileno())
    return digest.sha256()
