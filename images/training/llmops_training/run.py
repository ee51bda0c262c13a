"""What is to be trained: the training file and the environment that the platform sets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ADAPTER_TYPES = ("lora", "oft")

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
# Those among them that a model on its own, merged or fully trained, has behind it.
NOT_FOR_THE_RESULT = ("finetuning_type", "model_name_or_path", "model_revision")


class UsageError(Exception):
    """The caller's mistake, said in one sentence."""


@dataclass(frozen=True)
class Tracking:
    """Where metrics go."""

    uri: str
    experiment: str


@dataclass(frozen=True)
class Publishing:
    """Where the finished model goes: arguments of `llmops_models publish`, and its name in MLflow's
    registry."""

    target: tuple[str, ...]
    registered_model: str


@dataclass(frozen=True)
class TrainingRun:
    """One run: its file, its folder, and what is done with the result."""

    run_id: str
    name: str
    config_file: Path
    config: Mapping[str, Any]
    output: Path
    merge: bool
    tags: Mapping[str, str]
    tracking: Tracking | None
    publishing: Publishing | None = None
    # Of the gate's file; empty where there is no gate.
    gate_digest: str = ""

    @property
    def trains_adapter(self) -> bool:
        """Whether training ends with an adapter beside the base model."""
        return self.config.get("finetuning_type", "lora") in ADAPTER_TYPES

    @property
    def model_path(self) -> Path:
        """The folder that holds the result."""
        return self.output / "merged" if self.merge and self.trains_adapter else self.output

    def adapter_config(self) -> dict[str, Any]:
        """How LLaMA-Factory loads the base model with the trained adapter."""
        adapters = [str(self.output)]
        earlier = self.config.get("adapter_name_or_path")
        if earlier and self.config.get("create_new_adapter"):
            adapters.insert(0, str(earlier))
        loading = {key: self.config[key] for key in LOADING_KEYS if key in self.config}
        return loading | {"adapter_name_or_path": ",".join(adapters)}

    def inference_config(self) -> dict[str, Any]:
        """How LLaMA-Factory loads the result."""
        if self.trains_adapter and not self.merge:
            return self.adapter_config() | {"infer_backend": "huggingface"}
        loading = {
            key: self.config[key]
            for key in LOADING_KEYS
            if key in self.config and key not in NOT_FOR_THE_RESULT
        }
        return loading | {
            "model_name_or_path": str(self.model_path),
            "infer_backend": "huggingface",
        }


def load_run(config_file: Path, env: Mapping[str, str]) -> TrainingRun:
    """Reads a training file and the environment."""
    try:
        config = yaml.safe_load(config_file.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise UsageError(f"cannot read the training file {config_file}: {error}") from error
    if not isinstance(config, dict):
        raise UsageError(f"the training file {config_file} is not a list of keys and values")
    if not config.get("output_dir"):
        raise UsageError(f"the training file {config_file} does not set output_dir")
    output = Path(config["output_dir"])
    run_id = env.get("RUN_ID") or output.name
    uri = env.get("MLFLOW_TRACKING_URI", "")
    optional_tags = {
        "llmops.model": env.get("MODEL_NAME"),
        "llmops.image": env.get("LLMOPS_IMAGE"),
        "llmops.run_label": env.get("LLMOPS_RUN_LABEL"),
        "llmops.training_file": env.get("LLMOPS_TRAINING_FILE"),
        "llmops.data_fingerprint": env.get("LLMOPS_DATA_FINGERPRINT"),
    }
    return TrainingRun(
        run_id=run_id,
        name=env.get("RUN_NAME") or run_id,
        config_file=config_file,
        config=config,
        output=output,
        merge=env.get("LLMOPS_MERGE", "false") == "true",
        tags={"llmops.run_id": run_id}
        | {key: tag for key, tag in optional_tags.items() if tag}
        | commit_tags(env.get("LLMOPS_COMMIT", "")),
        tracking=Tracking(uri, env.get("MLFLOW_EXPERIMENT_NAME") or "Default") if uri else None,
        publishing=load_publishing(env),
        gate_digest=digest_of(env.get("LLMOPS_GATE", "")),
    )


def digest_of(file: str) -> str:
    """The sha256 of a file; empty where none is named."""
    if not file:
        return ""
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error}") from error


def commit_tags(commit: str) -> dict[str, str]:
    """MLflow's own tags for what a run was made from; `commit` may end with -dirty, or be empty."""
    if not commit:
        return {}
    clean = commit.removesuffix("-dirty")
    return {
        "mlflow.source.git.commit": clean,
        "mlflow.source.git.dirty": str(clean != commit).lower(),
    }


def load_publishing(env: Mapping[str, str]) -> Publishing | None:
    """LLMOPS_PUBLISH and LLMOPS_REGISTERED_MODEL; None where nothing is published."""
    text = env.get("LLMOPS_PUBLISH", "")
    if not text:
        return None
    try:
        given = json.loads(text)
        if given["kind"] == "artifactory":
            target: tuple[str, ...] = ("artifactory", "--path", str(given["path"]))
        elif given["kind"] == "gcs":
            target = ("gcs", "--uri", str(given["uri"]))
            if given.get("endpoint"):
                target += ("--endpoint", str(given["endpoint"]))
            if given.get("anonymous"):
                target += ("--anonymous",)
        else:
            raise ValueError(f"unknown kind {given['kind']!r}")
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"LLMOPS_PUBLISH does not say where to publish: {error!r}") from error
    name = env.get("LLMOPS_REGISTERED_MODEL") or env.get("MLFLOW_EXPERIMENT_NAME") or "Default"
    return Publishing(target, name)
