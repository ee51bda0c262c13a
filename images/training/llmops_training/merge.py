"""Merges an adapter into its base model, so that any server can load the result."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from llmops_training.files import write_text
from llmops_training.process import ProcessRunner, llamafactory
from llmops_training.run import TrainingRun

log = logging.getLogger(__name__)


def merge_config(run: TrainingRun, target: Path) -> dict[str, Any]:
    """The LLaMA-Factory export file of a run."""
    return run.adapter_config() | {
        "export_dir": str(target),
        "export_device": "cpu",
        "export_size": 5,
        "export_legacy_format": False,
    }


def merge(run: TrainingRun, runner: ProcessRunner, env: Mapping[str, str]) -> None:
    """Writes the merged model beside its final place and renames it there when it is whole."""
    if run.model_path.exists():
        log.info("%s is there already", run.model_path)
        return
    partial = run.model_path.with_name("merged.partial")
    if partial.exists():
        shutil.rmtree(partial)
    file = run.output / "merge_config.yaml"
    write_text(file, yaml.safe_dump(merge_config(run, partial)))
    runner.run(llamafactory("export", file), env)
    partial.rename(run.model_path)
