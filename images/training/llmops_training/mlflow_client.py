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
# Of a registered model: the version that the stack published last.
ALIAS = "published"
PARAMS_PER_CALL = 100
METRICS_PER_CALL = 1000
REJECTIONS = ("BAD_REQUEST", "INVALID_PARAMETER_VALUE", "PERMISSION_DENIED", "UNAUTHENTICATED")
# One try, soon over: our own thread does the waiting and repeating.
CLIENT_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}


@dataclass(frozen=True)
class Version:
    """A version in MLflow's model registry: where the model lies and which run it is from."""

    name: str
    source: str
    mlflow_run: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Point:
    """One value of a metric; `time` in milliseconds, 0 for now."""

    name: str
    value: float
    step: int
    time: int = 0


class MlflowRun:
    """One open MLflow run."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self._client = client
        self.id = run_id

    @staticmethod
    def open(tracking: Tracking, run_id: str, name: str, known: str) -> MlflowRun:
        """Goes on with the run of this id, or starts it; `known` is MLflow's id from last time."""
        client = connect(tracking.uri)
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
        from mlflow.entities import Param

        params = [Param(key, str(value)[:LONGEST_VALUE]) for key, value in sorted(config.items())]
        for start in range(0, len(params), PARAMS_PER_CALL):
            self._client.log_batch(self.id, params=params[start : start + PARAMS_PER_CALL])
        self.set_tags(tags)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Sets tags, also over others of the same names."""
        from mlflow.entities import RunTag

        self._client.log_batch(self.id, tags=[RunTag(key, tag) for key, tag in tags.items()])

    def log_points(self, points: Sequence[Point]) -> None:
        """Adds metrics."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [
            Metric(point.name, point.value, point.time or now, point.step) for point in points
        ]
        for start in range(0, len(metrics), METRICS_PER_CALL):
            self._client.log_batch(self.id, metrics=metrics[start : start + METRICS_PER_CALL])

    def log_artifact(self, file: Path, folder: str) -> None:
        """Uploads one file."""
        self._client.log_artifact(self.id, str(file), folder or None)

    def end(self, status: str) -> None:
        """Ends the run."""
        self._client.set_terminated(self.id, status)


def register(uri: str, version: Version) -> str:
    """The number of the version with this source, which is created where there is none.

    The alias `published` of the model is moved to it.
    """
    client = connect(uri)
    create_registered_model(client, version.name)
    number = find_version(client, version.name, version.source)
    if number is None:
        created = client.create_model_version(
            version.name,
            version.source,
            run_id=version.mlflow_run or None,
            tags=dict(version.tags),
            await_creation_for=0,
        )
        number = str(created.version)
    client.set_registered_model_alias(version.name, ALIAS, number)
    return number


def create_registered_model(client: MlflowClient, name: str) -> None:
    """Makes sure that the registry knows a model."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def find_version(client: MlflowClient, name: str, source: str) -> str | None:
    """The number of the version of a model whose source is this one."""
    page: str | None = None
    while True:
        found = client.search_model_versions(f"name='{name}'", page_token=page)
        for each in found:
            if each.source == source:
                return str(each.version)
        page = found.token
        if not page:
            return None


def is_rejected(error: Exception) -> bool:
    """Whether MLflow will say the same again: wrong names, no permission."""
    from mlflow.exceptions import MlflowException

    return isinstance(error, MlflowException) and error.error_code in REJECTIONS


def connect(uri: str) -> MlflowClient:
    """A client that neither waits long nor repeats."""
    for key, value in CLIENT_SETTINGS.items():
        os.environ.setdefault(key, value)
    # Imported here, where it is needed: it takes seconds.
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)


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
