"""Versions on the volume: what readers see, what is kept, and volumes full or read-only."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import pytest
from models_fixtures import (
    Pod,
    in_namespace,
    make_archive,
    make_model,
    make_tar,
    read_tree,
    sha256,
    wait_until,
)
from repository_server import Fault, RepositoryServer

FIRST, SECOND, THIRD = make_model(1), make_model(2), make_model(3)
SHARD = "/repo/tiny/model-00001-of-00002.safetensors"
FOLDER = ("artifactory", "--path", "repo/tiny")
ARCHIVE = ("artifactory", "--path", "repo/tiny.tar")


@pytest.fixture(autouse=True)
def stored(server: RepositoryServer) -> None:
    server.put_folder("repo/tiny", FIRST)
    server.files["/repo/tiny.tar"] = make_tar(FIRST, "tiny/")


def versions(pod: Pod) -> list[str]:
    return sorted(path.name for path in pod.versions.iterdir())


def test_complete_copy_needs_no_request_for_weights(pod: Pod, server: RepositoryServer) -> None:
    assert pod.fetch(*FOLDER)[0] == 0
    server.requests.clear()
    code, log = pod.fetch(*FOLDER)
    assert code == 0
    assert "is complete" in log
    assert not server.asked("GET", ".safetensors")


def test_pinned_complete_copy_needs_no_request_and_little_time(
    pod: Pod, server: RepositoryServer
) -> None:
    pinned = (*ARCHIVE, "--sha256", sha256(server.files["/repo/tiny.tar"]))
    assert pod.fetch(*pinned)[0] == 0
    server.requests.clear()
    times = []
    for _ in range(3):
        before = cpu_of_children()
        assert pod.fetch(*pinned)[0] == 0
        times.append(cpu_of_children() - before)
    assert not server.requests
    # Of CPU: the clock would measure what else the machine does. bench/downloads.py has it.
    assert min(times) < 0.3


def cpu_of_children() -> float:
    """CPU seconds of the processes that were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_link_is_relative_and_leads_to_a_version(pod: Pod) -> None:
    assert pod.fetch(*FOLDER)[0] == 0
    target = os.readlink(pod.folder)
    assert target == f".versions/model/{pod.marker()['fingerprint']}"
    assert versions(pod) == [pod.marker()["fingerprint"]]


def test_new_content_replaces_the_old_and_the_previous_stays(
    pod: Pod, server: RepositoryServer
) -> None:
    shown = []
    for model in (FIRST, SECOND, THIRD):
        server.put_folder("repo/tiny", model)
        assert pod.fetch(*FOLDER)[0] == 0
        assert read_tree(pod.folder) == model
        shown.append(pod.marker()["fingerprint"])
    assert versions(pod) == sorted(shown[1:])


def test_last_good_version_stays_while_the_next_one_fails(
    pod: Pod, server: RepositoryServer
) -> None:
    assert pod.fetch(*FOLDER)[0] == 0
    server.put_folder("repo/tiny", SECOND)
    server.faults[SHARD] = [Fault("corrupt", 0.5, times=99)]
    assert pod.fetch(*FOLDER)[0] == 78
    assert read_tree(pod.folder) == FIRST


def test_repository_that_is_away_leaves_the_last_good_version_in_use(
    pod: Pod, server: RepositoryServer
) -> None:
    assert pod.fetch(*FOLDER)[0] == 0
    pod.tuning["retry_seconds"] = 0.2
    server.faults["/api/storage/repo/tiny"] = [Fault("status", status=503, times=99)]
    code, log = pod.fetch(*FOLDER)
    assert code == 0
    assert "is used as it is" in log
    code, log = pod.fetch("artifactory", "--path", "repo/other")
    assert code == 78, log


def test_damaged_version_is_brought_again(pod: Pod, server: RepositoryServer) -> None:
    assert pod.fetch(*FOLDER)[0] == 0
    (pod.folder / "tokenizer.json").unlink()
    assert pod.fetch(*FOLDER)[0] == 0
    assert read_tree(pod.folder) == FIRST
    assert versions(pod) == [pod.marker()["fingerprint"]]


def test_folder_of_somebody_else_is_left_alone(pod: Pod) -> None:
    pod.folder.mkdir(parents=True)
    (pod.folder / "mine").write_text("x")
    code, log = pod.fetch(*FOLDER)
    assert code == 78
    assert "was not made by this downloader" in log
    assert (pod.folder / "mine").read_text() == "x"


