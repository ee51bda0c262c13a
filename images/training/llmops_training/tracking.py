"""Reports a run to MLflow from outside the trainer, and never stands in its way.

The trainer's own `trainer_log.jsonl` on the output volume is the queue: it is written whether or
not MLflow answers, and `mlflow_run.json` beside it says how far it has been reported. A background
thread follows it; when MLflow is away the thread waits and catches up later, also after a restart.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from llmops_training.files import read_json, write_json
from llmops_training.mlflow_client import MlflowRun, Point
from llmops_training.process import Stopped
from llmops_training.run import Tracking, TrainingRun
from llmops_training.system_metrics import FILE as SYSTEM_FILE

log = logging.getLogger(__name__)

STATE_FILE = "mlflow_run.json"
GATE_RECORD = "gate.json"
BATCH = 500
# trainer_log.jsonl's name for a value -> MLflow's.
METRICS = {
    "loss": "loss",
    "eval_loss": "eval_loss",
    "predict_loss": "predict_loss",
    "reward": "reward",
    "accuracy": "accuracy",
    "lr": "learning_rate",
    "epoch": "epoch",
    "throughput": "throughput",
}
ARTIFACTS = {
    "": (
        "*_results.json",
        "trainer_log.jsonl",
        "trainer_state.json",
        "training_*.png",
        "merge_config.yaml",
        GATE_RECORD,
        "answers.json",
    ),
    "tensorboard": ("tensorboard/events.out.tfevents.*",),
    "adapter": ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"),
}


@dataclass
class State:
    """How far a run has been reported."""

    mlflow_run: str = ""
    described: bool = False
    lines: int = 0
    samples: int = 0
    artifacts: list[str] = field(default_factory=list)

    @staticmethod
    def load(path: Path) -> State:
        """The kept state, or a new one."""
        kept = read_json(path)
        if not isinstance(kept, dict):
            return State()
        return State(
            str(kept.get("runId", "")),
            bool(kept.get("described", False)),
            int(kept.get("reportedLines", 0)),
            int(kept.get("reportedSamples", 0)),
            list(kept.get("artifacts", [])),
        )

    def save(self, path: Path) -> None:
        """Keeps the state for the next start."""
        content = {
            "runId": self.mlflow_run,
            "described": self.described,
            "reportedLines": self.lines,
            "reportedSamples": self.samples,
            "artifacts": self.artifacts,
        }
        write_json(path, content)


class Reporter:
    """Follows one run. Use as a context manager around the training."""

    def __init__(
        self,
        run: TrainingRun,
        tracking: Tracking,
        *,
        poll: float = 2.0,
        longest_pause: float = 30.0,
    ) -> None:
        self._run = run
        self._tracking = tracking
        self._poll = poll
        self._longest_pause = longest_pause
        self._state_file = run.output / STATE_FILE
        self._state = State.load(self._state_file)
        self._client: MlflowRun | None = None
        self._seen: dict[int, int] = {}
        self._wake = threading.Event()
        self._done = threading.Event()
        self._ending: str | None = None
        self._give_up = float("inf")
        self._thread = threading.Thread(target=self._follow, name="mlflow", daemon=True)

    def __enter__(self) -> Reporter:
        self._thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self.finish("KILLED" if isinstance(error, Stopped) else "FAILED", seconds=10)

    def finish(self, status: str, *, seconds: float) -> bool:
        """Reports what is left and ends the MLflow run; gives up after `seconds`."""
        self._give_up = time.monotonic() + seconds
        self._ending = status
        self._wake.set()
        if self._done.wait(seconds):
            return True
        log.warning(
            "MLflow at %s did not take all of run %s within %.0f s; training is not affected. "
            "Nothing is lost: %s keeps it. Send it later with: python -m llmops_training report %s",
            self._tracking.uri,
            self._run.run_id,
            seconds,
            self._run.output / "trainer_log.jsonl",
            self._run.config_file,
        )
        return False

    def _follow(self) -> None:
        pause = self._poll
        failing = False
        while time.monotonic() < self._give_up:
            ending = self._ending
            try:
                self._report(ending)
                if failing:
                    log.info("MLflow answers again")
                failing, pause = False, self._poll
            except Exception as error:  # Whatever fails here is logged, and the training goes on.
                if not failing:
                    log.warning("MLflow does not take the report, trying on: %s", first_line(error))
                failing, pause = True, min(pause * 2, self._longest_pause)
                if self._ending is not None:
                    pause = self._poll
            else:
                if ending is not None:
                    self._done.set()
                    return
            self._wake.wait(pause)
            self._wake.clear()

    def _report(self, ending: str | None) -> None:
        client = self._connect()
        if not self._state.described:
            client.describe(self._run.config, self._run.tags)
            self._state.described = True
            self._save()
        while lines := self._next_lines("trainer_log.jsonl", self._state.lines):
            numbered = enumerate(lines, self._state.lines)
            dated = ((line, self._first_seen(number)) for number, line in numbered)
            client.log_points([point for line, when in dated for point in read_points(line, when)])
            self._state.lines += len(lines)
            self._save()
        while samples := self._next_lines(SYSTEM_FILE, self._state.samples):
            numbered = enumerate(samples, self._state.samples)
            client.log_points(
                [point for step, line in numbered for point in read_sample(line, step)]
            )
            self._state.samples += len(samples)
            self._save()
        if ending is None:
            return
        self._report_gate(client)
        if ending == "FINISHED":
            self._upload(client)
        client.end(ending)

    def _report_gate(self, client: MlflowRun) -> None:
        """The gate's metrics and whether they are good enough."""
        found = read_json(self._run.output / GATE_RECORD)
        if not isinstance(found, dict):
            return
        step = self._last_step()
        client.log_points(
            [Point(f"gate/{name}", float(value), step) for name, value in found["metrics"].items()]
        )
        client.set_tags({"llmops.gate": "passed" if found["passed"] else "failed"})

    def _last_step(self) -> int:
        try:
            lines = (self._run.output / "trainer_log.jsonl").read_text().splitlines()
        except FileNotFoundError:
            return 0
        return max((point.step for line in lines for point in read_points(line, 0)), default=0)

    def _connect(self) -> MlflowRun:
        if self._client is None:
            client = MlflowRun.open(
                self._tracking, self._run.run_id, self._run.name, self._state.mlflow_run
            )
            if client.id != self._state.mlflow_run:
                self._state = State(client.id)
                self._save()
            self._client = client
            log.info("reporting to MLflow run %s", client.id)
        return self._client

    def _first_seen(self, line: int) -> int:
        """When a line was seen first, in milliseconds: what is sent twice, MLflow takes once."""
        return self._seen.setdefault(line, int(time.time() * 1000))

    def _next_lines(self, name: str, reported: int) -> list[str]:
        """The whole lines of a log that are not reported yet."""
        try:
            text = (self._run.output / name).read_text()
        except FileNotFoundError:
            return []
        return text[: text.rfind("\n") + 1].splitlines()[reported:][:BATCH]

    def _upload(self, client: MlflowRun) -> None:
        for folder, patterns in ARTIFACTS.items():
            for pattern in patterns:
                for file in sorted(self._run.output.glob(pattern)):
                    self._upload_once(client, file, folder)
        self._upload_once(client, self._run.config_file, "")

    def _upload_once(self, client: MlflowRun, file: Path, folder: str) -> None:
        name = f"{folder}/{file.name}".lstrip("/")
        if name not in self._state.artifacts:
            client.log_artifact(file, folder)
            self._state.artifacts.append(name)
            self._save()

    def _save(self) -> None:
        self._state.save(self._state_file)


def read_points(line: str, when: int) -> list[Point]:
    """The metrics in one line of the trainer's log, as of this time; a spoilt line holds none."""
    try:
        record: dict[str, Any] = json.loads(line)
        step = int(record["current_steps"])
    except (ValueError, KeyError, TypeError):
        return []
    return [
        Point(name, float(record[key]), step, when)
        for key, name in METRICS.items()
        if isinstance(record.get(key), int | float)
    ]


def read_sample(line: str, step: int) -> list[Point]:
    """The metrics in one sample of what the pod uses; a spoilt line holds none."""
    try:
        record = json.loads(line)
        when = int(record["time"])
        return [
            Point(f"system/{name}", float(value), step, when)
            for name, value in record["values"].items()
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


def first_line(error: Exception) -> str:
    """What an exception says, short."""
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
