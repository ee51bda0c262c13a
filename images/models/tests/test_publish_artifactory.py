"""What is particular to Artifactory when a model is published: checksum deploys, credentials."""

from __future__ import annotations

import base64

import pytest
from artifactory_server import Artifactory
from models_fixtures import Pod, wait_until
from publish_fixtures import BYTES, MODEL, Publisher, Repository
from repository_server import RepositoryServer

COMPLETE = {f"run-1/{name}": content for name, content in MODEL.items()} | {"latest": b"run-1"}
SHARD = "model-00002-of-00002.safetensors"
SIZE = len(MODEL[SHARD])


@pytest.fixture
def publisher(pod: Pod) -> Publisher:
    pod.tuning |= {"upload_silence_seconds": 2, "files_at_once": 1}
    publisher = Publisher(pod)
    publisher.write(MODEL)
    return publisher


@pytest.fixture
def artifactory(server: RepositoryServer) -> Repository:
    return Repository.make("artifactory", server)


def test_known_content_is_deployed_without_its_bytes(
    publisher: Publisher, artifactory: Repository
) -> None:
    publisher.publish(artifactory)
    before = artifactory.server.received
    assert before == BYTES + len("run-1")
    publisher.run_id = "run-2"
    code, log = publisher.publish(artifactory)
    assert code == 0, log
    assert artifactory.server.received - before == len("run-2")
    assert {f"run-2/{name}" for name in MODEL} <= set(artifactory.stored())
    record = publisher.record()
    assert (record["skipped"], record["uploaded"]) == (6, 0)


def test_server_without_checksum_deploys_gets_the_bytes(
    publisher: Publisher, artifactory: Repository
) -> None:
    assert isinstance(artifactory.service, Artifactory)
    artifactory.service.knows_deploys = False
    code, log = publisher.publish(artifactory)
    assert code == 0, log
    assert artifactory.stored() == COMPLETE


def test_server_that_reports_no_checksum_is_given_up(
    publisher: Publisher, artifactory: Repository
) -> None:
    artifactory.server.checksums = False
    code, log = publisher.publish(artifactory)
    assert code == 78
    assert "reports no checksum" in log.splitlines()[-1]
    assert "latest" not in artifactory.stored()


def test_wrongly_stored_file_is_noticed(publisher: Publisher, artifactory: Repository) -> None:
    assert isinstance(artifactory.service, Artifactory)
    artifactory.service.damaged = SHARD
    code, log = publisher.publish(artifactory)
    assert code == 75
    assert "uploaded again at the next start" in log.splitlines()[-1]
    assert "latest" not in artifactory.stored()
    artifactory.service.damaged = ""
    code, log = publisher.publish(artifactory)
    assert code == 0, log
    assert artifactory.stored() == COMPLETE


def test_an_upload_that_takes_long_is_tried_again_all_the_same(
    publisher: Publisher, artifactory: Repository
) -> None:
    publisher.pod.tuning |= {"upload_silence_seconds": 1, "retry_seconds": 0.5}
    server = artifactory.server
    server.hold_at = SIZE // 2
    process = publisher.start(artifactory)
    assert server.held.wait(20)
    wait_until(lambda: server.answering == 2, "the second try, longer than retry_seconds later")
    server.drop_held()
    log, _ = process.communicate(timeout=30)
    assert process.returncode == 0, log
    assert artifactory.stored() == COMPLETE


@pytest.mark.parametrize(
    ("env", "header"),
    [
        (
            {"ARTIFACTORY_USERNAME": "writer", "ARTIFACTORY_PASSWORD": "p:ss"},
            "Basic " + base64.b64encode(b"writer:p:ss").decode(),
        ),
        ({"ARTIFACTORY_PASSWORD": "a-token"}, "Bearer a-token"),
    ],
)
def test_credentials_are_sent_and_not_shown(
    publisher: Publisher, artifactory: Repository, env: dict[str, str], header: str
) -> None:
    artifactory.server.authorization = header
    publisher.pod.env |= env
    code, log = publisher.publish(artifactory)
    assert code == 0, log
    assert artifactory.stored() == COMPLETE
    shown = log + publisher.record_file.read_text()
    assert not [value for value in env.values() if value in shown]


def test_redirected_upload_takes_no_credentials_along(
    publisher: Publisher, artifactory: Repository
) -> None:
    path = artifactory.upload_path(SHARD)
    publisher.pod.env["ARTIFACTORY_PASSWORD"] = "a-token"
    with RepositoryServer() as other:
        Artifactory(other)
        elsewhere = other.url.replace("127.0.0.1", "localhost")
        artifactory.server.redirects[path] = f"{elsewhere}/kept?X-Signature=hidden"
        code, log = publisher.publish(artifactory)
        assert code == 0, log
        assert other.files == {"/kept": MODEL[SHARD]}
        assert all("authorization" not in each.headers for each in other.requests)
    assert "hidden" not in log
