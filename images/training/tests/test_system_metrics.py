"""What the pod uses is kept beside the run and reaches MLflow, also when that was away."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Container
from llmops_training.system_metrics import SystemMetrics
from tracking_server import TrackingServer


@pytest.fixture
def measured(container: Container, tracker: TrackingServer) -> Container:
    container.env |= {
        "MLFLOW_TRACKING_URI": tracker.uri,
        "LLMOPS_SYSTEM_METRICS": "true",
        "LLMOPS_SYSTEM_SECONDS": "0.05",
        "STEP_SECONDS": "0.05",
    }
    return container


def samples(tracker: TrackingServer) -> list[int]:
    return tracker.runs[0].steps("system/disk_free_gib")


def test_samples_are_metrics_of_the_run(measured: Container, tracker: TrackingServer) -> None:
    code, log = measured.run()
    assert code == 0, log
    assert len(samples(tracker)) > 1
    assert samples(tracker) == list(range(len(samples(tracker))))


def test_samples_are_sent_later(measured: Container, tracker: TrackingServer) -> None:
    measured.env["LLMOPS_FLUSH_SECONDS"] = "1"
    tracker.stop()
    assert measured.run()[0] == 0
    kept = (measured.output / "system_metrics.jsonl").read_text().splitlines()
    tracker.start()
    measured.env["LLMOPS_FLUSH_SECONDS"] = "20"
    assert measured.run("report")[0] == 0
    assert samples(tracker) == list(range(len(kept)))


def test_nothing_is_noted_unless_asked_for(container: Container) -> None:
    container.run()
    assert not (container.output / "system_metrics.jsonl").exists()


def test_sample_is_what_the_kernel_counts(tmp_path: Path) -> None:
    (tmp_path / "cpu.stat").write_text("usage_usec 1000000\nuser_usec 1\n")
    (tmp_path / "memory.current").write_text(f"{3 * 1024**3}\n")
    metrics = SystemMetrics(tmp_path, 1.0, tmp_path)
    (tmp_path / "cpu.stat").write_text("usage_usec 2000000\nuser_usec 1\n")
    sample = metrics.sample()
    assert sample["memory_gib"] == 3
    assert sample["cpu_cores"] > 0
    assert sample["disk_free_gib"] > 0


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    assert set(SystemMetrics(tmp_path, 1.0, tmp_path / "none").sample()) == {"disk_free_gib"}
