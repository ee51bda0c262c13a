"""`run`: a server starts only from a run that is complete, and is told which ones are."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from llmops_models.cli import main


def make_run(runs: Path, run_id: str, *, marker: str | None = None) -> Path:
    merged = runs / run_id / "merged"
    merged.mkdir(parents=True)
    (merged / "config.json").write_text("{}")
    complete = runs / run_id / ".complete"
    complete.write_text(json.dumps({"runId": run_id}) if marker is None else marker)
    return merged


def check(runs: Path, run_id: str, minutes: str = "0") -> int:
    folder = str(runs / run_id / "merged")
    return main(
        ["run", "--runs", str(runs), "--id", run_id, "--model", folder, "--minutes", minutes]
    )


def test_complete_run_is_let_through(tmp_path: Path) -> None:
    make_run(tmp_path, "0123456789")
    assert check(tmp_path, "0123456789") == 0


def test_adapter_needs_no_model_of_its_own(tmp_path: Path) -> None:
    merged = make_run(tmp_path, "0123456789")
    (merged / "config.json").rename(merged / "adapter_config.json")
    assert check(tmp_path, "0123456789") == 0


def test_missing_run_names_the_complete_ones(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_run(tmp_path, "aaaaaaaaaa")
    make_run(tmp_path, "bbbbbbbbbb")
    make_run(tmp_path, "cccccccccc", marker="{")
    assert check(tmp_path, "0123456789") == 78
    assert caplog.messages[-1] == (
        f"run 0123456789 is not there in {tmp_path}; complete runs there: aaaaaaaaaa, bbbbbbbbbb"
    )


@pytest.mark.parametrize("marker", ["{", '{"runId": "other"}', "[]"])
def test_unfinished_run_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, marker: str
) -> None:
    make_run(tmp_path, "0123456789", marker=marker)
    assert check(tmp_path, "0123456789") == 78
    assert "run 0123456789 is not complete in" in caplog.messages[-1]
    assert caplog.messages[-1].endswith("complete runs there: none")


def test_run_without_the_model_says_what_may_be_different(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (make_run(tmp_path, "0123456789") / "config.json").unlink()
    assert check(tmp_path, "0123456789") == 78
    assert "training.merge or output_dir" in caplog.messages[-1]


def test_waits_for_a_run_that_is_still_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmops_models.run_check.POLL_SECONDS", 0.05)
    timer = threading.Timer(0.3, make_run, (tmp_path, "0123456789"))
    timer.start()
    assert check(tmp_path, "0123456789", minutes="1") == 0
    timer.join()
