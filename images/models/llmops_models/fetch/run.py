"""A fetch from its beginning to its end."""

from __future__ import annotations

import dataclasses
import errno
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmops_models.errors import Failure, GiveUp, Retry
from llmops_models.fetch.lease import Lease
from llmops_models.fetch.progress import Progress, gib
from llmops_models.fetch.remote import Listing, Source
from llmops_models.fetch.space import free_bytes, on_disk, require_space
from llmops_models.fetch.stopping import Stop
from llmops_models.fetch.store import Store
from llmops_models.fetch.tuning import Tuning

if TYPE_CHECKING:
    from llmops_models.fetch.transfer import Transfer

log = logging.getLogger(__name__)

# How long a repository that is away is asked where a complete copy is on the volume.
ASK_SECONDS = 30.0


def fetch(source: Source, to: Path, tuning: Tuning, stop: Stop) -> None:
    """Makes `to` a link to a complete copy of the source. Raises Retry or GiveUp."""
    store = Store(to)
    if source.pinned and store.is_current(source.fingerprint(None)):
        log.info("%s is complete", to)
        return
    try:
        _Fetch(source, store, tuning, stop).run()
    except OSError as error:
        raise explain(error, store.link.parent) from error


class _Fetch:
    def __init__(self, source: Source, store: Store, tuning: Tuning, stop: Stop) -> None:
        self._source, self._store, self._tuning, self._stop = source, store, tuning, stop
        self._progress = Progress(tuning.progress_seconds)
        self._transfer = self._new_transfer(tuning)

    def _new_transfer(self, tuning: Tuning) -> Transfer:
        from llmops_models.fetch.transfer import Transfer

        return Transfer(self._source.credentials, tuning, self._progress, self._stop)

    def run(self) -> None:
        """Asks, downloads and publishes."""
        try:
            listing = None if self._source.pinned else self._ask()
            if not self._source.pinned and listing is None:
                return
            self._bring(listing)
        finally:
            self._transfer.close()

    def _ask(self) -> Listing | None:
        """What the repository has; None where it is away and a complete copy serves."""
        source, store = self._source, self._store
        if store.shown_source() != source.description:
            return source.list(self._transfer)
        short = dataclasses.replace(
            self._tuning, retry_seconds=min(ASK_SECONDS, self._tuning.retry_seconds)
        )
        asking = self._new_transfer(short)
        try:
            return source.list(asking)
        except Retry as error:
            log.warning("%s; the complete copy at %s is used as it is", error, store.link)
            return None

    def _bring(self, listing: Listing | None) -> None:
        source, store = self._source, self._store
        fingerprint = source.fingerprint(listing)
        if store.is_current(fingerprint):
            log.info("%s is complete", store.link)
            return
        store.prepare()
        with Lease(store.lease, self._tuning, self._stop) as lease:
            if not lease.acquire(done=lambda: store.is_current(fingerprint)):
                log.info("%s is complete: another process has brought it", store.link)
                return
            if store.show_complete(fingerprint):
                log.info("%s is complete", store.link)
                return
            listing = listing or source.list(self._transfer)
            files, root = self._download(listing, fingerprint)
            source.content.require(root)
            lease.check()
            store.publish(root, fingerprint, source.description, files)
        log.info("%s is complete: %s", store.link, self._progress.summary())

    def _download(self, listing: Listing, fingerprint: str) -> tuple[list[dict[str, Any]], Path]:
        """Brings everything into the partial folder; gives the records and the wanted folder."""
        store = self._store
        journal = store.begin(fingerprint)
        try:
            if listing.archive is None:
                records = self._download_files(listing, journal)
            else:
                records = self._download_archive(listing, journal)
        finally:
            journal.close()
        content = self._source.content
        records |= content.add(store.files)
        root = content.strip_top(store.files)
        top = root.relative_to(store.files)
        return [
            record | {"path": str(Path(record["path"]).relative_to(top))}
            for record in records.values()
        ], root

    def _download_files(self, listing: Listing, journal: Any) -> dict[str, dict[str, Any]]:
        from llmops_models.fetch.files import fetch_files, present_bytes

        root = self._store.files
        total = sum(file.size for file in listing.files)
        present = present_bytes(listing.files, root)
        require_space(root, max(0, on_disk(file.size for file in listing.files) - present))
        log.info(
            "%d files, %s GiB, %s GiB of it here", len(listing.files), gib(total), gib(present)
        )
        self._progress.expect(total, present)
        with self._progress:
            return fetch_files(self._transfer, listing.files, root, journal)

    def _download_archive(self, listing: Listing, journal: Any) -> dict[str, dict[str, Any]]:
        from llmops_models.fetch.archive import Unpacking

        assert listing.archive is not None
        root = self._store.files
        unpacking = Unpacking(self._transfer, listing.archive, root, journal)
        needed, at_least = unpacking.needed_bytes()
        present = on_disk(path.stat().st_size for path in root.rglob("*") if path.is_file())
        require_space(root, max(0, needed - present), at_least)
        log.info("%s, %s GiB", listing.archive.path, gib(listing.archive.size))
        self._progress.expect(listing.archive.size, 0)
        with self._progress:
            return unpacking.run()


def explain(error: OSError, volume: Path) -> Failure:
    """What a fault of the volume means and what to do about it."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        while not volume.exists():
            volume = volume.parent
        return GiveUp(
            f"the volume of {volume} is full ({gib(free_bytes(volume))} GiB free): make it larger, "
            f"or remove what is no longer used"
        )
    if error.errno == errno.EROFS:
        return GiveUp(f"the volume of {volume} is read-only: mount it writable where it is filled")
    if error.errno in (errno.EACCES, errno.EPERM):
        return GiveUp(
            f"user {os.getuid()} may not write to the volume of {volume}: {error}; "
            f"set the pod's fsGroup, or change the folder's owner"
        )
    if error.errno in (errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EINVAL, errno.EILSEQ):
        return GiveUp(f"the volume of {volume} cannot hold a file of the source: {error}")
    return Retry(f"the volume of {volume} does not work: {error}")
