"""What `publish` stores, and that it goes on where it was interrupted."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from models_fixtures import Pod, sha256, wait_until
from publish_fixtures import BYTES, MODEL, Publisher, Repository
from repository_server import Fault, RepositoryServer

COMPLETE = {f"run-1/{name}": content for name, content in MODEL.items()} | {"latest": b"run-1"}
SHARD = "model-00002-of-00002.safetensors"


@pytest.fixture(params=["gcs", "artifactory"])
def repository(request: pytest.FixtureRequest, server: RepositoryServer) -> Repository:
    return Repository.make(request.param, server)


@pytest.fixture
def publisher(pod: Pod, repository: Repository) -> Publisher:
    pod.tuning["upload_silence_seconds"] = 2
    publisher = Publisher(pod, more=("--anonymous",) if repository.kind == "gcs" else ())
    publisher.write(MODEL)
    return publisher


def test_stores_the_files_then_latest_then_the_record(
    publisher: Publisher, repository: Repository
) -> None:
    code, log = publisher.publish(repository)
    assert code == 0, log
    assert repository.stored() == COMPLETE
    assert [repository.below(each) for each in repository.service.layouts] == [COMPLETE]
    assert publisher.record() == {
        "uri": f"{repository.uri}/run-1",
        "latest": f"{repository.uri}/latest",
        "runId": "run-1",
        "files": [
            {"path": name, "size": len(MODEL[name]), "sha256": sha256(MODEL[name])}
            for name in (
                "config.json",
                "model-00001-of-00002.safetensors",
                "model-00002-of-00002.safetensors",
                "model.safetensors.index.json",
                "tokenizer.json",
                "extra/notes.txt",
            )
        ],
        "skipped": 0,
        "uploaded": 6,
    }
    assert sorted(path.name for path in publisher.record_file.parent.iterdir()) == [
        ".published.json",
        "merged",
    ]


def test_again_uploads_nothing_and_changes_nothing(
    publisher: Publisher, repository: Repository
) -> None:
    publisher.publish(repository)
    repository.server.requests.clear()
    code, log = publisher.publish(repository)
    assert code == 0, log
    assert {each.method for each in repository.server.requests} <= {"GET", "HEAD"}
    record = publisher.record()
    assert (record["skipped"], record["uploaded"]) == (6, 0)


def test_the_next_run_moves_latest_and_keeps_the_one_before(
    publisher: Publisher, repository: Repository
) -> None:
    publisher.publish(repository)
    publisher.run_id = "run-2"
    code, log = publisher.publish(repository)
    assert code == 0, log
    second = {f"run-2/{name}": content for name, content in MODEL.items()}
    assert repository.stored() == COMPLETE | second | {"latest": b"run-2"}


def test_a_damaged_file_is_replaced(publisher: Publisher, repository: Repository) -> None:
    publisher.publish(repository)
    repository.server.files[f"{repository.root}run-1/{SHARD}"] = b"x" * len(MODEL[SHARD])
    code, log = publisher.publish(repository)
    assert code == 0, log
    assert repository.stored() == COMPLETE
    assert publisher.record()["uploaded"] == 1


@pytest.mark.parametrize("share", [random.Random(seed).uniform(0.01, 0.99) for seed in range(6)])
def test_killed_publish_goes_on(publisher: Publisher, repository: Repository, share: float) -> None:
    server = repository.server
    server.hold_at = int(share * BYTES)
    process = publisher.start(repository)
    assert server.held.wait(20)
    process.kill()
    process.communicate()
    assert not publisher.record_file.exists()
    assert "latest" not in repository.stored()
    server.drop_held()
    wait_until(lambda: server.answering == 0, "the end of what was under way")
    code, log = publisher.publish(repository)
    assert code == 0, log
    assert repository.stored() == COMPLETE
    assert [repository.below(each) for each in repository.service.layouts] == [COMPLETE]
    assert publisher.record()["runId"] == "run-1"


@pytest.mark.parametrize("at", [0.1, 0.7])
def test_cut_connection_is_resumed(publisher: Publisher, repository: Repository, at: float) -> None:
    path = repository.upload_path(SHARD)
    repository.server.faults[path] = [Fault("cut", at, method="PUT", times=2)]
    code, log = publisher.publish(repository)
    assert code == 0, log
    assert repository.stored() == COMPLETE
    assert "again in" in log


@pytest.mark.parametrize(
    ("status", "headers", "wait"),
    [(500, {}, "again in 0.0 s"), (429, {"Retry-After": "1"}, "again in 1.0 s")],
)
def test_busy_server_is_asked_again(
    publisher: Publisher, repository: Repository, status: int, headers: dict[str, str], wait: str
) -> None:
    path = repository.upload_path(SHARD)
    repository.server.faults[path] = [
        Fault("status", status=status, headers=headers, method="PUT", times=2)
    ]
    code, log = publisher.publish(repository)
    assert code == 0, log
    assert f"HTTP {status}; {wait}" in log
    assert repository.stored() == COMPLETE


def test_server_that_stays_away_is_worth_a_retry(
    publisher: Publisher, repository: Repository
) -> None:
    path = repository.upload_path(SHARD)
    publisher.pod.tuning["retry_seconds"] = 0.3
    repository.server.faults[path] = [Fault("status", status=503, method="PUT", times=10_000)]
    code, log = publisher.publish(repository)
    assert code == 75
    assert "HTTP 503" in log.splitlines()[-1]
    assert "latest" not in repository.stored()
    assert not publisher.record_file.exists()


@pytest.mark.parametrize("status", [401, 403])
def test_refused_upload_is_given_up(
    publisher: Publisher, repository: Repository, status: int
) -> None:
    path = repository.upload_path(SHARD)
    repository.server.faults[path] = [Fault("status", status=status, method="PUT", times=99)]
    code, log = publisher.publish(repository)
    assert code == 78
    assert f"HTTP {status}, access refused" in log.splitlines()[-1]
    assert "latest" not in repository.stored()


def test_hidden_partial_and_excluded_files_stay_at_home(
    publisher: Publisher, repository: Repository
) -> None:
    publisher.write(
        {".secret": b"1", "x.partial": b"1", "checkpoint-2/a": b"1", "state.json": b"1"}
    )
    publisher.more += ("--exclude", "checkpoint-*", "--exclude", "state.json")
    code, log = publisher.publish(repository)
    assert code == 0, log
    assert repository.stored() == COMPLETE


def test_empty_files_are_published(publisher: Publisher, repository: Repository) -> None:
    publisher.write({"empty.txt": b""})
    code, log = publisher.publish(repository)
    assert code == 0, log
    assert repository.stored() == COMPLETE | {"run-1/empty.txt": b""}


@pytest.mark.parametrize("run_id", ["latest", "..", "a/b", ""])
def test_impossible_run_id_is_given_up(
    publisher: Publisher, repository: Repository, run_id: str
) -> None:
    publisher.run_id = run_id
    code, log = publisher.publish(repository)
    assert code == 78
    assert "cannot be a run id" in log
    assert repository.server.requests == []


def test_nothing_to_publish_is_told(
    publisher: Publisher, repository: Repository, tmp_path: Path
) -> None:
    publisher.more += ("--folder", str(tmp_path / "absent"))
    code, log = publisher.publish(repository)
    assert code == 78
    assert "to publish" in log
