"""Faults of the network and the server: survived, or ended by an error that says what to do."""

from __future__ import annotations

import base64
import time

import pytest
from models_fixtures import ONE_STREAM, RANGES, Pod, make_archive, make_model, read_tree, sha256
from repository_server import Fault, Reply, RepositoryServer, Request

MODEL = make_model()
SHARD = "/repo/tiny/model-00001-of-00002.safetensors"
FOLDER = ("artifactory", "--path", "repo/tiny")
KINDS = ["tar", "tar.gz", "tar.zst", "zip", "stored.zip"]


@pytest.fixture(autouse=True)
def stored(server: RepositoryServer) -> None:
    server.put_folder("repo/tiny", MODEL)


def put_archive(server: RepositoryServer, kind: str) -> tuple[str, bytes]:
    content = make_archive(kind, MODEL, "tiny/")
    path = f"/repo/tiny.{kind}"
    server.files[path] = content
    return path, content


def archive(path: str) -> tuple[str, ...]:
    return ("artifactory", "--path", path.lstrip("/"))


def test_brings_a_folder_with_its_manifest(pod: Pod, server: RepositoryServer) -> None:
    code, log = pod.fetch(*FOLDER)
    assert code == 0, log
    assert read_tree(pod.folder) == MODEL
    assert {each["path"]: (each["size"], each["sha256"]) for each in pod.marker()["files"]} == {
        name: (len(content), sha256(content)) for name, content in MODEL.items()
    }
    assert pod.marker()["source"] == {"kind": "artifactory", "url": server.url, "path": "repo/tiny"}


@pytest.mark.parametrize("at", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("connections", [ONE_STREAM, RANGES])
def test_cut_connections_are_taken_up_where_they_ended(
    pod: Pod, server: RepositoryServer, at: float, connections: int
) -> None:
    pod.tuning["connections"] = connections
    server.faults[SHARD] = [Fault("cut", at)]
    code, log = pod.fetch(*FOLDER)
    assert code == 0, log
    assert "again in" in log
    assert read_tree(pod.folder) == MODEL
    assert server.sent < 1.05 * sum(map(len, MODEL.values()))


@pytest.mark.parametrize("at", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("kind", KINDS)
def test_cut_archives_go_on_in_the_same_process(
    pod: Pod, server: RepositoryServer, kind: str, at: float
) -> None:
    path, content = put_archive(server, kind)
    server.faults[path] = [Fault("cut", at)]
    code, log = pod.fetch(*archive(path))
    assert code == 0, log
    assert read_tree(pod.folder) == MODEL
    assert server.sent < 1.1 * len(content)


@pytest.mark.parametrize("path", [SHARD, "/repo/tiny.tar"])
def test_server_without_ranges_is_read_in_one_go(
    pod: Pod, server: RepositoryServer, path: str
) -> None:
    server.ranges = False
    put_archive(server, "tar")
    server.faults[path] = [Fault("cut", 0.5)]
    code, log = pod.fetch(*(FOLDER if path == SHARD else archive(path)))
    assert code == 0, log
    assert read_tree(pod.folder) == MODEL


@pytest.mark.parametrize("connections", [ONE_STREAM, RANGES])
def test_server_that_promises_ranges_and_sends_whole_files(
    pod: Pod, server: RepositoryServer, connections: int
) -> None:
    pod.tuning["connections"] = connections
    content = MODEL["model-00001-of-00002.safetensors"]
    server.routes.append(
        lambda request: (200, {}, content) if asks_for(request, "bytes=") else None
    )
    server.faults[SHARD] = [Fault("cut", 0.5)]
    code, log = pod.fetch(*FOLDER)
    assert code == 0, log
    assert read_tree(pod.folder) == MODEL


def asks_for(request: Request, span: str) -> bool:
    """Whether the first shard is asked for in a range that begins so."""
    asked = request.headers.get("range", "")
    return (request.method, request.path) == ("GET", SHARD) and asked.startswith(span)


def test_one_stream_asks_for_one_range_after_the_other(pod: Pod, server: RepositoryServer) -> None:
    pod.tuning["connections"] = ONE_STREAM
    assert pod.fetch(*FOLDER)[0] == 0
    assert [each.headers["range"] for each in server.asked("GET", SHARD)] == [
        "bytes=0-149999",
        "bytes=150000-299999",
        "bytes=300000-399999",
    ]


@pytest.mark.parametrize("status", [429, 503])
def test_range_that_is_refused_late_is_asked_for_again_and_no_other(
    pod: Pod, server: RepositoryServer, status: int
) -> None:
    """The first range takes longer than a request may be tried again without getting anywhere."""
    pod.tuning |= {"connections": ONE_STREAM, "retry_seconds": 0.3}
    refusals = [status]

    def answer(request: Request) -> Reply | None:
        if asks_for(request, "bytes=0-"):
            time.sleep(0.5)
        refused = asks_for(request, "bytes=150000-") and refusals
        return (refusals.pop(), {}, b"not now") if refused else None

    server.routes.append(answer)
    code, log = pod.fetch(*FOLDER)
    assert code == 0, log
    assert f"HTTP {status}; again in" in log
    assert read_tree(pod.folder) == MODEL
    assert server.sent < 1.05 * sum(map(len, MODEL.values()))


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "pulumi config set --secret ARTIFACTORY_USERNAME"),
        (403, "pulumi config set --secret ARTIFACTORY_USERNAME"),
        (404, "there is no such path"),
    ],
)
def test_refusals_name_the_address_the_status_and_the_remedy(
    pod: Pod, server: RepositoryServer, status: int, words: str
) -> None:
    path, _ = put_archive(server, "tar")
    server.faults[path] = [Fault("status", status=status, times=99, method="HEAD")]
    pod.env |= {"ARTIFACTORY_USERNAME": "reader", "ARTIFACTORY_PASSWORD": "s3cret-pass"}
    code, log = pod.fetch(*archive(path))
    assert code == 78
    assert f"{server.url}/repo/tiny.tar: HTTP {status}" in log.splitlines()[-1]
    assert words in log.splitlines()[-1]
    assert "s3cret-pass" not in log
    assert base64.b64encode(b"reader:s3cret-pass").decode() not in log
    assert pod.nothing_visible()


