"""Runs LLaMA-Factory as a child process that ends when the container is told to."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

log = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(Exception):
    """The container was told to stop; `code` is what a shell would report."""

    def __init__(self, received: int) -> None:
        super().__init__(f"stopped by {signal.Signals(received).name}")
        self.code = 128 + received


class TrainerFailed(Exception):
    """LLaMA-Factory, or what publishes its result, ended with an error."""

    def __init__(self, command: Sequence[str], code: int) -> None:
        super().__init__(f"`{' '.join(command)}` ended with exit code {code}: see the lines above")
        self.code = code


class ProcessRunner:
    """Runs one command at a time and hands stop signals on to it and all its children."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._received: int | None = None

    def listen(self) -> None:
        """From now on stop signals reach the child."""
        for number in STOP_SIGNALS:
            signal.signal(number, self._stop)

    def run(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        """Runs a command to its end; raises TrainerFailed or Stopped."""
        self.raise_if_stopped()
        log.info("start: %s", " ".join(command))
        # A session of its own: torchrun's and the data loader's processes can be reached together.
        self._child = subprocess.Popen(command, env=dict(env), start_new_session=True)
        if self._received is not None:
            self._signal_group(self._received)
        code = self._child.wait()
        self._signal_group(signal.SIGKILL)
        self._child = None
        self.raise_if_stopped()
        if code != 0:
            raise TrainerFailed(command, code if code > 0 else 128 - code)

    def raise_if_stopped(self) -> None:
        """Raises Stopped once a stop signal has come."""
        if self._received is not None:
            raise Stopped(self._received)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        self._received = number
        self._signal_group(number)

    def _signal_group(self, number: int) -> None:
        if self._child is None:
            return
        with contextlib.suppress(ProcessLookupError):  # Nobody of the group is left.
            os.killpg(self._child.pid, number)


def llamafactory(action: str, file: Path) -> list[str]:
    """The command line of a LLaMA-Factory action."""
    return ["llamafactory-cli", action, str(file)]


# The tracker, that we report to ourselves, and what only publishing needs.
NOT_FOR_THE_TRAINER = ("MLFLOW_", "ARTIFACTORY_", "GOOGLE_APPLICATION_CREDENTIALS")


def trainer_environment(env: Mapping[str, str]) -> dict[str, str]:
    """The environment of LLaMA-Factory: ours, without what is not for it."""
    kept = {key: value for key, value in env.items() if not key.startswith(NOT_FOR_THE_TRAINER)}
    return kept | {"DISABLE_VERSION_CHECK": "1"}
