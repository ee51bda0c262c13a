"""W&B's client ends a training that cannot reach its server; here that costs the curves for now."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from llmops_training.distributed import Node
from llmops_training.process import ProcessRunner, TrainerFailed, llamafactory
from llmops_training.run import TrainingRun

log = logging.getLogger(__name__)

# What the client raises before the first step, after a minute and a half. A key that W&B refuses
# is another error, and stays one.
AWAY = "wandb.errors.errors.CommError"


def train(run: TrainingRun, node: Node, runner: ProcessRunner, env: Mapping[str, str]) -> None:
    """Trains; where W&B is away, with W&B's offline mode. Peers have failed with the first try."""
    command = llamafactory("train", run.config_file)
    try:
        runner.run(command, env)
    except TrainerFailed as failure:
        if AWAY not in failure.said or node.count > 1:
            raise
        log.warning(
            "W&B cannot be reached: the training goes on without it. What is for it is kept in %s; "
            "send it later with: wandb sync FOLDER",
            run.output / "wandb",
        )
        runner.run(command, {**env, "WANDB_MODE": "offline", "WANDB_DIR": str(run.output)})
