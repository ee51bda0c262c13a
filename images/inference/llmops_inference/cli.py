"""The commands of the inference image.

serve MODEL …   check the folders of model and adapters, then become `vllm serve MODEL …`
api FILE …      check the model folder, then run `llamafactory-cli api FILE …`, and end what stays
restore         unpack what an earlier server of the same image, model and options has compiled
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from llmops_inference import compile_cache
from llmops_inference.model_folder import find_adapter_fault, find_fault
from llmops_inference.supervise import Supervisor

USAGE = "usage: serve MODEL [vllm arguments] | api FILE [key=value …] | restore"


def main(arguments: Sequence[str]) -> int:
    """Runs a command; comes back only where the server cannot be started."""
    if list(arguments) == ["restore"]:
        return restore()
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
    for adapter in adapters(options):
        if is_local(adapter) and (fault := find_adapter_fault(Path(adapter))):
            return fail(fault)
    compile_cache.keep(os.environ)
    return become(["vllm", "serve", model, *options])


def restore() -> int:
    """Gives a server what is kept for it; it starts without, too."""
    folder, key = (os.environ[f"LLMOPS_COMPILE_CACHE{suffix}"] for suffix in ("", "_KEY"))
    compile_cache.say(compile_cache.restore(Path(folder), key, compile_cache.cache_of(os.environ)))
    return 0


def adapters(options: Sequence[str]) -> Iterator[str]:
    """The paths in `--lora-modules NAME=PATH ...`."""
    if "--lora-modules" not in options:
        return
    for module in options[options.index("--lora-modules") + 1 :]:
        if module.startswith("--"):
            return
        yield module.partition("=")[2]


def api(file: Path, options: Sequence[str]) -> int:
    """Runs LLaMA-Factory's server, which cannot be told to end while it answers."""
    try:
        config = yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError) as error:
        return fail(f"cannot read {file}: {error}")
    if not isinstance(config, dict):
        return fail(f"{file} is not a map of LLaMA-Factory keys")
    model = overrides(options).get("model_name_or_path", config.get("model_name_or_path"))
    if not isinstance(model, str):
        return fail(f"neither {file} nor an argument sets model_name_or_path")
    if is_local(model) and (fault := find_fault(Path(model))):
        return fail(fault)
    if shutil.which("llamafactory-cli") is None:
        return fail("llamafactory-cli is not installed in this image")
    compile_cache.keep(os.environ)
    port = int(os.environ.get("API_PORT", "8000"))
    return Supervisor(port).run(["llamafactory-cli", "api", str(file), *options])


def overrides(options: Sequence[str]) -> dict[str, str]:
    """The KEY=VALUE arguments, which count more than the file."""
    return dict(option.split("=", 1) for option in options if "=" in option)


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
