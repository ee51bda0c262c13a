"""What `train` does with a finished model: upload, then a version in MLflow's registry."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from artifactory_server import Artifactory
from conftest import PACKAGE_ROOT, Container, stop
from repository_server import Fault, RepositoryServer
from tracking_server import TrackingServer

MODELS_ROOT = PACKAGE_ROOT.parent / "models"
WEIGHTS = "/models/lumen7/run-1/model.safetensors"
SECRET = "a-token-that-is-secret"


@pytest.fixture
def server() -> Iterator[RepositoryServer]:
    with RepositoryServer() as running:
        running.authorization = f"Bearer {SECRET}"
        Artifactory(running)
        yield running


@pytest.fixture
def publishing(
    container: Container, tracker: TrackingServer, server: RepositoryServer
) -> Container:
    container.env |= {
        "MLFLOW_TRACKING_URI": tracker.uri,
        "LLMOPS_PUBLISH": json.dumps({"kind": "artifactory", "path": "models/lumen7"}),
        "LLMOPS_REGISTERED_MODEL": "lumen7",
        "LLMOPS_MODELS_PYTHON": sys.executable,
        "LLMOPS_FETCH_TUNING": json.dumps({"backoff_seconds": 0.02, "retry_seconds": 1}),
        "ARTIFACTORY_URL": server.url,
        "ARTIFACTORY_PASSWORD": SECRET,
        "PYTHONPATH": f"{PACKAGE_ROOT}:{MODELS_ROOT}",
    }
    return container


def stored(server: RepositoryServer) -> set[str]:
    return {path.removeprefix("/models/lumen7/") for path in server.files}


def last_line(log: str) -> str:
    """The last one of ours: MLflow's client prints its own when the process ends."""
    return [line for line in log.splitlines() if line.startswith("llmops: ")][-1]


def test_publishes_and_registers_a_complete_run(
    publishing: Container, tracker: TrackingServer, server: RepositoryServer
) -> None:
    code, log = publishing.run()
    assert code == 0, log
    assert stored(server) == {"latest", "run-1/config.json", "run-1/model.safetensors"}
    assert server.files["/models/lumen7/latest"] == b"run-1"
    assert tracker.models == ["lumen7"]
    (version,) = tracker.versions
    assert (version["source"], version["run_id"]) == (
        f"{server.url}/models/lumen7/run-1",
        "mlflow-1",
    )
    merged = publishing.output / "merged"
    sums = {
        name: hashlib.sha256((merged / name).read_bytes()).hexdigest()
        for name in ("config.json", "model.safetensors")
    }
    listing = "".join(f"{sums[name]}  {name}\n" for name in sums)
    tags = {tag["key"]: tag["value"] for tag in version["tags"]}
    assert tags == {
        "llmops.run_id": "run-1",
        "llmops.manifest_sha256": hashlib.sha256(listing.encode()).hexdigest(),
        "llmops.files_sha256": json.dumps(sums),
    }
    assert [run.status for run in tracker.runs] == ["FINISHED"]
    assert SECRET not in log


def test_switched_on_later_it_publishes_without_training_again(
    publishing: Container, tracker: TrackingServer, server: RepositoryServer
) -> None:
    told = publishing.env.pop("LLMOPS_PUBLISH")
    assert publishing.run()[0] == 0
    assert stored(server) == set()
    publishing.env["LLMOPS_PUBLISH"] = told
    code, log = publishing.run()
    assert code == 0, log
    assert [call[0] for call in publishing.calls()] == ["train", "export"]
    assert "run-1/model.safetensors" in stored(server)
    assert [version["run_id"] for version in tracker.versions] == ["mlflow-1"]


def test_again_uploads_nothing_and_registers_nothing(
    publishing: Container, tracker: TrackingServer, server: RepositoryServer
) -> None:
    publishing.run()
    tracker.versions.insert(0, {"name": "lumen7", "version": "9", "source": "elsewhere"})
    server.requests.clear()
    code, log = publishing.run()
    assert code == 0, log
    assert {each.method for each in server.requests} <= {"GET", "HEAD"}
    assert len(tracker.versions) == 2
    assert "is version 1 of lumen7" in log


def test_alias_is_moved_to_the_version_that_is_published(
    publishing: Container, tracker: TrackingServer
) -> None:
    publishing.run()
    tracker.aliases["lumen7@published"] = "9"
    publishing.run()
    assert tracker.aliases == {"lumen7@published": "1"}


