"""Runs LLaMA-Factory as a child process that ends when the container is told to."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO

log = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(Exception):
    """The container was told to stop; `code` is what a shell would report."""

    def __init__(self, received: int) -> None:
        super().__init__(f"stopped by {signal.Signals(received).name}")
        self.code = 128 + received


class TrainerFailed(Exception):
    """LLaMA-Factory, or what publishes its result, ended with an error."""

    def __init__(self, command: Sequence[str], code: int, said: str = "", killed: int = 0) -> None:
        super().__init__(f"`{' '.join(command)}` ended with exit code {code}: see the lines above")
        self.code = code
        self.said = said
        """The last of what it wrote to stderr."""
        self.killed = killed
        """How many processes of the container the kernel ended meanwhile, for want of memory."""


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
        killed = count_oom_kills()
        # A session of its own: torchrun's and the data loader's processes can be reached together.
        self._child = subprocess.Popen(
            command, env=dict(env), start_new_session=True, stderr=subprocess.PIPE
        )
        assert self._child.stderr is not None
        errors = Tail(self._child.stderr)
        if self._received is not None:
            self._signal_group(self._received)
        code = self._child.wait()
        self._signal_group(signal.SIGKILL)
        self._child = None
        said = errors.end()
        self.raise_if_stopped()
        if code != 0:
            raise TrainerFailed(
                command, code if code > 0 else 128 - code, said, count_oom_kills() - killed
            )

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


class Tail:
    """Passes on what a child writes to stderr, and keeps the last of it."""

    LONGEST = 16 * 1024
    END_SECONDS = 10.0

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._kept = b""
        self._thread = threading.Thread(target=self._follow, name="stderr", daemon=True)
        self._thread.start()

    def end(self) -> str:
        """The last of it, once the stream is at its end."""
        self._thread.join(self.END_SECONDS)
        return self._kept.decode(errors="replace")

    def _follow(self) -> None:
        while part := os.read(self._stream.fileno(), 65536):
            sys.stderr.buffer.write(part)
            sys.stderr.buffer.flush()
            self._kept = (self._kept + part)[-self.LONGEST :]
        self._stream.close()


OOM_COUNTER = Path("/sys/fs/cgroup/memory.events")


def count_oom_kills() -> int:
    """How many processes of this container the kernel has ended for want of memory."""
    try:
        lines = OOM_COUNTER.read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def llamafactory(action: str, file: Path) -> list[str]:
    """The command line of a LLaMA-Factory action."""
    return ["llamafactory-cli", action, str(file)]


# The tracker, that we report to ourselves, and what only publishing needs.
NOT_FOR_THE_TRAINER = ("MLFLOW_", "ARTIFACTORY_", "GOOGLE_APPLICATION_CREDENTIALS")


def trainer_environment(env: Mapping[str, str]) -> dict[str, str]:
    """The environment of LLaMA-Factory: ours, without what is not for it."""
    kept = {key: value for key, value in env.items() if not key.startswith(NOT_FOR_THE_TRAINER)}
    return kept | {"DISABLE_VERSION_CHECK": "1"}
