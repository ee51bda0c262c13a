"""Models, archives of them, and a pod that runs `fetch` in a temporary folder."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zstandard

PACKAGE_ROOT = Path(__file__).resolve().parents[1]

# Small pieces and short waits, so that faults and kills meet many states in little time.
TUNING: dict[str, Any] = {
    "chunk_bytes": 64 << 10,
    "range_bytes": 150_000,
    "connections": 4,
    "backoff_seconds": 0.02,
    "retry_seconds": 4,
    "low_speed_seconds": 1,
    "checkpoint_seconds": 0,
    "heartbeat_seconds": 0.1,
    "stale_seconds": 1,
}

# Connections with which each of a model's two shards is one stream, or received in ranges.
ONE_STREAM = 2
RANGES = 8


def make_model(seed: int = 1, weights: int = 400_000, shards: int = 2) -> dict[str, bytes]:
    """A model's files: random weights in shards with their index, and small files."""
    source = random.Random(seed)
    names = [f"model-{i + 1:05}-of-{shards:05}.safetensors" for i in range(shards)]
    index = {"weight_map": {f"layer.{i}": name for i, name in enumerate(names)}}
    return {
        "config.json": json.dumps({"architectures": ["Tiny"], "seed": seed}).encode(),
        "tokenizer.json": b"{}",
        "model.safetensors.index.json": json.dumps(index).encode(),
        "extra/notes.txt": b"a folder below\n",
    } | {name: source.randbytes(weights) for name in names}


def make_tar(files: dict[str, bytes], top: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{top}{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def make_zip(files: dict[str, bytes], top: str = "", method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(f"{top}{name}", content)
    return buffer.getvalue()


def make_archive(kind: str, files: dict[str, bytes], top: str = "") -> bytes:
    """An archive of a kind as in its name: tar, tar.gz, tar.zst, zip, or stored.zip."""
    import gzip

    if kind.endswith("zip"):
        method = zipfile.ZIP_STORED if kind == "stored.zip" else zipfile.ZIP_DEFLATED
        return make_zip(files, top, method)
    plain = make_tar(files, top)
    if kind == "tar.gz":
        return gzip.compress(plain, 1)
    return zstandard.ZstdCompressor().compress(plain) if kind == "tar.zst" else plain


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def read_tree(folder: Path) -> dict[str, bytes]:
    """All files below a folder, without the marker."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".llmops.json"
    }


@dataclass
class Pod:
    """An init container with a volume, both in a temporary folder."""

    volume: Path
    env: dict[str, str] = field(default_factory=dict)
    tuning: dict[str, Any] = field(default_factory=lambda: dict(TUNING))
    name: str = "model"

    @property
    def folder(self) -> Path:
        """Where the server would read the model."""
        return self.volume / "sources" / self.name

    @property
    def versions(self) -> Path:
        return self.volume / "sources" / ".versions" / self.name

    def command(self, *source: str) -> list[str]:
        return [sys.executable, "-m", "llmops_models", "fetch", *source, "--to", str(self.folder)]

    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(PACKAGE_ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(self.volume),
            "NO_GCE_CHECK": "true",
            "LLMOPS_FETCH_TUNING": json.dumps(self.tuning),
            **self.env,
        }

    def start(self, *source: str, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """Starts `fetch`; `before` are words to put in front of the command."""
        return subprocess.Popen(
            [*before, *self.command(*source)],
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def fetch(self, *source: str, before: tuple[str, ...] = ()) -> tuple[int, str]:
        """Runs `fetch` to its end: exit code and log."""
        process = self.start(*source, before=before)
        output, _ = process.communicate(timeout=50)
        return process.returncode, output

    def marker(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / ".llmops.json").read_text())
        return content

    def nothing_visible(self) -> bool:
        """Whether a server would find no model, not even a part of one."""
        return not os.path.lexists(self.folder)


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
    """Polls a condition up to a deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)


def in_namespace(script: str) -> tuple[str, ...]:
    """Words that run a command in its own mount namespace, after a script that mounts there."""
    own_user = () if os.getuid() == 0 else ("--user", "--map-root-user")
    return ("unshare", *own_user, "--mount", "sh", "-ec", f'{script}\nexec "$@"', "sh")
