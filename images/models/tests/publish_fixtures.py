"""A finished run, and the repositories that it is published to."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from artifactory_server import Artifactory
from gcs_uploads import GcsUploads
from models_fixtures import Pod, make_model
from repository_server import RepositoryServer

MODEL = make_model(weights=1_500_000)
BYTES = sum(len(content) for content in MODEL.values())


@dataclass
class Repository:
    """One of the two kinds, on a server."""

    kind: str
    server: RepositoryServer
    service: GcsUploads | Artifactory
    target: tuple[str, ...]
    uri: str
    root: str

    @staticmethod
    def make(kind: str, server: RepositoryServer) -> Repository:
        if kind == "artifactory":
            service: GcsUploads | Artifactory = Artifactory(server)
            target: tuple[str, ...] = ("artifactory", "--path", "models/lumen7")
            return Repository(
                kind, server, service, target, f"{server.url}/models/lumen7", "/models/lumen7/"
            )
        service = GcsUploads(server)
        uri = "gs://models/lumen7"
        target = ("gcs", "--uri", uri, "--endpoint", server.url)
        root = "/download/storage/v1/b/models/o/lumen7/"
        return Repository(kind, server, service, target, uri, root)

    def stored(self) -> dict[str, bytes]:
        """What lies below the target."""
        return self.below(self.server.files)

    def below(self, files: dict[str, bytes]) -> dict[str, bytes]:
        return {
            path.removeprefix(self.root): content
            for path, content in files.items()
            if path.startswith(self.root)
        }

    def upload_path(self, name: str) -> str:
        """The path of the request that carries a big file's bytes."""
        return (
            f"{self.root}run-1/{name}"
            if self.kind == "artifactory"
            else "/upload/storage/v1/b/models/o"
        )


@dataclass
class Publisher:
    """A training container whose run is finished."""

    pod: Pod
    run_id: str = "run-1"
    more: tuple[str, ...] = field(default=())

    @property
    def folder(self) -> Path:
        return self.pod.volume / "run-1" / "merged"

    @property
    def record_file(self) -> Path:
        return self.pod.volume / "run-1" / ".published.json"

    def write(self, files: dict[str, bytes]) -> None:
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def start(self, repository: Repository) -> subprocess.Popen[str]:
        own = ("--run", self.run_id, "--folder", self.folder, "--record", self.record_file)
        command = (*repository.target, *map(str, own), *self.more)
        return subprocess.Popen(
            [sys.executable, "-m", "llmops_models", "publish", *command],
            env=self.pod.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def publish(self, repository: Repository) -> tuple[int, str]:
        """Runs `publish` to its end: exit code and log."""
        process = self.start(repository)
        output, _ = process.communicate(timeout=50)
        return process.returncode, output

    def record(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.record_file.read_text())
        return content
