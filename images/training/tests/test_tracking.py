"""What MLflow is told, and that no fault of MLflow's fails or delays a training run."""

from __future__ import annotations

import pytest
from conftest import Container, stop, wait_until
from tracking_server import TrackingServer

ALL_STEPS = [1, 2, 3, 4, 5, 6]


@pytest.fixture
def tracked(container: Container, tracker: TrackingServer) -> Container:
    container.env["MLFLOW_TRACKING_URI"] = tracker.uri
    container.env["MLFLOW_EXPERIMENT_NAME"] = "lamps"
    return container


def test_run_holds_parameters_metrics_tags_and_artifacts(
    tracked: Container, tracker: TrackingServer
) -> None:
    tracked.env |= {
        "MODEL_NAME": "lamp",
        "LLMOPS_COMMIT": f"{'0a' * 20}-dirty",
        "LLMOPS_TRAINING_FILE": "examples/lamp.yaml",
        "LLMOPS_DATA_FINGERPRINT": "0123456789",
    }
    code, log = tracked.run()
    assert code == 0, log
    (run,) = tracker.runs
    assert run.status == "FINISHED"
    assert run.params["max_steps"] == "6"
    assert run.tags["llmops.run_id"] == "run-1"
    assert run.tags["mlflow.source.git.commit"] == "0a" * 20
    assert run.tags["mlflow.source.git.dirty"] == "true"
    assert run.tags["llmops.training_file"] == "examples/lamp.yaml"
    assert run.tags["llmops.data_fingerprint"] == "0123456789"
    assert run.steps("loss") == ALL_STEPS
    assert run.steps("learning_rate") == ALL_STEPS
    assert "adapter/adapter_model.safetensors" in run.artifacts
    assert "train_config.yaml" in run.artifacts
    assert "all_results.json" in run.artifacts
    assert not [name for name in run.artifacts if "merged" in name or "checkpoint" in name]


def test_event_files_are_kept_and_sent(tracked: Container, tracker: TrackingServer) -> None:
    folder = tracked.output / "tensorboard"
    tracked.env["TENSORBOARD_LOGGING_DIR"] = str(folder)
    code, log = tracked.run()
    assert code == 0, log
    assert [each.name for each in folder.iterdir()] == ["events.out.tfevents.0.pod"]
    (run,) = tracker.runs
    assert "tensorboard/events.out.tfevents.0.pod" in run.artifacts


def test_trainer_does_not_see_the_tracker(tracked: Container) -> None:
    tracked.run()
    assert {call[2] for call in tracked.calls()} == {"-"}


def test_retry_goes_on_with_the_same_run(tracked: Container, tracker: TrackingServer) -> None:
    tracked.env["FAIL_AT_STEP"] = "5"
    assert tracked.run()[0] == 1
    assert [run.status for run in tracker.runs] == ["FAILED"]
    del tracked.env["FAIL_AT_STEP"]
    assert tracked.run()[0] == 0
    (run,) = tracker.runs
    assert run.status == "FINISHED"
    assert run.steps("loss") == ALL_STEPS


def test_lost_answer_starts_no_second_run(tracked: Container, tracker: TrackingServer) -> None:
    tracker.fault = "lost"
    tracked.env["HOLD_AT_STEP"] = "2"
    process = tracked.start()
    wait_until(lambda: bool(tracker.runs), "a run whose start was not acknowledged")
    tracker.fault = None
    wait_until(lambda: len(tracker.runs[0].steps("loss")) == 2, "the metrics")
    code, _ = stop(process)
    assert code == 143
    assert [run.status for run in tracker.runs] == ["KILLED"]


def test_lost_answer_gives_no_metric_twice(tracked: Container, tracker: TrackingServer) -> None:
    tracked.env["HOLD_AT_STEP"] = "2"
    tracker.fault = "metrics-lost"
    process = tracked.start()
    wait_until(
        lambda: bool(tracker.runs) and len(tracker.runs[0].steps("loss")) == 2,
        "metrics that were not acknowledged",
    )
    tracker.fault = None
    assert stop(process)[0] == 143
    assert tracker.runs[0].status == "KILLED"
    assert tracker.runs[0].steps("loss") == [1, 2]


def test_tracker_away_does_not_fail_the_run(tracked: Container, tracker: TrackingServer) -> None:
    tracker.stop()
    tracked.env["LLMOPS_FLUSH_SECONDS"] = "1"
    code, log = tracked.run()
    assert code == 0
    assert (tracked.output / ".complete").exists()
    assert "training is not affected" in log


def test_what_was_missed_can_be_sent_later(tracked: Container, tracker: TrackingServer) -> None:
    tracker.stop()
    tracked.env["LLMOPS_FLUSH_SECONDS"] = "1"
    tracked.run()
    tracker.start()
    tracked.env["LLMOPS_FLUSH_SECONDS"] = "20"
    code, log = tracked.run("report")
    assert code == 0, log
    (run,) = tracker.runs
    assert (run.status, run.steps("loss")) == ("FINISHED", ALL_STEPS)


def test_silent_tracker_does_not_delay_the_training(
    tracked: Container, tracker: TrackingServer
) -> None:
    tracker.fault = "hang"
    go_on = tracked.root / "go-on"
    tracked.env |= {"LLMOPS_FLUSH_SECONDS": "1", "HOLD_AT_STEP": "1", "GO_ON": str(go_on)}
    process = tracked.start()
    wait_until(lambda: tracker.requests > 0, "a request")
    go_on.touch()
    # The server answers nothing before the test is over.
    log, _ = process.communicate(timeout=50)
    assert process.returncode == 0
    assert "training is not affected" in log


@pytest.mark.parametrize("fault", ["error", "away"])
def test_catches_up_when_the_tracker_is_back(
    tracked: Container, tracker: TrackingServer, fault: str
) -> None:
    tracked.env["HOLD_AT_STEP"] = "6"
    if fault == "away":
        tracker.stop()
    else:
        tracker.fault = fault
    process = tracked.start()
    wait_until((tracked.output / "checkpoint-6/trainer_state.json").exists, "the last step")
    assert tracker.runs == []
    if fault == "away":
        tracker.start()
    tracker.fault = None
    wait_until(lambda: bool(tracker.runs) and len(tracker.runs[0].steps("loss")) == 6, "metrics")
    stop(process)
    assert tracker.runs[0].steps("loss") == ALL_STEPS


def test_report_needs_a_tracker(container: Container) -> None:
    code, log = container.run("report")
    assert code == 2
    assert "MLFLOW_TRACKING_URI" in log
