"""Several pods on one volume, kills at any moment, and clocks that are wrong."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from models_fixtures import (
    ONE_STREAM,
    RANGES,
    Pod,
    make_archive,
    make_model,
    read_tree,
    wait_until,
)
from repository_server import Fault, RepositoryServer

KINDS = ["tar", "tar.gz", "tar.zst", "zip", "stored.zip"]
FOLDER = ("artifactory", "--path", "repo/tiny")
SHARD = "/repo/tiny/model-00001-of-00002.safetensors"
MODEL = make_model()
SIZE = sum(map(len, MODEL.values()))
DAY = 86_400


def put(server: RepositoryServer, kind: str, model: dict[str, bytes]) -> tuple[str, ...]:
    """Stores a model as a folder or an archive."""
    if kind == "folder":
        server.put_folder("repo/tiny", model)
        return FOLDER
    server.files[f"/repo/tiny.{kind}"] = make_archive(kind, model, "tiny/")
    return ("artifactory", "--path", f"repo/tiny.{kind}")


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_three_at_once_do_the_work_once(pod: Pod, server: RepositoryServer, kind: str) -> None:
    source = put(server, kind, MODEL)
    running = [pod.start(*source) for _ in range(3)]
    logs = [process.communicate(timeout=40)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], logs
    assert read_tree(pod.folder) == MODEL
    assert server.sent < 1.1 * SIZE


@pytest.mark.parametrize("connections", [ONE_STREAM, RANGES])
@pytest.mark.parametrize(
    ("kind", "share"),
    [("folder", 0.5), ("tar", 0.5), ("stored.zip", 0.5), ("zip", 0.6), ("tar.gz", 1.1)],
)
def test_killed_download_goes_on_where_it_was(
    pod: Pod, server: RepositoryServer, kind: str, share: float, connections: int
) -> None:
    """`share`: how much of the source may be asked for again after a kill at 85 %."""
    pod.tuning |= {"low_speed_seconds": 30, "connections": connections}
    pod.tuning["chunk_bytes"] = 16 << 10
    source = put(server, kind, MODEL)
    path = SHARD if kind == "folder" else f"/repo/tiny.{kind}"
    server.faults[path] = [Fault("silent", 0.85)]
    process = pod.start(*source)
    wait_until(lambda: server.faults[path][0].times == 0, "the silence")
    wait_until(lambda: not growing(pod), "the disk")
    process.kill()
    process.communicate()
    assert pod.nothing_visible()
    before = server.sent
    code, log = pod.fetch(*source)
    assert code == 0, log
    assert read_tree(pod.folder) == MODEL
    assert server.sent - before < share * SIZE


def growing(pod: Pod) -> bool:
    """Whether the volume gets fuller within a short time."""

    def held() -> int:
        return sum(path.stat().st_size for path in pod.volume.rglob("*") if path.is_file())

    before = held()
    return threading.Event().wait(0.1) or held() != before


def test_kill_9_at_50_random_moments(pod: Pod, server: RepositoryServer) -> None:
    """Each trial stores a new model, kills its download once and then lets one end.

    A server that reads at any moment sees the model before or the new one, whole.
    """
    source = random.Random(20_240_607)
    pod.tuning["chunk_bytes"] = 16 << 10
    shown: dict[str, bytes] = {}
    killed = 0
    for trial in range(50):
        pod.tuning["connections"] = source.choice([ONE_STREAM, RANGES])
        model = make_model(100 + trial, weights=150_000)
        where = put(server, source.choice(["folder", *KINDS]), model)
        limit = server.sent + int(source.uniform(0, 1.1) * 300_000)
        process = pod.start(*where)
        wait_until(
            lambda limit=limit, process=process: (  # type: ignore[misc]
                server.sent >= limit or process.poll() is not None
            ),
            "the moment",
        )
        time.sleep(source.uniform(0, 0.02))
        killed += process.poll() is None
        process.kill()
        process.communicate()
        seen = {} if pod.nothing_visible() else read_tree(pod.folder)
        assert seen in (shown, model), f"trial {trial}"
        code, log = pod.fetch(*where)
        assert code == 0, f"trial {trial}: {log}"
        assert read_tree(pod.folder) == model, f"trial {trial}"
        shown = model
    assert killed >= 25
    left = {path.name for path in pod.versions.iterdir()}
    assert len(left) == 2 and not any(name.startswith(".") for name in left)


@contextmanager
def other_node(pod: Pod, skew: float) -> Iterator[threading.Event]:
    """A holder on another kernel, whose clock is wrong by `skew` seconds; set it to let it die."""
    pod.versions.mkdir(parents=True)
    lease = pod.versions / ".lease"
    lease.write_text(json.dumps({"token": "other", "boot": "another-kernel"}))
    died = threading.Event()

    def beat() -> None:
        while not died.wait(0.05):
            now = time.time() + skew
            os.utime(lease, (now, now))

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield died
    finally:
        died.set()
        thread.join()


@pytest.mark.parametrize("skew", [-DAY, 0, DAY])
def test_living_holder_is_waited_for_and_a_dead_one_replaced(
    pod: Pod, server: RepositoryServer, skew: float
) -> None:
    source = put(server, "folder", MODEL)
    with other_node(pod, skew) as died:
        process = pod.start(*source)
        with pytest.raises(TimeoutError):
            wait_for_end(process, 2.5)
        assert server.sent < SIZE / 10
        died.set()
        log, _ = process.communicate(timeout=20)
    assert process.returncode == 0, log
    assert "going on from there" in log
    assert read_tree(pod.folder) == MODEL


def wait_for_end(process: object, seconds: float) -> None:
    """Raises TimeoutError where a process is still running after so many seconds."""
    import subprocess

    assert isinstance(process, subprocess.Popen)
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired as error:
        raise TimeoutError from error


def test_holder_that_lost_its_lease_publishes_nothing(pod: Pod, server: RepositoryServer) -> None:
    pod.tuning["low_speed_seconds"] = 30
    source = put(server, "folder", MODEL)
    server.faults[SHARD] = [Fault("silent", 0.5)]
    process = pod.start(*source)
    wait_until(lambda: server.faults[SHARD][0].times == 0, "the silence")
    (pod.versions / ".lease").write_text(json.dumps({"token": "thief", "boot": "x"}))
    server.release()
    log, _ = process.communicate(timeout=30)
    assert process.returncode == 75, log
    assert "has taken over" in log
    assert pod.nothing_visible()


def test_waiting_process_stops_when_told(pod: Pod, server: RepositoryServer) -> None:
    source = put(server, "folder", MODEL)
    with other_node(pod, 0):
        process = pod.start(*source)
        assert process.stdout is not None
        assert "waiting for it" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)
    assert process.returncode == 75
