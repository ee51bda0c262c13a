"""Refuses what is no model before anybody tries to serve it."""

from __future__ import annotations

import json
from pathlib import Path

from llmops_models.errors import GiveUp

WEIGHTS = ("*.safetensors", "pytorch_model*.bin", "consolidated*.pth", "*.gguf")
INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")


def require_model(root: Path) -> None:
    """Raises GiveUp where the folder lacks config.json, weights, or some of its weights."""
    if not (root / "config.json").is_file():
        raise GiveUp(f"the source holds no model: there is no config.json, {found(root)}")
    if not any(True for pattern in WEIGHTS for _ in root.glob(pattern)):
        raise GiveUp(
            f"the source holds no weights ({', '.join(WEIGHTS)}), {found(root)}; "
            f"if patterns are given, let them allow the weights"
        )
    for name in INDEXES:
        index = root / name
        if not index.is_file():
            continue
        try:
            named = set(json.loads(index.read_text())["weight_map"].values())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise GiveUp(f"{name} of the source is damaged: {error}") from error
        missing = sorted(each for each in named if not (root / str(each)).is_file())
        if missing:
            raise GiveUp(
                f"the source lacks {len(missing)} weight files that {name} names, "
                f"the first is {missing[0]}"
            )


def found(root: Path) -> str:
    """Names of what a folder holds, for an error."""
    names = sorted(path.name for path in root.iterdir())
    return f"it holds {', '.join(names[:5]) or 'nothing'}" + (" and more" if len(names) > 5 else "")
