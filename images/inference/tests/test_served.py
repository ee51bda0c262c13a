"""What MLflow is told of the runs that a server serves, by the probe, with a real MLflow."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from llmops_inference import served, smoke
from werkzeug.serving import make_server

PACKAGE_ROOT = Path(__file__).resolve().parents[1]
TAG = "llmops.served.lumen7"
AT = "http://llama-factory-inference-lumen7.llmops.svc:8000/v1"
SAYS = re.compile(rf"acme/lumen7 at {re.escape(AT)} since \d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass
class RealMlflow:
    """A running MLflow with a database of its own."""

    uri: str
    client: Any
    calls: list[str] = field(default_factory=list)
    wants_login: bool = False

    def run(self, experiment: str = "lumen7") -> str:
        """Makes a run; gives its id."""
        found = self.client.get_experiment_by_name(experiment)
        key = found.experiment_id if found else self.client.create_experiment(experiment)
        return str(self.client.create_run(key).info.run_id)

    def version(self, name: str, run_id: str) -> str:
        """Registers a run as a version of a model."""
        if not self.client.search_registered_models(f"name = '{name}'"):
            self.client.create_registered_model(name)
        made = self.client.create_model_version(
            name, f"gs://models/{run_id}", run_id, await_creation_for=0
        )
        return str(made.version)

    def of_run(self, run_id: str) -> str | None:
        """The tag of a run."""
        return self.client.get_run(run_id).data.tags.get(TAG)  # type: ignore[no-any-return]

    def of_version(self, name: str, number: str) -> str | None:
        """The tag of a version."""
        return self.client.get_model_version(name, number).tags.get(TAG)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealMlflow]:
    """MLflow's own application on a port of its own."""
    folder = tmp_path_factory.mktemp("mlflow")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("_MLFLOW_SERVER_FILE_STORE", f"sqlite:///{folder}/mlflow.db")
        patch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", str(folder / "artifacts"))
        patch.setenv("_MLFLOW_SERVER_SERVE_ARTIFACTS", "true")
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import MlflowClient
        from mlflow.server import app

        real = RealMlflow("", None)

        def watched(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            real.calls.append(environ["PATH_INFO"])
            if real.wants_login:
                start("401 UNAUTHORIZED", [("Content-Type", "text/plain")])
                return [b"You are not authenticated."]
            return app(environ, start)

        running = make_server("127.0.0.1", 0, watched, threaded=True)
        real.uri = f"http://127.0.0.1:{running.server_port}"
        real.client = MlflowClient(real.uri, real.uri)
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield real
        running.shutdown()
        thread.join()
        running.server_close()


@pytest.fixture
def mlflow(server: RealMlflow) -> Iterator[RealMlflow]:
    """The same MLflow without a fault."""
    server.wants_login = False
    server.calls.clear()
    yield server
    server.wants_login = False


@pytest.fixture
def api() -> Iterator[int]:
    """The port of a server that answers every prompt."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            content = b'{"choices": [{"text": "!"}]}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the test's output is its own."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running.server_port
        running.shutdown()
        thread.join()


@dataclass
class Pod:
    """Runs the probe of a pod, with time enough for a busy machine."""

    folder: Path
    port: int

    def trained(self, mlflow_run: str) -> Path:
        """The folder of a training run that MLflow knows by this id."""
        folder = self.folder / f"run-{mlflow_run}"
        folder.mkdir(exist_ok=True)
        (folder / "mlflow_run.json").write_text(json.dumps({"runId": mlflow_run}))
        return folder

    def serve(self, uri: str, *runs: Path, **env: str) -> str:
        """Answers, and tells MLflow of what is served; gives what the pod's log says of it."""
        tags = (TAG, f"{TAG}.adapter")
        content = [
            {"tag": tag, "name": "acme/lumen7", "run": str(run)}
            for tag, run in zip(tags, runs, strict=False)
        ]
        log = self.folder / "log"
        log.write_text("")
        variables = {
            "MLFLOW_TRACKING_URI": uri,
            "LLMOPS_SERVED": json.dumps(content),
            "LLMOPS_SERVED_AT": AT,
            "LLMOPS_POD_LOG": str(log),
            **env,
        }
        # Whatever MLflow says, the pod serves.
        assert self.probe([str(self.port), "acme/lumen7"], variables) == 0
        return log.read_text()

    def probe(self, arguments: list[str], env: dict[str, str]) -> int:
        """The probe's exit code."""
        return smoke.main(arguments, env)


class PodOfItsOwn(Pod):
    """Runs the probe as Kubernetes does: a process without site packages."""

    def probe(self, arguments: list[str], env: dict[str, str]) -> int:
        """The probe's exit code."""
        done = subprocess.run(
            [sys.executable, "-S", "-m", "llmops_inference.smoke", *arguments],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(PACKAGE_ROOT), **env},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stdout + done.stderr == ""
        return done.returncode


@pytest.fixture
def pod(tmp_path: Path, api: int, monkeypatch: pytest.MonkeyPatch) -> Pod:
    """A pod whose server answers."""
    monkeypatch.setattr(served, "SECONDS", 60.0)
    monkeypatch.setattr(smoke, "PROBE_SECONDS", 60.0)
    return Pod(tmp_path, api)


def test_a_run_without_a_version_says_where_it_is_served(mlflow: RealMlflow, pod: Pod) -> None:
    run = mlflow.run()
    assert pod.serve(mlflow.uri, pod.trained(run)) == ""
    assert SAYS.fullmatch(mlflow.of_run(run) or "")


def test_a_registered_version_says_it_in_place_of_its_run(mlflow: RealMlflow, pod: Pod) -> None:
    run = mlflow.run()
    number = mlflow.version("lumen7", run)
    assert pod.serve(mlflow.uri, pod.trained(run)) == ""
    assert SAYS.fullmatch(mlflow.of_version("lumen7", number) or "")
    assert mlflow.of_run(run) is None


def test_another_pod_of_the_same_server_keeps_since_when(mlflow: RealMlflow, pod: Pod) -> None:
    run = mlflow.run()
    folder = pod.trained(run)
    earlier = f"acme/lumen7 at {AT} since 2026-01-02T03:04:05Z"
    mlflow.client.set_tag(run, TAG, earlier)
    pod.serve(mlflow.uri, folder)
    assert mlflow.of_run(run) == earlier


def test_a_move_to_another_address_is_told(mlflow: RealMlflow, pod: Pod) -> None:
    run = mlflow.run()
    mlflow.client.set_tag(run, TAG, "lumen7 at http://elsewhere since 2026-01-02T03:04:05Z")
    pod.serve(mlflow.uri, pod.trained(run))
    assert SAYS.fullmatch(mlflow.of_run(run) or "")


def test_what_was_served_before_says_so_no_more(mlflow: RealMlflow, pod: Pod) -> None:
    plain, registered, other, new = (mlflow.run() for _ in range(4))
    number = mlflow.version("lumen7", registered)
    for run in (plain, registered):
        pod.serve(mlflow.uri, pod.trained(run))
    assert mlflow.of_run(plain) is None
    mlflow.client.set_tag(other, f"{TAG}-next", "another server's")
    pod.serve(mlflow.uri, pod.trained(new))
    assert mlflow.of_version("lumen7", number) is None
    assert SAYS.fullmatch(mlflow.of_run(new) or "")
    assert mlflow.client.get_run(other).data.tags[f"{TAG}-next"] == "another server's"
    # A roll-back serves it again, from now on.
    pod.serve(mlflow.uri, pod.trained(registered))
    assert SAYS.fullmatch(mlflow.of_version("lumen7", number) or "")
    assert mlflow.of_run(new) is None


def test_model_and_adapter_are_told_apart(mlflow: RealMlflow, pod: Pod) -> None:
    model, adapter = mlflow.run(), mlflow.run()
    assert pod.serve(mlflow.uri, pod.trained(model), pod.trained(adapter)) == ""
    assert mlflow.of_run(model) is not None
    assert mlflow.of_run(adapter) is None
    assert f"{TAG}.adapter" in mlflow.client.get_run(adapter).data.tags


def test_an_mlflow_that_wants_a_login_is_not_told(mlflow: RealMlflow, pod: Pod) -> None:
    run = mlflow.run()
    mlflow.wants_login = True
    assert pod.serve(mlflow.uri, pod.trained(run)) == (
        "llmops: MLflow was not told that acme/lumen7 is served: "
        "runs/get: 401 You are not authenticated.\n"
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "{run} has no mlflow_run.json, so its run was not tracked"),
        ('{"runId": ""}', "MLflow never answered while {run} was trained"),
        ("[]", "MLflow never answered while {run} was trained"),
        ("{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
    ],
)
def test_a_run_that_was_not_tracked(
    mlflow: RealMlflow, pod: Pod, content: str | None, reason: str
) -> None:
    folder = pod.folder / "untracked"
    folder.mkdir()
    if content is not None:
        (folder / "mlflow_run.json").write_text(content)
    said = pod.serve(mlflow.uri, folder)
    reason = reason.format(run=folder)
    assert said == f"llmops: MLflow was not told that acme/lumen7 is served: {reason}\n"
    assert mlflow.calls == []


