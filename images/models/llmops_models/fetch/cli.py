"""The arguments of `fetch`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_arguments(commands: Any) -> None:
    """Adds `fetch huggingface|gcs|artifactory` to the parser's commands."""
    parser = commands.add_parser("fetch", help="bring a model to a volume")
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")

    hub = kinds.add_parser("huggingface", help="a model of the Hugging Face hub or its mirror")
    hub.add_argument("--id", required=True, metavar="OWNER/NAME")
    hub.add_argument("--revision", required=True, metavar="SHA", help="a commit, or a name")
    hub.add_argument("--endpoint", default="https://huggingface.co", metavar="URL")
    hub.add_argument("--allow", action="append", default=[], metavar="PATTERN")

    gcs = kinds.add_parser("gcs", help="a folder or an archive in Cloud Storage")
    gcs.add_argument("--uri", required=True, metavar="gs://BUCKET/PREFIX")
    gcs.add_argument("--endpoint", default="https://storage.googleapis.com", metavar="URL")
    gcs.add_argument("--anonymous", action="store_true", help="ask without credentials")

    artifactory = kinds.add_parser("artifactory", help="a folder or an archive below ARTIFACTORY_URL")
    artifactory.add_argument("--path", required=True, metavar="PATH")
    artifactory.add_argument("--sha256", metavar="HEX", help="of the archive")

    for kind in (hub, gcs, artifactory):
        kind.add_argument("--to", required=True, type=Path, metavar="FOLDER")


def run(options: argparse.Namespace) -> int:
    """Runs `fetch` to its end."""
    raise NotImplementedError