@pytest.mark.parametrize(("status", "exit_code"), [(403, 78), (503, 75)])
def test_failed_upload_leaves_the_run_complete(
    publishing: Container,
    tracker: TrackingServer,
    server: RepositoryServer,
    status: int,
    exit_code: int,
) -> None:
    fault = Fault("status", status=status, method="PUT", times=10_000)
    server.faults[WEIGHTS] = [fault]
    code, log = publishing.run()
    assert code == exit_code
    assert "run run-1 is complete, but not published" in last_line(log)
    assert f"HTTP {status}" in log
    assert publishing.read(".complete")["modelPath"] == str(publishing.output / "merged")
    assert "latest" not in stored(server)
    assert tracker.versions == []
    fault.times = 0
    code, log = publishing.run()
    assert code == 0, log
    assert len(publishing.calls()) == 2
    assert len(tracker.versions) == 1


def test_registry_that_stays_away_is_worth_a_retry(
    publishing: Container, tracker: TrackingServer, server: RepositoryServer
) -> None:
    publishing.env["LLMOPS_FLUSH_SECONDS"] = "1"
    tracker.stop()
    code, log = publishing.run()
    assert code == 75
    assert f"MLflow at {tracker.uri} does not register it" in last_line(log)
    assert "latest" in stored(server)
    tracker.start()
    publishing.env["LLMOPS_FLUSH_SECONDS"] = "20"
    code, log = publishing.run()
    assert code == 0, log
    assert len(tracker.versions) == 1


def test_lost_answer_registers_no_second_version(
    publishing: Container, tracker: TrackingServer
) -> None:
    publishing.env["LLMOPS_FLUSH_SECONDS"] = "4"
    tracker.fault = "version-lost"
    code, log = publishing.run()
    assert code == 0, log
    assert "again in 0.5 s" in log
    assert len(tracker.versions) == 1


def test_name_that_mlflow_refuses_is_given_up(
    publishing: Container, tracker: TrackingServer
) -> None:
    publishing.env["LLMOPS_REGISTERED_MODEL"] = "it's wrong"
    code, log = publishing.run()
    assert code == 78
    assert "a wrong name" in last_line(log)


def test_without_mlflow_nothing_is_registered(
    publishing: Container, server: RepositoryServer
) -> None:
    del publishing.env["MLFLOW_TRACKING_URI"]
    code, log = publishing.run()
    assert code == 0, log
    assert "latest" in stored(server)
    assert "no version is registered" in log


def test_an_adapter_is_published_without_checkpoints_and_state(
    publishing: Container, server: RepositoryServer
) -> None:
    publishing.env["LLMOPS_MERGE"] = "false"
    code, log = publishing.run()
    assert code == 0, log
    assert stored(server) == {
        "latest",
        "run-1/adapter_config.json",
        "run-1/adapter_model.safetensors",
        "run-1/all_results.json",
        "run-1/trainer_log.jsonl",
    }


def test_trainer_does_not_see_the_credentials(publishing: Container, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    tool = tmp_path / "bin" / "llamafactory-cli"
    tool.write_text(tool.read_text().replace("exec", f"env > '{seen}'; exec", 1))
    assert publishing.run()[0] == 0
    assert SECRET not in seen.read_text()


def test_sigterm_ends_the_upload_and_the_next_start_goes_on(
    publishing: Container, tracker: TrackingServer, server: RepositoryServer
) -> None:
    server.hold_at = 1
    process = publishing.start()
    assert server.held.wait(30)
    code, log = stop(process)
    assert code == 143, log
    assert "latest" not in stored(server)
    server.drop_held()
    code, log = publishing.run()
    assert code == 0, log
    assert len(tracker.versions) == 1


@pytest.mark.parametrize(
    ("told", "complaint"),
    [("{", "JSONDecodeError"), ('{"kind": "ftp"}', "unknown kind"), ('{"kind": "gcs"}', "uri")],
)
def test_wrong_target_is_named_before_anything_is_trained(
    publishing: Container, told: str, complaint: str
) -> None:
    publishing.env["LLMOPS_PUBLISH"] = told
    code, log = publishing.run()
    assert code == 2
    assert "LLMOPS_PUBLISH" in last_line(log)
    assert complaint in log
    assert publishing.calls() == []
