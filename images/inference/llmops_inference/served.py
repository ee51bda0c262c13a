"""Tells MLflow which runs a server serves, where, and since when.

The startup probe does so once each name has answered. It is one short try: MLflow may be away, and
the server serves all the same. `LLMOPS_SERVED` holds what is served, as a list of objects with
`tag`, `name` and `run`, the folder of the training run; `LLMOPS_SERVED_AT` is the server's address.
A run's versions in the model registry get the tag, or the run itself where it has none. It is taken
from whatever was served under it before.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

# What the training image writes into the folder of a run: its id in MLflow.
RUN_FILE = "mlflow_run.json"
SECONDS = 8.0
API = "/api/2.0/mlflow"
HEADERS = {"Content-Type": "application/json"}


class NotTold(Exception):
    """MLflow does not know it; the text says why."""


@dataclass(frozen=True)
class Holder:
    """A run, or a version of a registered model, that can have tags."""

    kind: str  # The first part of its calls: `runs` or `model-versions`.
    key: tuple[tuple[str, str], ...]
    tags: Mapping[str, str]


class Mlflow:
    """The few calls that are needed, all before one deadline."""

    def __init__(self, env: Mapping[str, str], deadline: float) -> None:
        self._address = urlsplit(env["MLFLOW_TRACKING_URI"])
        self._deadline = deadline

    def run(self, run_id: str) -> tuple[Holder, str]:
        """A run, and the id of its experiment."""
        run = self._get("runs/get", run_id=run_id)["run"]
        return as_run(run), str(run["info"]["experiment_id"])

    def versions(self, condition: str) -> Iterator[Holder]:
        """Versions of registered models that a filter finds."""
        for version in self._pages("GET", "model-versions/search", {"filter": condition}):
            key = (("name", version["name"]), ("version", str(version["version"])))
            yield Holder("model-versions", key, tags_of(version))

    def runs(self, experiment: str, condition: str) -> Iterator[Holder]:
        """Runs of an experiment that a filter finds."""
        query = {"experiment_ids": [experiment], "filter": condition}
        return map(as_run, self._pages("POST", "runs/search", query))

    def set_tag(self, holder: Holder, tag: str, value: str) -> None:
        """Sets one tag."""
        self._call("POST", f"{holder.kind}/set-tag", {**dict(holder.key), "key": tag, "value": value})

    def delete_tag(self, holder: Holder, tag: str) -> None:
        """Removes one tag."""
        method = "POST" if holder.kind == "runs" else "DELETE"
        self._call(method, f"{holder.kind}/delete-tag", {**dict(holder.key), "key": tag})

    def _get(self, path: str, **query: str) -> dict[str, Any]:
        return self._call("GET", f"{path}?{urlencode(query)}", None)

    def _pages(self, method: str, path: str, query: dict[str, Any]) -> Iterator[dict[str, Any]]:
        kind = path.partition("/")[0].replace("-", "_")
        token = ""
        while True:
            asked = {**query, "page_token": token} if token else query
            answer = (
                self._get(path, **asked) if method == "GET" else self._call(method, path, asked)
            )
            yield from answer.get(kind, [])
            token = answer.get("next_page_token", "")
            if not token:
                return

    def _call(self, method: str, path: str, data: Mapping[str, Any] | None) -> dict[str, Any]:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        secure = self._address.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = kind(self._address.hostname or "", self._address.port, timeout=left)
        try:
            body = None if data is None else json.dumps(data)
            connection.request(method, f"{self._address.path}{API}/{path}", body, HEADERS)
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
        finally:
            connection.close()
        if response.status != 200:
            raise NotTold(f"{path.partition('?')[0]}: {response.status} {' '.join(text.split())[:300]}")
        content: dict[str, Any] = json.loads(text)
        return content


def as_run(run: Mapping[str, Any]) -> Holder:
    """A run as MLflow describes it."""
    return Holder("runs", (("run_id", run["info"]["run_id"]),), tags_of(run.get("data", {})))


def tags_of(described: Mapping[str, Any]) -> dict[str, str]:
    """The tags in MLflow's description of something."""
    return {tag["key"]: tag["value"] for tag in described.get("tags", [])}


def tell(env: Mapping[str, str], deadline: float) -> list[str]:
    """Tells MLflow what is served; gives a sentence for each that it could not be told of."""
    faults = []
    for served in json.loads(env.get("LLMOPS_SERVED", "[]")):
        name, folder = served["name"], Path(served["run"])
        try:
            mlflow = Mlflow(env, min(deadline, time.monotonic() + SECONDS))
            tell_one(mlflow, served["tag"], f"{name} at {env['LLMOPS_SERVED_AT']}", folder)
        # Whatever it is, it must not keep a server from serving that has answered.
        except (NotTold, OSError, http.client.HTTPException, ValueError, KeyError) as error:
            reason = str(error) or type(error).__name__
            faults.append(f"MLflow was not told that {name} is served: {reason}")
    return faults


def tell_one(mlflow: Mlflow, tag: str, where: str, folder: Path) -> None:
    """Gives a tag to what is served now, and takes it from everything else."""
    run, experiment = mlflow.run(mlflow_run(folder))
    versions = list(mlflow.versions(f"run_id = '{dict(run.key)['run_id']}'"))
    holders = versions or [run]
    for holder in holders:
        # Another pod of the same server may have said so already, and since when.
        if not holder.tags.get(tag, "").startswith(f"{where} since "):
            mlflow.set_tag(holder, tag, f"{where} since {now()}")
    keys = {holder.key for holder in holders}
    has_tag = f"tags.`{tag}` LIKE '%'"
    for other in [*mlflow.versions(has_tag), *mlflow.runs(experiment, has_tag)]:
        if other.key not in keys:
            mlflow.delete_tag(other, tag)


def mlflow_run(folder: Path) -> str:
    """The id that a training run has in MLflow."""
    try:
        content = json.loads((folder / RUN_FILE).read_text())
    except FileNotFoundError:
        raise NotTold(f"{folder} has no {RUN_FILE}, so its run was not tracked") from None
    run_id = str(content.get("runId", "")) if isinstance(content, dict) else ""
    if run_id == "":
        raise NotTold(f"MLflow never answered while {folder} was trained")
    return run_id


def now() -> str:
    """The time, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
