"""The gate: what a run must reach before anything of it is served, published or registered."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmops_training import endings
from llmops_training.completion import final_metrics
from llmops_training.files import read_json, write_json
from llmops_training.process import ProcessRunner
from llmops_training.run import TrainingRun, UsageError
from llmops_training.tracking import GATE_RECORD

log = logging.getLogger(__name__)

GATE_VARIABLE = "LLMOPS_GATE"


class GateFailed(endings.Ended):
    """A metric is not good enough."""

    def __init__(self, message: str) -> None:
        super().__init__(message, endings.GATE)


@dataclass(frozen=True)
class Threshold:
    """The bound of one metric."""

    metric: str
    largest: float | None
    smallest: float | None

    def shortfall(self, value: float) -> str | None:
        """Says by how much a value misses the bound; None where it does not."""
        if self.largest is not None and not value <= self.largest:
            over = value - self.largest
            return f"{self.metric} is {value:.4g}, {over:.4g} above {self.largest:.4g}"
        if self.smallest is not None and not value >= self.smallest:
            under = self.smallest - value
            return f"{self.metric} is {value:.4g}, {under:.4g} below {self.smallest:.4g}"
        return None


@dataclass(frozen=True)
class Gate:
    """All thresholds, and the held-out questions as given."""

    thresholds: tuple[Threshold, ...]
    answers: Mapping[str, Any] | None

    def asks_for(self, metric: str) -> bool:
        """Whether there is a threshold for a metric."""
        return any(threshold.metric == metric for threshold in self.thresholds)


def load_gate(env: Mapping[str, str]) -> Gate | None:
    """The gate in the file that LLMOPS_GATE names; None where every run passes."""
    name = env.get(GATE_VARIABLE, "")
    if not name:
        return None
    try:
        given = json.loads(Path(name).read_text())
        thresholds = tuple(
            Threshold(str(each["metric"]), number(each.get("max")), number(each.get("min")))
            for each in given["thresholds"]
        )
        return Gate(thresholds, given.get("answers"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{GATE_VARIABLE} names no gate: {name}: {error!r}") from error


def number(value: Any) -> float | None:
    """A bound, or None where there is none."""
    return None if value is None else float(value)


def measure(
    run: TrainingRun, gate: Gate, runner: ProcessRunner, env: Mapping[str, str]
) -> dict[str, float]:
    """The gate's metrics. What was measured with the same questions is not measured again."""
    metrics: dict[str, float] = {}
    if gate.asks_for("eval_loss"):
        known = final_metrics(run)
        if "eval_loss" not in known:
            raise UsageError(
                f"run {run.run_id} has no eval_loss: it was trained before the gate asked for one; "
                f"give training.run another value to train again"
            )
        metrics["eval_loss"] = known["eval_loss"]
    if gate.answers is not None:
        metrics["answers"] = ask(run, gate.answers, runner, env)
    return metrics


def ask(
    run: TrainingRun, task: Mapping[str, Any], runner: ProcessRunner, env: Mapping[str, str]
) -> float:
    """The share of right answers, which a child process finds out."""
    result = run.output / "answers.json"
    known = read_json(result)
    if not (isinstance(known, dict) and known.get("task") == task):
        file = run.output / "answers_task.json"
        write_json(file, {"model": run.inference_config(), "task": task})
        command = [sys.executable, "-m", "llmops_training.answers", str(file), str(result)]
        runner.run(command, env)
        known = read_json(result)
    for each in known["answers"]:
        if not each["right"]:
            log.info("wrong: %r; said %r, not %r", each["question"], each["said"], each["answer"])
    return float(known["share"])


def decide(run: TrainingRun, gate: Gate, metrics: Mapping[str, float]) -> bool:
    """Keeps what was found beside the run; whether all of it is good enough."""
    passed = not shortfalls(gate, metrics)
    write_json(run.output / GATE_RECORD, {"passed": passed, "metrics": dict(metrics)})
    return passed


def is_refused(run: TrainingRun) -> bool:
    """Whether the last measuring found the run not good enough."""
    record = read_json(run.output / GATE_RECORD)
    return isinstance(record, dict) and record.get("passed") is False


def shortfalls(gate: Gate, metrics: Mapping[str, float]) -> list[str]:
    """What is not good enough, and by how much."""
    found = (each.shortfall(metrics[each.metric]) for each in gate.thresholds)
    return [text for text in found if text is not None]


def failure(run: TrainingRun, gate: Gate, metrics: Mapping[str, float]) -> GateFailed:
    """The error of a run that is not good enough."""
    missed = "; ".join(shortfalls(gate, metrics))
    return GateFailed(
        f"run {run.run_id} is trained, but does not pass training.gate: {missed}. "
        f"Nothing of it is served, published or registered"
    )
