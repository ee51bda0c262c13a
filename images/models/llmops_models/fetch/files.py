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
from llmops_models.fetch.journal import Journal
from llmops_models.fetch.remote import RemoteFile
from llmops_models.fetch.transfer import Transfer

log = logging.getLogger(__name__)

SYNCS_AT_ONCE = 8

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
    work = partial(_fetch_file, transfer, root=root, journal=journal)
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
    transfer: Transfer, file: RemoteFile, root: Path, journal: Journal
) -> dict[str, Any]:
    """One file; content that is not as announced is downloaded once more and then given up."""
    path = root / file.path
    # After a crash of the machine an unchecked file may hold what was never written.
    keep = file.ranges and (bool(file.checks) or journal.same_boot)
    try:
        digest = _receive(transfer, file, path, keep)
    except Mismatch as first:
        log.warning("%s; once more from the beginning", first)
        try:
            digest = _receive(transfer, file, path, keep=False)
        except Mismatch as second:
            path.unlink(missing_ok=True)
            raise GiveUp(f"{second}, twice: the source is damaged, store it again") from second
    record = {"path": file.path, "size": file.size, "sha256": digest}
    journal.append([record])
    return record


def _receive(transfer: Transfer, file: RemoteFile, path: Path, keep: bool) -> str:
    """Receives what is missing, checks everything and gives the sha256."""
    digest = Digest(file.checks, file.size)
    with path.open("r+b" if keep and path.exists() else "wb", buffering=0) as target:
        have = min(target.seek(0, os.SEEK_END), file.size)
        target.truncate(have)
        target.seek(have)
        digest.update_from(path, have)
        ahead = max(2, transfer.tuning.connections // transfer.tuning.files_at_once)
        for piece in transfer.stream(file, have, ahead):
            left = piece
            while left:
                left = left[target.write(left) :]
            digest.update(piece)
        digest.verify(file.path)
        os.fsync(target.fileno())
    return digest.sha256()


def sync_files(paths: Iterable[Path]) -> None:
    """Waits until these files are on disk."""
    with ThreadPoolExecutor(SYNCS_AT_ONCE, thread_name_prefix="sync") as pool:
        list(pool.map(sync, paths))


def sync(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def size_of(path: Path) -> int:
    """A file's size, or 0 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
