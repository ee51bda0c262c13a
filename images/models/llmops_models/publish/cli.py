"""The arguments of `publish`."""

from __future__ import annotations

import argparse
import dataclasses
import os
from pathlib import Path
from typing import Any

from llmops_models.fetch.cli import add_bucket
from llmops_models.fetch.progress import Progress
from llmops_models.fetch.stopping import Stop
from llmops_models.fetch.tuning import load_tuning


def add_arguments(commands: Any) -> None:
    """Adds `publish gcs|artifactory` to the parser's commands."""
    parser = commands.add_parser("publish", help="take a finished model to a repository")
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")

    gcs = kinds.add_parser("gcs", help="a folder in Cloud Storage")
    add_bucket(gcs)

    artifactory = kinds.add_parser("artifactory", help="a folder in Artifactory")
    artifactory.add_argument("--path", required=True, metavar="PATH")

    for kind in (gcs, artifactory):
        kind.add_argument("--run", required=True, metavar="RUN_ID")
        kind.add_argument("--folder", required=True, type=Path)
        kind.add_argument("--record", required=True, type=Path, metavar="FILE")
        kind.add_argument("--exclude", action="append", default=[], metavar="NAME_PATTERN")


def run(options: argparse.Namespace) -> int:
    """Runs `publish` to its end. Raises Retry or GiveUp."""
    from llmops_models.fetch.transfer import Transfer
    from llmops_models.publish.run import Finished, publish
    from llmops_models.publish.target import Target, require_run_id

    stop = Stop.on_signals()
    tuning = load_tuning(os.environ)
    # Sent bytes count as speed, and so does nothing while a server stores what it has got.
    tuning = dataclasses.replace(tuning, low_speed_seconds=tuning.upload_silence_seconds)
    progress = Progress(tuning.progress_seconds)
    finished = Finished(
        require_run_id(options.run), options.folder, options.record, tuple(options.exclude)
    )

    if options.kind == "gcs":
        from llmops_models.publish.gcs import GcsTarget, credentials
        from llmops_models.publish.sessions import Sessions

        transfer = Transfer(credentials(options.anonymous), tuning, progress, stop)
        sessions = Sessions(options.record.with_name(f".{options.record.name}.sessions"))
        target: Target = GcsTarget(transfer, options.endpoint, options.uri, sessions)
    else:
        from llmops_models.auth import artifactory
        from llmops_models.publish.artifactory import ArtifactoryTarget

        repository = artifactory(os.environ)
        transfer = Transfer(repository.credentials, tuning, progress, stop)
        target = ArtifactoryTarget(transfer, repository.url, options.path)
    try:
        publish(finished, target, transfer, progress)
    finally:
        transfer.close()
    return 0