@pytest.mark.parametrize("connections", [ONE_STREAM, RANGES])
@pytest.mark.parametrize("status", [401, 403, 404])
def test_refusals_of_one_file_of_a_folder_end_it_too(
    pod: Pod, server: RepositoryServer, status: int, connections: int
) -> None:
    pod.tuning["connections"] = connections
    server.faults[SHARD] = [Fault("status", status=status, times=99)]
    code, log = pod.fetch(*FOLDER)
    assert code == 78
    assert f"{server.url}{SHARD}: HTTP {status}" in log.splitlines()[-1]
    assert pod.nothing_visible()


def test_path_that_is_no_folder_is_named(pod: Pod, server: RepositoryServer) -> None:
    code, log = pod.fetch("artifactory", "--path", "repo/absent")
    assert code == 78
    assert f"{server.url}/repo/absent: there is no such folder" in log


@pytest.mark.parametrize("connections", [ONE_STREAM, RANGES])
def test_429_waits_as_long_as_the_server_says(
    pod: Pod, server: RepositoryServer, connections: int
) -> None:
    pod.tuning["connections"] = connections
    server.faults[SHARD] = [Fault("status", status=429, headers={"Retry-After": "1"})]
    since = time.monotonic()
    code, log = pod.fetch(*FOLDER)
    assert code == 0, log
    assert time.monotonic() - since >= 1
    assert "HTTP 429; again in 1.0 s" in log


def test_500_then_fine(pod: Pod, server: RepositoryServer) -> None:
    server.faults[SHARD] = [Fault("status", status=500, times=3)]
    code, log = pod.fetch(*FOLDER)
    assert code == 0, log
    assert read_tree(pod.folder) == MODEL


