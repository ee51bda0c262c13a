"""Plays the part of `llamafactory-cli`: `train FILE` and `export FILE` (see conftest.py).

Environment: CALLS (file to note each start in), STEP_SECONDS, HOLD_AT_STEP (wait there until the
file GO_ON is there, or for ever), FAIL_AT_STEP (with LAST_WORDS), KILLED_AT_STEP, EXPORT_FAILS,
EVAL_LOSS (with `do_eval`), WANDB_SAYS (the end of W&B's client, unless W&B is offline).
"""

from __future__ import annotations

import io
import json
import os
import re
import signal
import struct
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import yaml

WEIGHTS = b"\x00" * 64


def write_safetensors(path: Path) -> None:
    header = {"w": {"dtype": "F32", "shape": [16], "data_offsets": [0, len(WEIGHTS)]}}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + WEIGHTS)


def write_archive(path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("data.pkl", "state")
    path.write_bytes(buffer.getvalue())


def save_checkpoint(output: Path, step: int) -> None:
    folder = output / f"checkpoint-{step}"
    folder.mkdir(exist_ok=True)
    write_safetensors(folder / "adapter_model.safetensors")
    write_archive(folder / "optimizer.pt")
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": step}))


def last_checkpoint(output: Path) -> int:
    found = [re.fullmatch(r"checkpoint-(\d+)", path.name) for path in output.iterdir()]
    return max((int(match[1]) for match in found if match), default=0)


def hold() -> None:
    while not Path(os.environ.get("GO_ON", "/nowhere")).exists():
        time.sleep(0.05)


def train(config: dict[str, Any]) -> None:
    output = Path(config["output_dir"])
    output.mkdir(parents=True, exist_ok=True)
    first = last_checkpoint(output)
    note("train", first)
    if first == 0 and (output / "adapter_model.safetensors").exists():
        sys.exit("Output directory already exists and is not empty.")
    if "WANDB_SAYS" in os.environ and os.environ.get("WANDB_MODE") != "offline":
        sys.exit(os.environ["WANDB_SAYS"])
    if "WANDB_DIR" in os.environ:
        (Path(os.environ["WANDB_DIR"]) / "wandb").mkdir()
    for step in range(first + 1, int(config["max_steps"]) + 1):
        if step == int(os.environ.get("FAIL_AT_STEP", "0")):
            sys.exit(os.environ.get("LAST_WORDS", "failed"))
        if step == int(os.environ.get("KILLED_AT_STEP", "0")):
            os.kill(os.getpid(), signal.SIGKILL)
        record: dict[str, Any] = {
            "current_steps": step,
            "loss": 1 / step,
            "lr": 0.1,
            "epoch": step / 6,
        }
        record |= {"total_steps": int(config["max_steps"]), "remaining_time": "0:00:01"}
        with (output / "trainer_log.jsonl").open("a") as log:
            log.write(json.dumps(record) + "\n")
        if step % int(config["save_steps"]) == 0:
            save_checkpoint(output, step)
        if step == int(os.environ.get("HOLD_AT_STEP", "0")):
            hold()
        time.sleep(float(os.environ.get("STEP_SECONDS", "0")))
    if "TENSORBOARD_LOGGING_DIR" in os.environ:
        events = Path(os.environ["TENSORBOARD_LOGGING_DIR"])
        events.mkdir(exist_ok=True)
        (events / f"events.out.tfevents.{first}.pod").write_bytes(b"events")
    write_safetensors(output / "adapter_model.safetensors")
    (output / "adapter_config.json").write_text("{}")
    results = {"train_loss": 0.5, "epoch": 1.0}
    if config.get("do_eval"):
        results["eval_loss"] = float(os.environ["EVAL_LOSS"])
    (output / "all_results.json").write_text(json.dumps(results))


def export(config: dict[str, Any]) -> None:
    note("export", 0)
    target = Path(config["export_dir"])
    target.mkdir()
    (target / "config.json").write_text("{}")
    if "EXPORT_FAILS" in os.environ:
        sys.exit("disk full")
    write_safetensors(target / "model.safetensors")


def note(action: str, step: int) -> None:
    seen_tracker = "MLFLOW_TRACKING_URI" in os.environ
    with Path(os.environ["CALLS"]).open("a") as calls:
        calls.write(f"{action} {step} {'tracker' if seen_tracker else '-'}\n")


if __name__ == "__main__":
    {"train": train, "export": export}[sys.argv[1]](yaml.safe_load(Path(sys.argv[2]).read_text()))
