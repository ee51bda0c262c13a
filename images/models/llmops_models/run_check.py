"""Makes sure that a training run is complete before a server reads its model.

`run` looks for the marker that training leaves when everything, the gate included, went well.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from pathlib import Path
from typing import Any

from llmops_models.errors import GiveUp

log = logging.getLogger(__name__)

MARKER = ".complete"
# One of them is in the folder of a model, or of an adapter.
MODEL_FILES = ("config.json", "adapter_config.json")
POLL_SECONDS = 5.0
SAY_SECONDS = 60.0
MOST_NAMES = 20


def add_arguments(commands: Any) -> None:
    """Adds `run` to the parser's commands."""
    parser = commands.add_parser("run", help="make sure that a training run is complete")
    parser.add_argument("--runs", required=True, type=Path, metavar="FOLDER", help="of all runs")
    parser.add_argument("--id", required=True, metavar="RUN")
    parser.add_argument("--model", required=True, type=Path, metavar="FOLDER")
    parser.add_argument("--minutes", type=float, default=0, help="to wait for it; 0 looks once")


def run(options: argparse.Namespace) -> int:
    """Gives 0 once the run is complete and its model is there. Raises GiveUp otherwise."""
    end = time.monotonic() + options.minutes * 60
    say_at = time.monotonic()
    while not is_complete(options.runs / options.id, options.id):
        now = time.monotonic()
        if now >= end:
            raise GiveUp(missing(options.runs, options.id, options.minutes))
        if now >= say_at:
            log.info("waiting for run %s to be complete", options.id)
            say_at = now + SAY_SECONDS
        time.sleep(min(POLL_SECONDS, end - now))
    if not any((options.model / name).is_file() for name in MODEL_FILES):
        raise GiveUp(
            f"run {options.id} is complete, but {options.model} holds no model: "
            f"the run may have had another training.merge or output_dir"
        )
    log.info("run %s is complete: %s", options.id, options.model)
    return 0


def is_complete(folder: Path, run_id: str) -> bool:
    """Whether a run has left its marker."""
    try:
        marker = json.loads((folder / MARKER).read_text())
    except (OSError, ValueError):
        return False
    return isinstance(marker, dict) and marker.get("runId") == run_id


def missing(runs: Path, run_id: str, minutes: float) -> str:
    """What is there instead of the run."""
    folders = sorted(path.parent for path in runs.glob(f"*/{MARKER}"))
    found = [path.name for path in folders if is_complete(path, path.name)]
    names = ", ".join(found[:MOST_NAMES]) or "none"
    more = f" and {len(found) - MOST_NAMES} more" if len(found) > MOST_NAMES else ""
    state = "is not complete" if (runs / run_id).is_dir() else "is not there"
    waited = f" after {minutes:g} minutes" if minutes > 0 else ""
    return f"run {run_id} {state} in {runs}{waited}; complete runs there: {names}{more}"
