"""What the startup probe takes for an answer, against a real server on this machine."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from llmops_inference import smoke

PACKAGE_ROOT = Path(__file__).resolve().parents[1]
ANSWER = {"choices": [{"text": "!", "finish_reason": "length"}]}


class Api(ThreadingHTTPServer):
    """An OpenAI-compatible server that answers as it is told and keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 200
        self.answer = json.dumps(ANSWER)
        self.hangs_up = False
        self.release: threading.Event | None = None
        self.asked: list[tuple[str, str | None, dict[str, Any]]] = []


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Api

    def do_POST(self) -> None:
        """Keeps the request and answers it."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, self.headers["Authorization"], body))
        if self.server.release is not None:
            self.server.release.wait(30)
        if self.server.release is not None or self.server.hangs_up:
            self.close_connection = True
            return
        content = self.server.answer.encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the test's output is its own."""


@pytest.fixture
def api() -> Iterator[Api]:
    """A running server."""
    server = Api()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def probe(api: Api, *arguments: str, **env: str) -> tuple[int, str]:
    """Runs the module as the probe does: without site packages, by its exit code and stderr."""
    options = [each for each in arguments if each.startswith("--")]
    names = [each for each in arguments if not each.startswith("--")]
    done = subprocess.run(
        [
            *(sys.executable, "-S", "-m", "llmops_inference.smoke"),
            *(*options, str(api.server_port), *names),
        ],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(PACKAGE_ROOT), **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


def test_every_name_is_asked_for_one_token(api: Api) -> None:
    assert probe(api, "base", "tuned", VLLM_API_KEY="planted") == (0, "")
    assert api.asked == [
        (
            "/v1/completions",
            "Bearer planted",
            {"model": name, "prompt": "Hello", "max_tokens": 1, "temperature": 0},
        )
        for name in ("base", "tuned")
    ]


def test_llamafactory_is_asked_for_a_chat_with_its_own_key(api: Api) -> None:
    assert probe(api, "--chat", "base", API_KEY="planted") == (0, "")
    [(path, key, body)] = api.asked
    assert (path, key) == ("/v1/chat/completions", "Bearer planted")
    assert body["messages"] == [{"role": "user", "content": "Hello"}]


def test_without_a_key_none_is_sent(api: Api) -> None:
    assert probe(api, "base") == (0, "")
    assert api.asked[0][1] is None


def test_a_server_that_is_still_loading_is_named(api: Api) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        api.server_port = taken.getsockname()[1]
    assert probe(api, "base") == (1, "llmops: the server does not listen yet\n")


@pytest.mark.parametrize("status", [401, 404, 500, 503])
def test_an_error_is_told_with_its_text_and_without_the_key(api: Api, status: int) -> None:
    api.status = status
    api.answer = '{"error":\n {"message": "out of order"}}'
    code, output = probe(api, "base", VLLM_API_KEY="planted")
    reason = '{"error": {"message": "out of order"}}'
    assert (code, output) == (1, f"llmops: base answered {status}: {reason}\n")
    assert "planted" not in output


@pytest.mark.parametrize("answer", ["", "[]", "{}", '{"choices": []}', '{"choices": "x"}'])
def test_an_answer_without_a_completion_is_none(api: Api, answer: str) -> None:
    api.answer = answer
    assert probe(api, "base") == (1, f"llmops: base answered without a choice: {answer}\n")


def test_the_first_name_that_fails_ends_it(api: Api) -> None:
    api.status = 500
    assert probe(api, "base", "tuned")[0] == 1
    assert [body["model"] for _, _, body in api.asked] == ["base"]


def test_a_server_that_hangs_up_is_named(api: Api) -> None:
    api.hangs_up = True
    code, output = probe(api, "base")
    assert code == 1
    assert output.startswith("llmops: base: the server hung up (RemoteDisconnected")


def test_a_server_that_says_nothing_is_not_waited_for(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(smoke, "TIMEOUT_SECONDS", 0.2)
    api.release = threading.Event()
    try:
        assert smoke.main([str(api.server_port), "base"], {}) == 1
    finally:
        api.release.set()
    assert capsys.readouterr().err == "llmops: base wrote nothing within 0.2 seconds\n"


@pytest.fixture
def message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the termination message, with an older one."""
    file = tmp_path / "termination-log"
    file.write_text("older")
    monkeypatch.setattr(smoke, "TERMINATION_MESSAGE", file)
    return file


def test_the_reason_outlives_the_container(api: Api, message: Path) -> None:
    api.status, api.answer = 500, "out of order"
    assert smoke.main([str(api.server_port), "base"], {}) == 1
    assert message.read_text() == "llmops: base answered 500: out of order\n"


def test_an_answer_leaves_the_message_to_the_log(api: Api, message: Path) -> None:
    assert smoke.main([str(api.server_port), "base"], {}) == 0
    assert message.read_text() == ""


def test_so_does_a_server_that_is_still_loading(message: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert smoke.main([str(port), "base"], {}) == 1
    assert message.read_text() == ""


def test_a_long_answer_is_cut(api: Api) -> None:
    api.status, api.answer = 500, "x" * 5000
    assert len(probe(api, "base")[1]) < 400


def test_the_probe_is_over_before_kubernetes_gives_up() -> None:
    assert smoke.TIMEOUT_SECONDS < 30
