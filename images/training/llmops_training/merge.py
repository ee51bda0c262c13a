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

# Keys of the training file that say how the model and its tokenizer are loaded.
LOADING_KEYS = (
    "add_special_tokens",
    "add_tokens",
    "cache_dir",
    "default_system",
    "enable_thinking",
    "finetuning_type",
    "model_name_or_path",
    "model_revision",
    "new_special_tokens_config",
    "resize_vocab",
    "rope_scaling",
    "template",
    "trust_remote_code",
    "use_fast_tokenizer",
)


def merge_config(run: TrainingRun, target: Path) -> dict[str, Any]:
    """The LLaMA-Factory export file of a run."""
    adapters = [str(run.output)]
    earlier = run.config.get("adapter_name_or_path")
    if earlier and run.config.get("create_new_adapter"):
        adapters.insert(0, str(earlier))
    return {key: run.config[key] for key in LOADING_KEYS if key in run.config} | {
        "adapter_name_or_path": ",".join(adapters),
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