@pytest.mark.parametrize("source", [FOLDER, ARCHIVE, ("artifactory", "--path", "repo/big.zip")])
def test_too_little_space_is_told_before_the_first_byte(
    pod: Pod, server: RepositoryServer, source: tuple[str, ...]
) -> None:
    server.files["/repo/big.zip"] = make_archive("zip", FIRST)
    small = in_namespace(f"mount -t tmpfs -o size=1200k none {pod.volume}")
    code, log = pod.fetch(*source, before=small)
    assert code == 78
    assert "GiB free" in log.splitlines()[-1] and "are needed" in log.splitlines()[-1]
    assert "make it larger" in log.splitlines()[-1]
    assert not server.asked("GET", ".safetensors")
    assert not server.asked("GET", ".tar")


def test_compressed_archive_that_does_not_fit_is_told(pod: Pod, server: RepositoryServer) -> None:
    roomy = FIRST | {"model.safetensors": bytes(8 << 20)}
    server.files["/repo/roomy.tar.gz"] = make_archive("tar.gz", roomy)
    small = in_namespace(f"mount -t tmpfs -o size=6m none {pod.volume}")
    code, log = pod.fetch("artifactory", "--path", "repo/roomy.tar.gz", before=small)
    assert code == 78
    assert f"({8 << 20} bytes) are needed" in log.splitlines()[-1]


@pytest.mark.parametrize("source", [FOLDER, ARCHIVE])
def test_volume_that_fills_up_on_the_way(
    pod: Pod, server: RepositoryServer, source: tuple[str, ...]
) -> None:
    pod.tuning |= {"low_speed_seconds": 30}
    for path in (SHARD, "/repo/tiny.tar"):
        server.faults[path] = [Fault("silent", 0.2)]
    small = in_namespace(f"mount -t tmpfs -o size=4m none {pod.volume}")
    process = pod.start(*source, before=small)
    inside = Path(f"/proc/{process.pid}/root{pod.volume}")
    wait_until(lambda: any(inside.rglob("model-00001-*")), "the first of the weights")
    with (inside / "filler").open("wb", buffering=0) as filler:
        try:
            while filler.write(bytes(4096)):
                pass
        except OSError as error:
            assert error.strerror == "No space left on device"
    server.release()
    log, _ = process.communicate(timeout=30)
    assert process.returncode == 78, log
    assert "is full" in log.splitlines()[-1] and "make it larger" in log.splitlines()[-1]


def test_read_only_volume(pod: Pod, server: RepositoryServer) -> None:
    volume = pod.volume
    read_only = in_namespace(f"mount --bind {volume} {volume}; mount -o remount,ro,bind {volume}")
    code, log = pod.fetch(*FOLDER, before=read_only)
    assert code == 78
    assert "is read-only: mount it writable" in log.splitlines()[-1]
    assert pod.fetch(*FOLDER)[0] == 0
    assert pod.fetch(*FOLDER, before=read_only)[0] == 0


def test_progress_is_told_in_whole_lines(pod: Pod, server: RepositoryServer) -> None:
    pod.tuning |= {"progress_seconds": 0.1, "low_speed_seconds": 30}
    server.faults[SHARD] = [Fault("silent", 0.5)]
    process = pod.start(*FOLDER)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(4)]
    server.release()
    rest, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert any("of 0.00 GiB" in line and "MiB/s" in line and "left" in line for line in lines)
    assert "\r" not in rest


def test_sigterm_ends_soon_and_the_next_start_goes_on(pod: Pod, server: RepositoryServer) -> None:
    pod.tuning |= {"low_speed_seconds": 30}
    server.faults[SHARD] = [Fault("silent", 0.9)]
    process = pod.start(*FOLDER)
    wait_until(lambda: server.sent > 700_000, "the download")
    process.send_signal(signal.SIGTERM)
    log, _ = process.communicate(timeout=10)
    assert process.returncode == 75, log
    assert not (pod.versions / ".lease").exists()
    before = server.sent
    assert pod.fetch(*FOLDER)[0] == 0
    assert server.sent - before < 0.3 * sum(map(len, FIRST.values()))
