"""A publish from its beginning to its end."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from llmops_models.errors import GiveUp
from llmops_models.fetch.files import at_once
from llmops_models.fetch.progress import Progress, gib
from llmops_models.fetch.transfer import Transfer
from llmops_models.publish.atomic import write_atomically
from llmops_models.publish.manifest import LocalFile, find_files, read_file
from llmops_models.publish.target import LATEST, Target

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finished:
    """A finished run: its folder, and where the record of its publish goes."""

    run_id: str
    folder: Path
    record: Path
    exclude: tuple[str, ...] = ()


def publish(run: Finished, target: Target, transfer: Transfer, progress: Progress) -> None:
    """Uploads what is missing, then moves `latest`, then writes the record."""
    files = read_files(run, transfer)
    missing = target.missing(run.run_id, files)
    total = sum(file.size for file in files)
    present = total - sum(file.size for file in missing)
    log.info("%d files, %s GiB, %s GiB of it there", len(files), gib(total), gib(present))
    progress.expect(total, present)
    with progress:
        sent = at_once(transfer, lambda file: target.send(run.run_id, file), missing)
    if target.read_text(LATEST) != run.run_id:
        target.write_text(LATEST, run.run_id)
    write_record(run.record, target.uri, run.run_id, files, uploaded=sum(sent))
    log.info("%s/%s is published: %s", target.uri, run.run_id, progress.summary())


def read_files(run: Finished, transfer: Transfer) -> list[LocalFile]:
    """The run's files. Raises GiveUp where there are none."""
    if not run.folder.is_dir():
        raise GiveUp(f"there is no folder {run.folder} to publish")
    own = run.record.resolve()
    found = [each for each in find_files(run.folder, run.exclude) if each[1].resolve() != own]
    if not found:
        raise GiveUp(f"there is nothing to publish in {run.folder}")
    return at_once(transfer, lambda each: read_file(*each, transfer.stop), found)


def write_record(
    record: Path, uri: str, run_id: str, files: Iterable[LocalFile], *, uploaded: int
) -> None:
    """Writes the record, which appears whole. `uploaded` files had their bytes sent."""
    described = [file.record() for file in files]
    content = {
        "uri": f"{uri}/{run_id}",
        "latest": f"{uri}/{LATEST}",
        "runId": run_id,
        "files": described,
        "skipped": len(described) - uploaded,
        "uploaded": uploaded,
    }
    write_atomically(record, json.dumps(content, indent=1) + "\n")
