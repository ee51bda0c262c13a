"""Checks that a folder holds a model before a server spends a minute finding out."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

WEIGHTS = ("*.safetensors", "pytorch_model*.bin", "consolidated*.pth", "*.gguf")
ADAPTERS = ("adapter_model.safetensors", "adapter_model.bin")
INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "tekken.json", "*.tiktoken")


def find_fault(folder: Path) -> str | None:
    """One sentence that says what is wrong with a model folder and what to do, or None."""
    if closed := unreadable(folder):
        return access_fault(closed)
    if not folder.is_dir():
        return (
            f"there is no model folder {folder}: check the model's path, that its volume is "
            f"mounted, and that the training run or copy that fills it has ended."
        )
    if not (folder / "config.json").is_file():
        if any((folder / name).is_file() for name in ADAPTERS):
            return (
                f"{folder} holds an adapter without its base model: serve the merged model "
                f"(training.merge: true), or name it under the adapters of its base model."
            )
        return f"{folder} has no config.json: copy the whole model folder there, {found(folder)}."
    if read_object(folder / "config.json") is None:
        return f"{folder}/config.json is cut short: copy the model folder again."
    weights = {path.name for pattern in WEIGHTS for path in folder.glob(pattern)}
    weights -= set(ADAPTERS)
    if not weights:
        return (
            f"{folder} has no weights (*.safetensors or *.bin): copy the whole model folder "
            f"there, {found(folder)}."
        )
    missing = sorted(indexed_files(folder) - weights)
    if missing:
        return (
            f"{folder} lacks {len(missing)} of its weight files, the first is {missing[0]}: "
            f"copy the model folder again."
        )
    empty = sorted(name for name in weights if (folder / name).stat().st_size == 0)
    if empty:
        return f"{folder}/{empty[0]} is empty: copy the model folder again."
    if not any(True for pattern in TOKENIZERS for _ in folder.glob(pattern)):
        return f"{folder} has no tokenizer (tokenizer.json): copy the tokenizer's files there too."
    return None


def find_adapter_fault(folder: Path) -> str | None:
    """One sentence that says what is wrong with an adapter's folder and what to do, or None."""
    if closed := unreadable(folder):
        return access_fault(closed)
    if not folder.is_dir():
        return (
            f"there is no adapter folder {folder}: check the adapter's path, that its volume is "
            f"mounted, and that the training run or copy that fills it has ended."
        )
    if read_object(folder / "adapter_config.json") is None:
        return (
            f"{folder} has no whole adapter_config.json: copy the whole adapter folder there, "
            f"{found(folder)}."
        )
    if not any(is_filled(folder / name) for name in ADAPTERS):
        return f"{folder} has no weights ({' or '.join(ADAPTERS)}): copy the adapter again."
    return None


def is_filled(path: Path) -> bool:
    """Whether a file is there and not empty."""
    return path.is_file() and path.stat().st_size > 0


def access_fault(closed: Path) -> str:
    """How to open what this process may not read."""
    return f"user {os.geteuid()} may not read {closed}: chmod -R a+rX it on the volume."


def unreadable(folder: Path) -> Path | None:
    """The first folder on the way, or file in it, that this process may not read."""
    for step in [*reversed(folder.parents), folder]:
        mode = os.R_OK | os.X_OK if step == folder else os.X_OK
        if not os.access(step, mode, effective_ids=True):
            return step if os.path.lexists(step) else None
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return next((path for path in files if not os.access(path, os.R_OK, effective_ids=True)), None)


def indexed_files(folder: Path) -> set[str]:
    """The weight files that an index names, or none where the weights are in one file."""
    for name in INDEXES:
        index = read_object(folder / name)
        if index is not None:
            return {str(file) for file in index.get("weight_map", {}).values()}
    return set()


def read_object(path: Path) -> dict[str, Any] | None:
    """A JSON object, or None where there is none."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def found(folder: Path) -> str:
    """What a folder holds instead, as the end of a sentence."""
    names = sorted(path.name for path in folder.iterdir())
    if not names:
        return "it is empty"
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"it holds only {', '.join(names[:5])}{more}"
