"""LLaMA Board starts behind a login, or not at all."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from conftest import Container


def start(container: Container, **env: str) -> subprocess.CompletedProcess[str]:
    """Starts LLaMA Board as its pod does."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "llmops_training.board"],
        env={**container.environment(), **env},
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_asks_for_the_password_and_keeps_it_from_trainings(container: Container) -> None:
    ended = start(container, BOARD_PASSWORD="correct horse battery")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert json.loads((container.root / "calls").read_text()) == {
        "auth": ["admin", "correct horse battery"],
        "share": False,
        "inbrowser": False,
        "inherited": False,
    }


@pytest.mark.parametrize("env", [{}, {"BOARD_PASSWORD": ""}, {"BOARD_PASSWORD": "eleven char"}])
def test_does_not_start_without_a_long_password(container: Container, env: dict[str, str]) -> None:
    ended = start(container, **env)
    length = len(env.get("BOARD_PASSWORD", ""))
    assert ended.returncode == 1
    assert ended.stderr == f"llmops: BOARD_PASSWORD has {length} characters; use 12 or more\n"
    assert not (container.root / "calls").exists()
