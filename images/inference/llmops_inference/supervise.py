"""Runs a server that does not end its own engine processes, and ends them for it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from types import FrameType

# How long requests under way may take after SIGTERM; then the server is killed. The pod's grace
# period allows for it.
SHUTDOWN_SECONDS = 45


class Supervisor:
    """Runs one server; hands a stop signal on to it, and leaves no process of it behind."""

    def __init__(self, shutdown_seconds: int = SHUTDOWN_SECONDS) -> None:
        self._shutdown_seconds = shutdown_seconds
        self._server: subprocess.Popen[bytes] | None = None
        self._received: int | None = None

    def run(self, command: Sequence[str]) -> int:
        """Runs the server to its end; returns its exit code as a shell would report it."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGALRM, self._kill)
        # A session of its own: its engine processes can be reached together.
        self._server = subprocess.Popen(command, start_new_session=True)
        if self._received is not None:
            self._server.send_signal(self._received)
        code = self._server.wait()
        signal.alarm(0)
        self._kill()
        return code if code >= 0 else 128 - code

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        self._received = number
        signal.alarm(self._shutdown_seconds)
        # To the server alone: an engine that ends first would cut off requests under way.
        if self._server is not None:
            self._server.send_signal(number)

    def _kill(self, _number: int | None = None, _frame: FrameType | None = None) -> None:
        if self._server is None:
            return
        with contextlib.suppress(ProcessLookupError):  # Nobody of the group is left.
            os.killpg(self._server.pid, signal.SIGKILL)