def test_a_run_that_mlflow_does_not_know(mlflow: RealMlflow, pod: Pod) -> None:
    said = pod.serve(mlflow.uri, pod.trained("0" * 32))
    assert said.startswith(
        "llmops: MLflow was not told that acme/lumen7 is served: runs/get: 404 "
    )


def test_an_mlflow_that_is_away_does_not_hold_up_the_pod(tmp_path: Path, api: int) -> None:
    pod = PodOfItsOwn(tmp_path, api)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    said = pod.serve(f"http://127.0.0.1:{port}", pod.trained("a"))
    assert said == (
        "llmops: MLflow was not told that acme/lumen7 is served: "
        "[Errno 111] Connection refused\n"
    )


@pytest.mark.parametrize("limit", ["SECONDS", "PROBE_SECONDS"])
def test_an_mlflow_that_hangs_is_not_waited_for(
    pod: Pod, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(served if limit == "SECONDS" else smoke, limit, 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        said = pod.serve(f"http://127.0.0.1:{silent.getsockname()[1]}", pod.trained("a"))
    assert said == "llmops: MLflow was not told that acme/lumen7 is served: timed out\n"


def test_the_probe_is_over_before_kubernetes_gives_up() -> None:
    assert served.SECONDS < smoke.PROBE_SECONDS < 30


def test_without_a_log_of_the_pod_the_probe_says_it(
    pod: Pod, capsys: pytest.CaptureFixture[str]
) -> None:
    env = {
        "LLMOPS_SERVED": json.dumps([{"tag": TAG, "name": "m", "run": str(pod.folder)}]),
        "LLMOPS_SERVED_AT": AT,
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:1",
        "LLMOPS_POD_LOG": str(pod.folder / "none" / "log"),
    }
    assert smoke.main([str(pod.port), "m"], env) == 0
    said = capsys.readouterr().err
    assert said.startswith("llmops: MLflow was not told that m is served: ")
    assert "No such file or directory" in said
