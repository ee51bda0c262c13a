"""The arguments of `fetch`."""

from __future__ import annotations

import argparse
import dataclasses
import os
from pathlib import Path
from typing import Any

from llmops_models.fetch.content import data_content
from llmops_models.fetch.remote import Source
from llmops_models.fetch.run import fetch
from llmops_models.fetch.stopping import Stop
from llmops_models.fetch.tuning import load_tuning


def add_arguments(commands: Any) -> None:
    """Adds `fetch huggingface|gcs|artifactory` to the parser's commands."""
    parser = commands.add_parser("fetch", help="bring a model, or data to train on, to a volume")
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")

    hub = kinds.add_parser("huggingface", help="a repository of the Hugging Face hub or its mirror")
    hub.add_argument("--id", required=True, metavar="OWNER/NAME")
    hub.add_argument("--revision", required=True, metavar="SHA", help="a commit, or a name")
    hub.add_argument("--endpoint", default="https://huggingface.co", metavar="URL")
    hub.add_argument("--allow", action="append", default=[], metavar="PATTERN")

    gcs = kinds.add_parser("gcs", help="a folder or an archive in Cloud Storage")
    add_bucket(gcs)

    artifactory = kinds.add_parser("artifactory", help="a folder or an archive in Artifactory")
    artifactory.add_argument("--path", required=True, metavar="PATH")
    artifactory.add_argument("--sha256", metavar="HEX", help="of the archive")

    for kind in (hub, gcs, artifactory):
        kind.add_argument("--to", required=True, type=Path, metavar="FOLDER")
        kind.add_argument("--data", action="store_true", help="it is data to train on, no model")
        kind.add_argument("--dataset-info", default="", metavar="JSON", help="for data without it")


def add_bucket(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that say which folder of Cloud Storage, and how it is reached."""
    parser.add_argument("--uri", required=True, metavar="gs://BUCKET/PREFIX")
    parser.add_argument("--endpoint", default="https://storage.googleapis.com", metavar="URL")
    parser.add_argument("--anonymous", action="store_true", help="ask without credentials")


def run(options: argparse.Namespace) -> int:
    """Runs `fetch` to its end. Raises Retry or GiveUp."""
    stop = Stop.on_signals()
    fetch(find_source(options), options.to, load_tuning(os.environ), stop)
    return 0


def find_source(options: argparse.Namespace) -> Source:
    """The source that the arguments name, and what it holds."""
    source = find_repository(options)
    if not options.data:
        return source
    # The same repository as a model is another version.
    description = {**source.description, "data": True}
    if options.dataset_info:
        description["dataset_info"] = options.dataset_info
    content = data_content(options.dataset_info)
    return dataclasses.replace(source, description=description, content=content)


def find_repository(options: argparse.Namespace) -> Source:
    """The source that the arguments name."""
    if options.kind == "huggingface":
        from llmops_models.fetch.sources.hub import hub_source

        allow = tuple(options.allow)
        kind = "datasets" if options.data else "models"
        return hub_source(options.id, options.revision, options.endpoint, allow, os.environ, kind)
    if options.kind == "gcs":
        from llmops_models.fetch.sources.gcs import gcs_source

        return gcs_source(options.uri, options.endpoint, options.anonymous)
    from llmops_models.fetch.sources.artifactory import artifactory_source

    return artifactory_source(options.path, options.sha256 or "", os.environ)
