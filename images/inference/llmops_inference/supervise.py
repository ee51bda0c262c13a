"""Runs a server that cuts off streams when it is told to end, and leaves its engine behind.

LLaMA-Factory's API ends every stream at once on SIGTERM. So it is told only when no client is
connected any more, and what is left of its processes then is killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

# How long requests under way may take after SIGTERM; then the server is killed. The pod's grace
# period allows for it.
SHUTDOWN_SECONDS = 45
LOOK_SECONDS = 0.2

ESTABLISHED = "01"
TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


class Supervisor:
    """Runs one server; hands a stop signal on to it, and leaves no process of it behind."""

    def __init__(self, port: int, shutdown_seconds: float = SHUTDOWN_SECONDS) -> None:
        self._port = port
        self._shutdown_seconds = shutdown_seconds
        self._server: subprocess.Popen[bytes] | None = None
        self._received: int | None = None
        self._deadline = 0.0
        self._told = False

    def run(self, command: Sequence[str]) -> int:
        """Runs the server to its end; returns its exit code as a shell would report it."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGALRM, self._look)
        # A session of its own: its engine processes can be reached together.
        self._server = subprocess.Popen(command, start_new_session=True)
        code = self._server.wait()
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._kill()
        return code if code >= 0 else 128 - code

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        if self._received is None:
            self._received = number
            self._deadline = time.monotonic() + self._shutdown_seconds
            signal.setitimer(signal.ITIMER_REAL, LOOK_SECONDS, LOOK_SECONDS)

    def _look(self, _number: int, _frame: FrameType | None) -> None:
        if self._server is None or self._received is None:
            return
        if time.monotonic() >= self._deadline:
            self._kill()
        elif not self._told and not has_clients(self._port):
            self._told = True
            # To the server alone: it ends its engine itself, if it can.
            self._server.send_signal(self._received)

    def _kill(self) -> None:
        if self._server is None:
            return
        with contextlib.suppress(ProcessLookupError):  # Nobody of the group is left.
            os.killpg(self._server.pid, signal.SIGKILL)


def has_clients(port: int) -> bool:
    """Whether anybody is connected to a port of this pod."""
    for table in TABLES:
        with contextlib.suppress(FileNotFoundError):  # Without IPv6 there is no second one.
            for line in table.read_text().splitlines()[1:]:
                _, local, _, state, *_ = line.split()
                if state == ESTABLISHED and int(local.rpartition(":")[2], 16) == port:
                    return True
    return False
