"""The few MLflow calls that a training run needs, each safe to repeat."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmops_training.run import Tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient

LONGEST_VALUE = 6000
PARAMS_PER_CALL = 100
METRICS_PER_CALL = 1000
# One try, soon over: our own thread does the waiting and repeating.
CLIENT_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}


@dataclass(frozen=True)
class Point:
    """One value of a metric."""

    name: str
    value: float
    step: int


class MlflowRun:
    """One open MLflow run."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self._client = client
        self.id = run_id

    @staticmethod
    def open(tracking: Tracking, run_id: str, name: str, known: str) -> MlflowRun:
        """Goes on with the run of this id, or starts it; `known` is MLflow's id from last time."""
        for key, value in CLIENT_SETTINGS.items():
            os.environ.setdefault(key, value)
        # Imported here, by the reporting thread: it takes seconds.
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=tracking.uri)
        experiment = find_or_create_experiment(client, tracking.experiment)
        found = client.search_runs([experiment], f"tags.`llmops.run_id` = '{run_id}'")
        ids = [run.info.run_id for run in found]
        if known in ids:
            chosen = known
        elif ids:
            chosen = ids[-1]
        else:
            tags = {"llmops.run_id": run_id}
            return MlflowRun(
                client, client.create_run(experiment, tags=tags, run_name=name).info.run_id
            )
        client.update_run(chosen, status="RUNNING")
        return MlflowRun(client, chosen)

    def describe(self, config: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Sets parameters and tags."""
        from mlflow.entities import Param, RunTag

        params = [Param(key, str(value)[:LONGEST_VALUE]) for key, value in sorted(config.items())]
        for start in range(0, len(params), PARAMS_PER_CALL):
            self._client.log_batch(self.id, params=params[start : start + PARAMS_PER_CALL])
        self._client.log_batch(self.id, tags=[RunTag(key, tag) for key, tag in tags.items()])

    def log_points(self, points: Sequence[Point]) -> None:
        """Adds metrics."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(point.name, point.value, now, point.step) for point in points]
        for start in range(0, len(metrics), METRICS_PER_CALL):
            self._client.log_batch(self.id, metrics=metrics[start : start + METRICS_PER_CALL])

    def log_artifact(self, file: Path, folder: str) -> None:
        """Uploads one file."""
        self._client.log_artifact(self.id, str(file), folder or None)

    def end(self, status: str) -> None:
        """Ends the run."""
        self._client.set_terminated(self.id, status)


def find_or_create_experiment(client: MlflowClient, name: str) -> str:
    """The id of an experiment, also when another run creates it at the same moment."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    try:
        return str(client.create_experiment(name))
    except MlflowException:
        found = client.get_experiment_by_name(name)
        if found is None:
            raise
        return str(found.experiment_id)
