"""Sets aside what an interrupted run left half-written, so that LLaMA-Factory can resume.

LLaMA-Factory resumes from the last `checkpoint-N` folder. It fails on a folder whose writing was
cut short, and it refuses to start where final weights lie beside no checkpoint.
"""

from __future__ import annotations

import json
import logging
import re
import struct
import zipfile
from pathlib import Path

from llmops_training.files import read_json

log = logging.getLogger(__name__)

WEIGHTS = ("*.safetensors", "adapter_model.bin", "pytorch_model*.bin")
# The trainer's own mark of a checkpoint that it is writing because it was told to stop.
UNFINISHED = "checkpoint-is-incomplete.txt"
BROKEN_PREFIX = "broken-"


def set_aside_broken(output: Path) -> Path | None:
    """Renames broken checkpoints and gives the one that training resumes from."""
    for checkpoint in reversed(list_checkpoints(output)):
        fault = find_fault(checkpoint)
        if fault is None:
            return checkpoint
        log.warning("%s is broken (%s): set aside", checkpoint.name, fault)
        set_aside(checkpoint)
    for weights in find_weights(output):
        log.warning("%s has no checkpoint to go with: set aside", weights.name)
        set_aside(weights)
    return None


def list_checkpoints(output: Path) -> list[Path]:
    """The checkpoint folders, first to last."""
    folders = [path for path in output.glob("checkpoint-*") if path.is_dir()]
    numbered = [path for path in folders if re.fullmatch(r"checkpoint-\d+", path.name)]
    return sorted(numbered, key=lambda path: int(path.name.split("-")[1]))


def find_fault(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint, or None."""
    if (checkpoint / UNFINISHED).exists():
        return "it was not finished"
    state = read_json(checkpoint / "trainer_state.json")
    if not isinstance(state, dict) or "global_step" not in state:
        return "trainer_state.json is missing or cut short"
    if not find_weights(checkpoint) and not list(checkpoint.glob("global_step*")):
        return "no weights"
    for path in checkpoint.glob("*.safetensors"):
        if not is_whole_safetensors(path):
            return f"{path.name} is cut short"
    for path in [*checkpoint.glob("*.pt"), *checkpoint.glob("*.pth"), *checkpoint.glob("*.bin")]:
        if not zipfile.is_zipfile(path):
            return f"{path.name} is cut short"
    return None


def find_weights(folder: Path) -> list[Path]:
    """The files of a folder that hold weights."""
    return sorted(path for pattern in WEIGHTS for path in folder.glob(pattern))


def is_whole_safetensors(path: Path) -> bool:
    """Whether a file is as long as its header says."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"]
        return path.stat().st_size == 8 + int(length) + max((int(end) for end in ends), default=0)
    except (OSError, ValueError, struct.error, KeyError, TypeError, MemoryError, OverflowError):
        return False


def set_aside(path: Path) -> None:
    """Renames a file or folder to the first free `broken-…` name."""
    number = 0
    while True:
        suffix = f".{number}" if number else ""
        target = path.with_name(f"{BROKEN_PREFIX}{path.name}{suffix}")
        if not target.exists():
            path.rename(target)
            return
        number += 1
