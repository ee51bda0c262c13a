"""The commands of the inference image.

serve MODEL …   check the model folder, then become `vllm serve MODEL …`
api FILE …      check the model folder named in FILE, then become `llamafactory-cli api FILE …`
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from llmops_inference.model_folder import find_fault

USAGE = "usage: serve MODEL [vllm arguments] | api FILE [key=value …]"


def main(arguments: Sequence[str]) -> int:
    """Runs a command; comes back only where the server cannot be started."""
    if len(arguments) < 2 or arguments[0] not in ("serve", "api"):
        return fail(USAGE)
    command, target = arguments[0], arguments[1]
    if command == "serve":
        return serve(target, arguments[2:])
    return api(Path(target), arguments[2:])


def serve(model: str, options: Sequence[str]) -> int:
    """Becomes vLLM's server."""
    if is_local(model) and (fault := find_fault(Path(model))):
        return fail(fault)
    return become(["vllm", "serve", model, *options])


def api(file: Path, options: Sequence[str]) -> int:
    """Becomes LLaMA-Factory's server."""
    try:
        config = yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError) as error:
        return fail(f"cannot read {file}: {error}")
    model = config.get("model_name_or_path") if isinstance(config, dict) else None
    if not isinstance(model, str):
        return fail(f"{file} does not set model_name_or_path")
    if is_local(model) and (fault := find_fault(Path(model))):
        return fail(fault)
    return become(["llamafactory-cli", "api", str(file), *options])


def is_local(model: str) -> bool:
    """Whether a model is named by its folder and not by its hub id."""
    return model.startswith(("/", "."))


def become(command: Sequence[str]) -> int:
    """Replaces this process, so that signals reach the server itself."""
    sys.stdout.flush()
    try:
        os.execvp(command[0], list(command))
    except FileNotFoundError:
        return fail(f"{command[0]} is not installed in this image")


def fail(sentence: str) -> int:
    """Says why on the last line of the log, which Kubernetes shows as termination message."""
    print(f"llmops: {sentence}", file=sys.stderr)
    return 2