def test_500_for_ever_ends_in_bounded_time_as_worth_a_retry(
    pod: Pod, server: RepositoryServer
) -> None:
    pod.tuning["retry_seconds"] = 0.5
    server.faults[SHARD] = [Fault("status", status=503, times=10_000)]
    code, log = pod.fetch(*FOLDER)
    assert code == 75
    assert f"{server.url}{SHARD}: HTTP 503" in log.splitlines()[-1]
    assert pod.nothing_visible()


@pytest.mark.parametrize("connections", [ONE_STREAM, RANGES])
def test_silent_server_is_cut_off_and_asked_again(
    pod: Pod, server: RepositoryServer, connections: int
) -> None:
    pod.tuning["connections"] = connections
    server.faults[SHARD] = [Fault("silent", 0.5)]
    code, log = pod.fetch(*FOLDER)
    assert code == 0, log
    assert "too slow or silent" in log
    assert read_tree(pod.folder) == MODEL


def test_no_server_at_all_is_worth_a_retry(pod: Pod) -> None:
    pod.env["ARTIFACTORY_URL"] = "http://127.0.0.1:9"
    pod.tuning["retry_seconds"] = 0.2
    code, log = pod.fetch(*FOLDER)
    assert code == 75
    assert "http://127.0.0.1:9/api/storage/repo/tiny" in log.splitlines()[-1]


@pytest.mark.parametrize("connections", [ONE_STREAM, RANGES])
@pytest.mark.parametrize("kind", ["corrupt", "longer"])
def test_wrong_content_once_is_downloaded_again(
    pod: Pod, server: RepositoryServer, kind: str, connections: int
) -> None:
    pod.tuning["connections"] = connections
    server.faults[SHARD] = [Fault(kind, 0.5)]
    code, log = pod.fetch(*FOLDER)
    assert code == 0, log
    assert "once more from the beginning" in log
    assert read_tree(pod.folder) == MODEL


@pytest.mark.parametrize("kind", ["corrupt", "longer"])
def test_wrong_content_twice_is_given_up(pod: Pod, server: RepositoryServer, kind: str) -> None:
    server.faults[SHARD] = [Fault(kind, 0.5, times=99)]
    code, log = pod.fetch(*FOLDER)
    assert code == 78
    assert "twice: the source is damaged" in log.splitlines()[-1]
    assert "model-00001-of-00002.safetensors" in log.splitlines()[-1]
    assert pod.nothing_visible()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("times", "expected"), [(1, 0), (99, 78)])
def test_damaged_archives(
    pod: Pod, server: RepositoryServer, kind: str, times: int, expected: int
) -> None:
    path, _ = put_archive(server, kind)
    server.faults[path] = [Fault("corrupt", 0.5, times=times)]
    code, log = pod.fetch(*archive(path))
    assert code == expected, log
    assert "once more from the beginning" in log
    assert pod.nothing_visible() == (expected != 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.3, 0.97])
def test_truncated_archives_are_given_up(
    pod: Pod, server: RepositoryServer, kind: str, share: float
) -> None:
    path, content = put_archive(server, kind)
    server.files[path] = content[: int(len(content) * share)]
    code, log = pod.fetch(*archive(path))
    assert code == 78, log
    assert "store" in log.splitlines()[-1] and "again" in log.splitlines()[-1]
    assert pod.nothing_visible()


def test_configured_sha256_is_compared_before_the_first_byte(
    pod: Pod, server: RepositoryServer
) -> None:
    path, content = put_archive(server, "tar")
    code, log = pod.fetch(*archive(path), "--sha256", "0" * 64)
    assert code == 78
    assert f"reports sha256 {sha256(content)}" in log
    assert not server.asked("GET")


def test_configured_sha256_is_verified_where_the_server_reports_none(
    pod: Pod, server: RepositoryServer
) -> None:
    server.checksums = False
    path, content = put_archive(server, "zip")
    assert pod.fetch(*archive(path), "--sha256", sha256(content))[0] == 0
    pod.name = "other"
    code, log = pod.fetch(*archive(path), "--sha256", "1" * 64)
    assert code == 78
    assert f"sha256 is {sha256(content)} and should be {'1' * 64}" in log
