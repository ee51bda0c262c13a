"""Publishes a complete run: uploads the model, then registers it with MLflow.

It comes after everything else. Whatever fails here, the trained model stays complete and served;
the exit code tells the Job whether another try is of use.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmops_training.files import read_json
from llmops_training.mlflow_client import Version, is_rejected, register
from llmops_training.process import ProcessRunner, TrainerFailed
from llmops_training.run import Publishing, Tracking, TrainingRun
from llmops_training.tracking import STATE_FILE, State, first_line

log = logging.getLogger(__name__)

RETRY = 75
GIVE_UP = 78
PYTHON = "/opt/models/bin/python"
PYTHON_VARIABLE = "LLMOPS_MODELS_PYTHON"
RECORD = ".published.json"
# What a run's folder holds beside its model, where no merged model has a folder of its own.
NOT_THE_MODEL = (
    "checkpoint-*",
    "broken-*",
    "merged",
    "gate.json",
    "answers*.json",
    "wandb",
    "tensorboard",
    "system_metrics.jsonl",
    STATE_FILE,
)
# MLflow's limit for the value of a tag in its registry.
LONGEST_TAG = 100_000
LONGEST_PAUSE = 5.0


class PublishFailed(Exception):
    """The run is complete, but not published. `code` is 75 (another try), 78 (give up) or 2."""

    def __init__(self, run: TrainingRun, reason: str, code: int) -> None:
        super().__init__(f"run {run.run_id} is complete, but not published: {reason}")
        self.code = code


def publish(
    run: TrainingRun,
    publishing: Publishing,
    runner: ProcessRunner,
    env: Mapping[str, str],
    *,
    seconds: float,
) -> None:
    """Uploads and registers a run; MLflow gets `seconds`. Raises PublishFailed or Stopped."""
    record = run.output / RECORD
    # The tracker's address and credentials are not for it.
    child_env = {key: value for key, value in env.items() if not key.startswith("MLFLOW_")}
    try:
        runner.run(upload_command(run, publishing, record, env), child_env)
    except TrainerFailed as failure:
        raise PublishFailed(run, str(failure), failure.code) from failure
    published = read_json(record)
    if run.tracking is None:
        log.info("%s: MLflow is not used, so no version is registered", published["uri"])
        return
    version = describe_version(run, publishing, published)
    number = register_patiently(run, run.tracking, version, runner, seconds)
    log.info("%s is version %s of %s in MLflow", version.source, number, version.name)


def upload_command(
    run: TrainingRun, publishing: Publishing, record: Path, env: Mapping[str, str]
) -> list[str]:
    """The command line of the upload. It holds no secret."""
    command = [env.get(PYTHON_VARIABLE) or PYTHON, "-m", "llmops_models", "publish"]
    command += [*publishing.target, "--run", run.run_id, "--folder", str(run.model_path)]
    command += ["--record", str(record)]
    for pattern in NOT_THE_MODEL:
        command += ["--exclude", pattern]
    return command


def describe_version(
    run: TrainingRun, publishing: Publishing, published: Mapping[str, Any]
) -> Version:
    """What MLflow's registry is told of a publish."""
    sums = {str(each["path"]): str(each["sha256"]) for each in published["files"]}
    tags = {"llmops.run_id": run.run_id, "llmops.manifest_sha256": manifest_sha256(sums)}
    files = json.dumps(sums)
    if len(files) <= LONGEST_TAG:
        tags["llmops.files_sha256"] = files
    mlflow_run = State.load(run.output / STATE_FILE).mlflow_run
    return Version(publishing.registered_model, str(published["uri"]), mlflow_run, tags)


def manifest_sha256(sums: Mapping[str, str]) -> str:
    """The sha256 of what `sha256sum` prints for all files, sorted by path."""
    lines = [f"{sums[path]}  {path}\n" for path in sorted(sums)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def register_patiently(
    run: TrainingRun, tracking: Tracking, version: Version, runner: ProcessRunner, seconds: float
) -> str:
    """Registers a version, trying for `seconds`; gives its number."""
    end, pause = time.monotonic() + seconds, 0.5
    while True:
        try:
            return register(tracking.uri, version)
        except Exception as error:  # Of the client's many kinds; all end here or in another try.
            reason = f"MLflow at {tracking.uri} does not register it: {first_line(error)}"
            if is_rejected(error):
                raise PublishFailed(run, reason, GIVE_UP) from error
            if time.monotonic() + pause > end:
                raise PublishFailed(run, reason, RETRY) from error
            log.warning("%s; again in %.1f s", reason, pause)
        time.sleep(pause)
        runner.raise_if_stopped()
        pause = min(2 * pause, LONGEST_PAUSE)
