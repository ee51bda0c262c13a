"""Several pods that train one model: who this one is, and when all of them are there.

What follows training (merge, gate, report, publish, markers) is done by rank 0. The others end once
rank 0 has marked the run as trained, so that a retry of rank 0 never waits for pods that are gone.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from llmops_training import completion, endings
from llmops_training.process import ProcessRunner, llamafactory
from llmops_training.run import TrainingRun, UsageError

log = logging.getLogger(__name__)

POLL_SECONDS = 2.0
SAY_SECONDS = 60.0
TRAINED_SECONDS = 1800.0
TRAINED_VARIABLE = "LLMOPS_TRAINED_SECONDS"


@dataclass(frozen=True)
class Node:
    """One pod among those that train together."""

    rank: int
    count: int
    address: str
    """Name of a pod, with `{rank}` in it."""

    def peers(self) -> list[str]:
        """The names of all the others."""
        ranks = (rank for rank in range(self.count) if rank != self.rank)
        return [self.address.replace("{rank}", str(rank)) for rank in ranks]


def load_node(env: Mapping[str, str]) -> Node:
    """NODE_RANK, NNODES and LLMOPS_NODE_ADDRESS; one pod alone where they are not set."""
    try:
        node = Node(
            int(env.get("NODE_RANK", "0")),
            int(env.get("NNODES", "1")),
            env.get("LLMOPS_NODE_ADDRESS", ""),
        )
    except ValueError as error:
        raise UsageError(f"NODE_RANK and NNODES must be numbers: {error}") from error
    if node.count > 1 and not node.address:
        raise UsageError("LLMOPS_NODE_ADDRESS is not set: the pods cannot find each other")
    return node


def has_name(name: str) -> bool:
    """Whether a name can be resolved, as that of a running pod can."""
    try:
        socket.getaddrinfo(name, None)
    except OSError:
        return False
    return True


def wait_for_peers(
    node: Node, runner: ProcessRunner, known: Callable[[str], bool] = has_name
) -> None:
    """Returns once all pods run: torchrun itself would give up on those that come late."""
    missing = node.peers()
    say_at = time.monotonic()
    while missing := [name for name in missing if not known(name)]:
        runner.raise_if_stopped()
        if time.monotonic() >= say_at:
            log.info("waiting for %d of %d pods: %s", len(missing), node.count, missing[0])
            say_at = time.monotonic() + SAY_SECONDS
        time.sleep(POLL_SECONDS)


def follow(run: TrainingRun, node: Node, runner: ProcessRunner, env: Mapping[str, str]) -> None:
    """The part of every rank but 0. Raises TrainerFailed, Stopped or Ended."""
    if completion.is_trained(run):
        log.info("rank %d: run %s is trained already", node.rank, run.run_id)
        return
    wait_for_peers(node, runner)
    runner.run(llamafactory("train", run.config_file), env)
    seconds = float(env.get(TRAINED_VARIABLE, TRAINED_SECONDS))
    end = time.monotonic() + seconds
    while not is_marked(run.output):
        runner.raise_if_stopped()
        if time.monotonic() >= end:
            raise endings.Ended(
                f"rank {node.rank} has trained, but rank 0 did not save within {seconds:.0f} s; "
                f"the next try resumes from the last checkpoint",
                1,
            )
        time.sleep(POLL_SECONDS)
    log.info("rank %d: done; rank 0 does the rest", node.rank)


def is_marked(output: Path) -> bool:
    """Whether the run is trained; the folder is listed, as a shared volume may remember a miss."""
    return any(path.name == completion.TRAINED for path in output.iterdir())
