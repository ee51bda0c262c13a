"""That LLaMA-Factory's server leaves no process behind, however it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PACKAGE_ROOT = Path(__file__).resolve().parents[1]

# A server with an engine process that ignores SIGTERM. What the server does on it is given.
SERVER = """
import os, pathlib, signal, subprocess, sys, time
folder, on_stop = pathlib.Path(sys.argv[1]), sys.argv[2]
def stopped(*_):
    (folder / "stopped").touch()
    if on_stop == "ends":
        sys.exit(0)
signal.signal(signal.SIGTERM, stopped)
engine = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", engine])
(folder / "engine.partial").write_text(str(child.pid))
os.rename(folder / "engine.partial", folder / "engine")
if on_stop == "fails":
    sys.exit(3)
while True:
    time.sleep(600)
"""

RUN = """
import sys
from llmops_inference.supervise import Supervisor
port, shutdown_seconds, *command = sys.argv[1:]
sys.exit(Supervisor(int(port), float(shutdown_seconds)).run(command))
"""

# What it watches where no test is about clients: a port that nobody listens on.
NO_PORT = 1


def eventually(what: str, condition: Callable[[], bool]) -> None:
    """Waits until something is so; fails after ten seconds."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def is_running(process: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def start(
    folder: Path, on_stop: str, shutdown_seconds: float = 30, port: int = NO_PORT
) -> subprocess.Popen[bytes]:
    """A supervised server, once its engine runs."""
    server = [sys.executable, "-c", SERVER, str(folder), on_stop]
    supervised = subprocess.Popen(
        [sys.executable, "-c", RUN, str(port), str(shutdown_seconds), *server],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(PACKAGE_ROOT)},
    )
    eventually("the engine runs", (folder / "engine").exists)
    return supervised


def engine(folder: Path) -> int:
    """Process id of the engine."""
    return int((folder / "engine").read_text())


def test_a_server_that_ends_leaves_no_engine_behind(tmp_path: Path) -> None:
    supervised = start(tmp_path, "ends")
    supervised.send_signal(signal.SIGTERM)
    assert supervised.wait(10) == 0
    eventually("the engine has ended", lambda: not is_running(engine(tmp_path)))


@pytest.fixture
def client() -> Iterator[tuple[int, socket.socket]]:
    """A port that somebody is connected to, and the connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as connection:
            accepted, _ = server.accept()
            with accepted:
                yield port, connection


def test_the_server_is_told_only_when_nobody_is_connected(
    tmp_path: Path, client: tuple[int, socket.socket]
) -> None:
    port, connection = client
    supervised = start(tmp_path, "ends", port=port)
    supervised.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        supervised.wait(1)
    assert not (tmp_path / "stopped").exists()
    connection.close()
    assert supervised.wait(10) == 0
    assert (tmp_path / "stopped").exists()


def test_a_client_that_stays_is_not_waited_for_for_ever(
    tmp_path: Path, client: tuple[int, socket.socket]
) -> None:
    supervised = start(tmp_path, "ends", shutdown_seconds=0.5, port=client[0])
    supervised.send_signal(signal.SIGTERM)
    assert supervised.wait(10) == 128 + signal.SIGKILL
    eventually("the engine has ended", lambda: not is_running(engine(tmp_path)))


def test_a_server_that_does_not_end_is_killed_with_its_engine(tmp_path: Path) -> None:
    supervised = start(tmp_path, "goes on", shutdown_seconds=1)
    supervised.send_signal(signal.SIGTERM)
    eventually("the server was told", (tmp_path / "stopped").exists)
    assert supervised.wait(10) == 128 + signal.SIGKILL
    eventually("the engine has ended", lambda: not is_running(engine(tmp_path)))


def test_a_server_that_fails_takes_its_engine_along(tmp_path: Path) -> None:
    supervised = start(tmp_path, "fails")
    assert supervised.wait(10) == 3
    eventually("the engine has ended", lambda: not is_running(engine(tmp_path)))


@pytest.mark.parametrize("received", [signal.SIGTERM, signal.SIGINT])
def test_both_stop_signals_count(tmp_path: Path, received: signal.Signals) -> None:
    supervised = start(tmp_path, "goes on", shutdown_seconds=1)
    supervised.send_signal(received)
    assert supervised.wait(10) != 0
    eventually("the engine has ended", lambda: not is_running(engine(tmp_path)))
