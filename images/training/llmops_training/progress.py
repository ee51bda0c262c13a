"""Says in the log of the pod how far the training is."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

log = logging.getLogger(__name__)

SECONDS = 30.0
VARIABLE = "LLMOPS_PROGRESS_SECONDS"
LONGEST_LINES = 4096


class Progress:
    """One line now and then, and one at the end. Use as a context manager around the training."""

    def __init__(self, output: Path, seconds: float) -> None:
        self._file = output / "trainer_log.jsonl"
        self._seconds = seconds
        self._said = last_line(self._file)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="progress", daemon=True)

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()
        self._say()

    def _follow(self) -> None:
        while not self._done.wait(self._seconds):
            self._say()

    def _say(self) -> None:
        line = last_line(self._file)
        if line == self._said:
            return
        self._said = line
        if text := describe(line):
            log.info("%s", text)


def last_line(file: Path) -> str:
    """The last whole line of the trainer's log, or nothing."""
    try:
        with file.open("rb") as log_file:
            size = log_file.seek(0, 2)
            log_file.seek(max(0, size - LONGEST_LINES))
            whole, newline, _ = log_file.read().rpartition(b"\n")
    except OSError:
        return ""
    return whole.rpartition(b"\n")[2].decode(errors="replace") if newline else ""


def describe(line: str) -> str:
    """A line of the trainer's log in words; nothing where it is spoilt."""
    try:
        record: dict[str, Any] = json.loads(line)
        parts = [f"step {int(record['current_steps'])} of {int(record['total_steps'])}"]
    except (ValueError, KeyError, TypeError):
        return ""
    parts += [
        f"{name.replace('_', ' ')} {record[name]:.4g}"
        for name in ("loss", "eval_loss")
        if isinstance(record.get(name), int | float)
    ]
    if record.get("remaining_time"):
        parts.append(f"{record['remaining_time']} left")
    return ", ".join(parts)
