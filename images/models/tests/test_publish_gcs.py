"""What is particular to Cloud Storage when a model is published: sessions, tokens."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from gcs_uploads import QUANTUM, GcsUploads
from models_fixtures import Pod, wait_until
from publish_fixtures import MODEL, Publisher, Repository
from repository_server import Fault, Reply, RepositoryServer, Request

COMPLETE = {f"run-1/{name}": content for name, content in MODEL.items()} | {"latest": b"run-1"}
SHARD = "model-00002-of-00002.safetensors"
SIZE = len(MODEL[SHARD])
SESSIONS = "/upload/storage/v1/b/models/o"


@pytest.fixture
def publisher(pod: Pod) -> Publisher:
    pod.tuning |= {"upload_silence_seconds": 2, "files_at_once": 1}
    publisher = Publisher(pod)
    publisher.write(MODEL)
    return publisher


@pytest.fixture
def gcs(server: RepositoryServer) -> Repository:
    made = Repository.make("gcs", server)
    made.target += ("--anonymous",)
    return made


def service(gcs: Repository) -> GcsUploads:
    assert isinstance(gcs.service, GcsUploads)
    return gcs.service


def spans(server: RepositoryServer) -> list[str]:
    """What the requests of upload sessions say of their bytes."""
    return [each.headers["content-range"] for each in server.asked("PUT")]


def test_cut_session_goes_on_after_what_the_server_has(
    publisher: Publisher, gcs: Repository
) -> None:
    gcs.server.faults[SESSIONS] = [Fault("cut", 0.5, method="PUT")]
    code, log = publisher.publish(gcs)
    assert code == 0, log
    kept = SIZE // 2 // QUANTUM * QUANTUM
    assert spans(gcs.server) == [
        f"bytes 0-{SIZE - 1}/{SIZE}",
        f"bytes */{SIZE}",
        f"bytes {kept}-{SIZE - 1}/{SIZE}",
        f"bytes 0-{SIZE - 1}/{SIZE}",
    ]
    assert gcs.stored() == COMPLETE
    assert "upload_id" not in log


def test_killed_publish_goes_on_inside_a_file(publisher: Publisher, gcs: Repository) -> None:
    server = gcs.server
    server.hold_at = SIZE * 3 // 2
    process = publisher.start(gcs)
    assert server.held.wait(20)
    sessions = publisher.record_file.with_name("..published.json.sessions")
    assert sessions.stat().st_mode & 0o777 == 0o600
    process.kill()
    process.communicate()
    server.drop_held()
    wait_until(lambda: server.answering == 0, "the end of what was under way")
    code, log = publisher.publish(gcs)
    assert code == 0, log
    assert gcs.stored() == COMPLETE
    assert len(service(gcs).sessions) == 2
    kept = SIZE // 2 // QUANTUM * QUANTUM
    assert f"bytes {kept}-{SIZE - 1}/{SIZE}" in spans(server)
    assert not sessions.exists()


@pytest.mark.parametrize("status", [400, 404, 410])
def test_ended_session_is_begun_anew(publisher: Publisher, gcs: Repository, status: int) -> None:
    gcs.server.faults[SESSIONS] = [
        Fault("cut", 0.5, method="PUT"),
        Fault("status", status=status, method="PUT"),
    ]
    code, log = publisher.publish(gcs)
    assert code == 0, log
    assert len(service(gcs).sessions) == 3
    assert gcs.stored() == COMPLETE


def test_sessions_stay_on_the_endpoint(publisher: Publisher, gcs: Repository) -> None:
    with RepositoryServer() as other:
        service(gcs).location = other.url
        code, log = publisher.publish(gcs)
        assert code == 0, log
        assert other.requests == []
    assert gcs.stored() == COMPLETE


def test_lost_answer_of_the_last_bytes_is_asked_for(publisher: Publisher, gcs: Repository) -> None:
    lost: list[Reply | None] = []

    def lose(request: Request) -> Reply | None:
        """The bytes are stored, and the answer to the first ones is lost."""
        if request.method != "PUT" or lost:
            return None
        lost.append(service(gcs).take(request))
        return 503, {}, b""

    gcs.server.routes.insert(0, lose)
    code, log = publisher.publish(gcs)
    assert code == 0, log
    whole = f"bytes 0-{SIZE - 1}/{SIZE}"
    assert spans(gcs.server) == [whole, f"bytes */{SIZE}", whole]
    assert gcs.stored() == COMPLETE


def test_latest_is_not_cached(publisher: Publisher, gcs: Repository) -> None:
    publisher.publish(gcs)
    assert service(gcs).metadata["lumen7/latest"]["cacheControl"] == "no-store"


def test_key_that_may_write_is_used_and_renewed(
    publisher: Publisher, gcs: Repository, tmp_path: Path
) -> None:
    service(gcs).tokens = [f"token-{i}" for i in range(50)]
    service(gcs).uses = 3
    key = service(gcs).key_file(tmp_path)
    publisher.pod.env["GOOGLE_APPLICATION_CREDENTIALS"] = str(key)
    gcs.target = gcs.target[:-1]
    code, log = publisher.publish(gcs)
    assert code == 0, log
    assert gcs.stored() == COMPLETE
    assert service(gcs).issued > 2
    claims = json.loads(
        base64.urlsafe_b64decode(gcs.server.asked("POST", "/token")[0].body.split(b".")[1] + b"==")
    )
    assert claims["scope"] == "https://www.googleapis.com/auth/devstorage.read_write"
    assert "token-" not in log


def test_refusal_names_what_the_account_needs(
    publisher: Publisher, gcs: Repository, tmp_path: Path
) -> None:
    service(gcs).tokens = ["token-1"]
    key = service(gcs).key_file(tmp_path)
    publisher.pod.env["GOOGLE_APPLICATION_CREDENTIALS"] = str(key)
    gcs.target = gcs.target[:-1]
    gcs.server.faults[SESSIONS] = [Fault("status", status=403, method="POST", times=99)]
    code, log = publisher.publish(gcs)
    assert code == 78
    assert "let the service account read and write the bucket" in log.splitlines()[-1]
