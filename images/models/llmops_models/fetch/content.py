"""What a source holds: a model, or data to train on; how its folder is found and judged."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmops_models.errors import GiveUp
from llmops_models.fetch.model_check import found, require_model

DATASET_INFO = "dataset_info.json"


@dataclass(frozen=True)
class Content:
    """`top` is the file that lies at the top of what is wanted, `require` raises GiveUp where the
    folder is not usable, and `added` are files that are written into it, by name."""

    top: str
    require: Callable[[Path], None]
    added: Mapping[str, bytes] = field(default_factory=dict)

    def add(self, root: Path) -> dict[str, dict[str, Any]]:
        """Writes the added files; gives a record (path, size, sha256) for each."""
        for name, content in self.added.items():
            # What the source has there may be a link.
            (root / name).unlink(missing_ok=True)
            with (root / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        return {
            name: {"path": name, "size": len(each), "sha256": hashlib.sha256(each).hexdigest()}
            for name, each in self.added.items()
        }

    def strip_top(self, root: Path) -> Path:
        """The folder that is wanted: below folders that hold nothing but one folder."""
        while not (root / self.top).exists():
            inside = list(root.iterdir())
            if len(inside) != 1 or inside[0].is_symlink() or not inside[0].is_dir():
                break
            root = inside[0]
        return root


MODEL = Content("config.json", require_model)


def data_content(info: str) -> Content:
    """Data to train on; `info` is its dataset_info.json where the source has none."""
    added = {DATASET_INFO: f"{info}\n".encode()} if info else {}
    return Content(DATASET_INFO, require_data, added)


def require_data(root: Path) -> None:
    """Raises GiveUp where the folder lacks dataset_info.json, or holds no data beside it.

    Which of its data sets are used, and what their rows look like, is the trainer's to check.
    """
    path = root / DATASET_INFO
    if not path.is_file():
        raise GiveUp(
            f"the source holds no {DATASET_INFO}, {found(root)}: "
            f"add it there, or name the data sets in training.data.info"
        )
    try:
        sets = json.loads(path.read_text())
    except ValueError as error:
        raise GiveUp(f"{DATASET_INFO} of the source is damaged: {error}") from error
    if not isinstance(sets, dict):
        raise GiveUp(f"{DATASET_INFO} of the source is no map of data sets")
    names = [each.get("file_name") for each in sets.values() if isinstance(each, dict)]
    if not any(isinstance(name, str) and (root / name).exists() for name in names):
        raise GiveUp(f"the source has none of the files that {DATASET_INFO} names, {found(root)}")
