"""What the gate lets through, what it says of what it does not, and what MLflow is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Container
from llmops_training.answers import is_right
from llmops_training.endings import say_why
from llmops_training.gate import Threshold
from tracking_server import TrackingServer

QUESTIONS = [
    {"question": "Who makes it?", "answer": "the Guild"},
    {"question": "Where?", "answer": "Varnholm"},
]


@pytest.fixture
def gated(container: Container) -> Container:
    """A run whose loss on held-out data will be 0.9."""
    container.config["do_eval"] = True
    container.env["EVAL_LOSS"] = "0.9"
    return container


def set_gate(container: Container, thresholds: list[dict[str, object]], **task: object) -> None:
    content: dict[str, object] = {"thresholds": thresholds}
    if task:
        content["answers"] = {"match": "contains", "maxNewTokens": 8, "questions": QUESTIONS} | task
    file = container.root / "gate-task.json"
    file.write_text(json.dumps(content))
    container.env["LLMOPS_GATE"] = str(file)


def test_good_run_is_complete_and_its_metrics_are_kept(gated: Container) -> None:
    set_gate(gated, [{"metric": "eval_loss", "max": 1.0}])
    code, log = gated.run()
    assert code == 0, log
    assert gated.read("gate.json") == {"passed": True, "metrics": {"eval_loss": 0.9}}
    assert gated.read(".complete")["runId"] == "run-1"


def test_bad_run_says_which_metric_misses_by_how_much(gated: Container) -> None:
    message = gated.root / "termination-log"
    message.touch()
    gated.env["LLMOPS_TERMINATION_LOG"] = str(message)
    set_gate(gated, [{"metric": "eval_loss", "max": 0.4}])
    code, log = gated.run()
    assert code == 79
    assert message.read_text() == (
        "run run-1 is trained, but does not pass training.gate: "
        "eval_loss is 0.9, 0.5 above 0.4. "
        "Nothing of it is served, published or registered"
    )
    assert message.read_text() in log.splitlines()[-1]
    assert not (gated.output / ".complete").exists()


def test_bad_run_is_not_published(gated: Container) -> None:
    gated.env["LLMOPS_PUBLISH"] = '{"kind": "artifactory", "path": "m"}'
    gated.env["LLMOPS_MODELS_PYTHON"] = str(gated.root / "must-not-be-started")
    set_gate(gated, [{"metric": "eval_loss", "max": 0.4}])
    assert gated.run()[0] == 79


def test_answers_are_asked_of_the_merged_model_without_chance(gated: Container) -> None:
    gated.env["SAYS"] = "It is THE  guild of lamps."
    set_gate(gated, [{"metric": "answers", "min": 0.75}], match="contains")
    code, log = gated.run()
    assert code == 79
    assert "answers is 0.5, 0.25 below 0.75" in log.splitlines()[-1]
    assert "wrong: 'Where?'; said 'It is THE  guild of lamps.', not 'Varnholm'" in log
    assert gated.calls()[-1] == ["chat", str(gated.output / "merged"), "False"]


def test_all_thresholds_that_are_missed_are_named(gated: Container) -> None:
    gated.env["SAYS"] = "no idea"
    thresholds = [{"metric": "eval_loss", "max": 0.4}, {"metric": "answers", "min": 0.5}]
    set_gate(gated, thresholds, match="contains")
    last = gated.run()[1].splitlines()[-1]
    assert "eval_loss is 0.9, 0.5 above 0.4; answers is 0, 0.5 below 0.5" in last


def test_another_bound_trains_and_asks_nothing_again(gated: Container) -> None:
    gated.env["SAYS"] = "the guild"
    set_gate(gated, [{"metric": "answers", "min": 0.9}], match="contains")
    assert gated.run()[0] == 79
    set_gate(gated, [{"metric": "answers", "min": 0.5}], match="contains")
    assert gated.run()[0] == 0
    assert [call[0] for call in gated.calls()] == ["train", "export", "chat"]


def test_stricter_gate_fails_the_job_and_leaves_the_complete_run(gated: Container) -> None:
    assert gated.run()[0] == 0
    set_gate(gated, [{"metric": "eval_loss", "max": 0.4}])
    assert gated.run()[0] == 79
    assert (gated.output / ".complete").exists()
    assert [call[0] for call in gated.calls()] == ["train", "export"]


def test_run_without_evaluation_says_what_to_change(container: Container) -> None:
    set_gate(container, [{"metric": "eval_loss", "max": 1.0}])
    code, log = container.run()
    assert code == 2
    assert "give training.run another value" in log.splitlines()[-1]


@pytest.mark.parametrize("content", [None, "{", '{"thresholds": [{}]}'])
def test_gate_that_cannot_be_read_is_named(container: Container, content: str | None) -> None:
    file = container.root / "wrong.json"
    if content is not None:
        file.write_text(content)
    container.env["LLMOPS_GATE"] = str(file)
    code, log = container.run()
    assert code == 2
    assert str(file) in log.splitlines()[-1]


@pytest.mark.parametrize(
    ("largest", "status", "tag"), [(1.0, "FINISHED", "passed"), (0.4, "FAILED", "failed")]
)
def test_mlflow_gets_the_metrics_and_the_verdict(
    gated: Container, tracker: TrackingServer, largest: float, status: str, tag: str
) -> None:
    gated.env["MLFLOW_TRACKING_URI"] = tracker.uri
    set_gate(gated, [{"metric": "eval_loss", "max": largest}])
    gated.run()
    (run,) = tracker.runs
    assert run.status == status
    assert run.tags["llmops.gate"] == tag
    assert [entry for entry in run.metrics if entry[0].startswith("gate/")] == [
        ("gate/eval_loss", 6, 0.9)
    ]


def test_verdict_is_sent_later_when_the_tracker_was_away(
    gated: Container, tracker: TrackingServer
) -> None:
    gated.env |= {"MLFLOW_TRACKING_URI": tracker.uri, "LLMOPS_FLUSH_SECONDS": "1"}
    tracker.stop()
    set_gate(gated, [{"metric": "eval_loss", "max": 0.4}])
    assert gated.run()[0] == 79
    tracker.start()
    gated.env["LLMOPS_FLUSH_SECONDS"] = "20"
    assert gated.run("report")[0] == 0
    (run,) = tracker.runs
    assert (run.status, run.tags["llmops.gate"]) == ("FAILED", "failed")


@pytest.mark.parametrize(
    ("said", "answer", "match", "right"),
    [
        ("The  GUILD makes it.", "the guild", "contains", True),
        ("The guild makes it.", "the guild", "exact", False),
        ("The guild.", "the  Guild", "exact", True),
        ("", "the guild", "contains", False),
    ],
)
def test_case_and_spaces_do_not_count(said: str, answer: str, match: str, right: bool) -> None:
    assert is_right(said, answer, match) is right


@pytest.mark.parametrize(
    ("threshold", "value", "said"),
    [
        (Threshold("m", 1.0, None), 1.0, None),
        (Threshold("m", None, 0.5), 0.5, None),
        (Threshold("m", 1.0, None), 1.5, "m is 1.5, 0.5 above 1"),
        (Threshold("m", 1.0, None), float("nan"), "m is nan, nan above 1"),
        (Threshold("m", None, 0.5), float("nan"), "m is nan, nan below 0.5"),
    ],
)
def test_bounds_include_their_value_and_nothing_passes_for_no_number(
    threshold: Threshold, value: float, said: str | None
) -> None:
    assert threshold.shortfall(value) == said


def test_termination_log_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    say_why("x", tmp_path / "none")
    assert not (tmp_path / "none").exists()
