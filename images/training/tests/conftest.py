"""A run's folders, a stand-in for the trainer's process, and a tracking server with faults.

The stand-in only plays the part of the `llamafactory-cli` process: it writes the files that the
real one writes, at the pace the test asks for. The real one is run with the image itself.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from tracking_server import TrackingServer

PACKAGE_ROOT = Path(__file__).resolve().parents[1]
TRAINER = Path(__file__).with_name("fake_trainer.py")
PACKAGES = Path(__file__).with_name("fake_packages")


@dataclass
class Container:
    """What the platform gives the training container, in a temporary folder."""

    root: Path
    config: dict[str, object]
    env: dict[str, str] = field(default_factory=dict)

    @property
    def output(self) -> Path:
        return Path(str(self.config["output_dir"]))

    def start(self, command: str = "train", file: Path | None = None) -> subprocess.Popen[str]:
        """Starts the entry point as the container does."""
        if file is None:
            file = self.root / "train_config.yaml"
            file.write_text(yaml.safe_dump(self.config))
        return subprocess.Popen(
            [sys.executable, "-m", "llmops_training", command, str(file)],
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, command: str = "train", file: Path | None = None) -> tuple[int, str]:
        """Runs the entry point to its end: exit code and log."""
        process = self.start(command, file)
        output, _ = process.communicate(timeout=50)
        return process.returncode, output

    def environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.root),
            "PYTHONPATH": f"{PACKAGE_ROOT}:{PACKAGES}",
            "RUN_ID": "run-1",
            "RUN_NAME": "lamp",
            "LLMOPS_MERGE": "true",
            "LLMOPS_FLUSH_SECONDS": "20",
            "CALLS": str(self.root / "calls"),
            **self.env,
        }

    def calls(self) -> list[list[str]]:
        """Each start of the trainer: action, and the checkpoint it resumed from."""
        file = self.root / "calls"
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []

    def read(self, name: str) -> dict[str, object]:
        content: dict[str, object] = json.loads((self.output / name).read_text())
        return content


@pytest.fixture
def container(tmp_path: Path) -> Container:
    """A container with a stand-in trainer on PATH."""
    tool = tmp_path / "bin" / "llamafactory-cli"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{TRAINER}" "$@"\n')
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    config: dict[str, object] = {
        "model_name_or_path": "/mnt/base",
        "finetuning_type": "lora",
        "output_dir": str(tmp_path / "output" / "run-1"),
        "max_steps": 6,
        "save_steps": 2,
    }
    return Container(tmp_path, config)


@pytest.fixture
def tracker() -> Iterator[TrackingServer]:
    """A tracking server that can be switched off, slowed and made to fail."""
    server = TrackingServer()
    server.start()
    yield server
    server.stop()


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
    """Polls a condition up to a deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def stop(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Sends SIGTERM, as the kubelet does, and waits for the end."""
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=30)
    return process.returncode, output
