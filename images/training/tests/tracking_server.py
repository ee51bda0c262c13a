"""An HTTP server with the part of MLflow's REST interface that a run uses, and faults on demand."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlparse


@dataclass
class Run:
    """What the server knows of a run."""

    id: str
    status: str = "RUNNING"
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: list[tuple[str, int, float]] = field(default_factory=list)
    taken: set[tuple[str, int, float, int]] = field(default_factory=set)
    artifacts: list[str] = field(default_factory=list)

    def steps(self, metric: str) -> list[int]:
        return [step for name, step, _ in self.metrics if name == metric]


# What is carried out and not acknowledged, by fault: the end of the path, and a part of the body.
LOST = {
    "lost": ("runs/create", b""),
    "metrics-lost": ("runs/log-batch", b'"step"'),
    "version-lost": ("model-versions/create", b""),
}


class TrackingServer:
    """MLflow's stand-in; `fault` is None, "error", "hang" or "lost".

    "error" answers 500, "hang" does not answer, "lost" starts a run and then answers 500;
    "metrics-lost" and "version-lost" do the same with metrics and with a version of a model.
    """

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.models: list[str] = []
        self.versions: list[dict[str, Any]] = []
        self.aliases: dict[str, str] = {}
        self.requests = 0
        self.fault: str | None = None
        self._experiments: dict[str, str] = {}
        self._server: ThreadingHTTPServer | None = None
        self._port = 0
        self._released = threading.Event()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Listens, on the same port as before where there was one."""
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                owner.answer(self)

            do_GET = do_POST = do_PUT = do_PATCH = handle_any

            def log_message(self, format: str, *args: Any) -> None:
                """Keeps the test's output clean."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Goes away: connections are refused."""
        self._released.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answers one request, or fails as asked."""
        self.requests += 1
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        fault = self.fault
        if fault == "hang":
            self._released.wait()
            return
        status, content = 500, {"error_code": "INTERNAL_ERROR", "message": "asked to fail"}
        if fault != "error":
            reply = self.handle(request.path, body)
            end, part = LOST.get(fault or "", ("/none", b""))
            if not (request.path.endswith(end) and part in body):
                status, content = reply
        data = json.dumps(content).encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)

    def handle(self, address: str, body: bytes) -> tuple[int, dict[str, Any]]:
        path = urlparse(address).path
        if "/mlflow-artifacts/artifacts/" in path:
            run, _, name = path.split("/artifacts/", 1)[1].partition("/artifacts/")
            self.run(run).artifacts.append(name)
            return 200, {}
        call = path.split("/mlflow/", 1)[1].replace("/", "_").replace("-", "_")
        data = json.loads(body or b"{}") or dict(parse_qsl(urlparse(address).query))
        return getattr(self, call)(data)  # type: ignore[no-any-return]

    def run(self, run_id: str) -> Run:
        return next(run for run in self.runs if run.id == run_id)

    def experiments_get_by_name(self, _data: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        for name, key in self._experiments.items():
            return 200, {"experiment": {"experiment_id": key, "name": name}}
        return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no experiment"}

    def experiments_create(self, data: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self._experiments[data["name"]] = "1"
        return 200, {"experiment_id": "1"}

    def runs_search(self, data: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        wanted = data["filter"].split("'")[1]
        hits = [run for run in self.runs if run.tags.get("llmops.run_id") == wanted]
        return 200, {"runs": [self.describe(run) for run in hits]}

    def runs_create(self, data: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        run = Run(f"mlflow-{len(self.runs) + 1}")
        run.tags = {tag["key"]: tag["value"] for tag in data["tags"]}
        self.runs.append(run)
        return 200, {"run": self.describe(run)}

    def runs_get(self, _data: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return 200, {"run": self.describe(self.runs[-1])}

    def runs_update(self, data: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        run = self.run(data["run_id"])
        run.status = data.get("status", run.status)
        return 200, {"run_info": self.describe(run)["info"]}

    def runs_log_batch(self, data: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        run = self.run(data["run_id"])
        run.params |= {param["key"]: param["value"] for param in data.get("params", [])}
        run.tags |= {tag["key"]: tag["value"] for tag in data.get("tags", [])}
        for metric in data.get("metrics", []):
            point = (metric["key"], int(metric.get("step", 0)), float(metric["value"]))
            # As MLflow's database does: what is the same to the millisecond is one value.
            if (*point, metric["timestamp"]) not in run.taken:
                run.taken.add((*point, metric["timestamp"]))
                run.metrics.append(point)
        return 200, {}

    def registered_models_create(self, data: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if "'" in data["name"]:
            return 400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "a wrong name"}
        if data["name"] in self.models:
            return 400, {"error_code": "RESOURCE_ALREADY_EXISTS", "message": "is there"}
        self.models.append(data["name"])
        return 200, {"registered_model": {"name": data["name"]}}

    def model_versions_search(self, data: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """One version a page."""
        wanted = data["filter"].split("'")[1]
        hits = [each for each in self.versions if each["name"] == wanted]
        start = int(data.get("page_token", 0))
        more = {"next_page_token": str(start + 1)} if start + 1 < len(hits) else {}
        return 200, {"model_versions": hits[start : start + 1]} | more

    def model_versions_create(self, data: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        number = sum(each["name"] == data["name"] for each in self.versions) + 1
        self.versions.append(data | {"version": str(number)})
        return 200, {"model_version": self.versions[-1]}

    def registered_models_get(self, data: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return 200, {"registered_model": {"name": data["name"]}}

    def registered_models_alias(self, data: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.aliases[f"{data['name']}@{data['alias']}"] = data["version"]
        return 200, {}

    def describe(self, run: Run) -> dict[str, Any]:
        info = {
            "run_id": run.id,
            "run_uuid": run.id,
            "experiment_id": "1",
            "status": run.status,
            "start_time": int(time.time() * 1000),
            "artifact_uri": f"mlflow-artifacts:/{run.id}/artifacts",
            "lifecycle_stage": "active",
        }
        tags = [{"key": key, "value": value} for key, value in run.tags.items()]
        return {"info": info, "data": {"tags": tags}}
