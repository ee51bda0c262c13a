"""Marks how far a run has come: `.trained` after the trainer, `.complete` after everything."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from llmops_training.files import read_json, write_json
from llmops_training.run import TrainingRun

COMPLETE = ".complete"
TRAINED = ".trained"


def final_metrics(run: TrainingRun) -> dict[str, float]:
    """The numbers that LLaMA-Factory wrote at the end."""
    results = read_json(run.output / "all_results.json")
    found = results.items() if isinstance(results, dict) else ()
    return {
        key: float(value)
        for key, value in found
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def is_complete(run: TrainingRun) -> bool:
    """Whether nothing is left to do; another gate leaves the measuring to do."""
    marker = read_json(run.output / COMPLETE)
    return (
        isinstance(marker, dict)
        and marker.get("runId") == run.run_id
        and marker.get("gate", "") == run.gate_digest
    )


def is_trained(run: TrainingRun) -> bool:
    """Whether the trainer has come to its end."""
    return (run.output / TRAINED).exists()


def mark_trained(run: TrainingRun) -> None:
    """Says that the trainer has come to its end."""
    write_json(run.output / TRAINED, marker(run))


def mark_complete(run: TrainingRun) -> None:
    """Says that nothing is left to do."""
    write_json(run.output / COMPLETE, marker(run))


def marker(run: TrainingRun) -> dict[str, Any]:
    """The content of a marker file."""
    return {
        "runId": run.run_id,
        "modelPath": str(run.model_path),
        "finishedAt": datetime.now(UTC).isoformat(timespec="seconds"),
        "metrics": final_metrics(run),
        "gate": run.gate_digest,
    }
