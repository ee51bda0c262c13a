"""The fixtures that all tests of the downloader share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from models_fixtures import Pod
from repository_server import RepositoryServer


@pytest.fixture
def server() -> Iterator[RepositoryServer]:
    with RepositoryServer() as running:
        yield running


@pytest.fixture
def pod(tmp_path: Path, server: RepositoryServer) -> Pod:
    """A pod whose Artifactory is the server."""
    volume = tmp_path / "volume"
    volume.mkdir()
    return Pod(volume, {"ARTIFACTORY_URL": server.url})


@pytest.fixture
def content() -> Iterator[RepositoryServer]:
    """Where a hub keeps the contents of its files: no server that knows checksums."""
    with RepositoryServer() as running:
        running.checksums = False
        yield running
