"""The commands of the training image.

train FILE   train, merge, measure what the gate asks for, report, publish; what is complete is not
             done again, an interrupted run resumes
report FILE  send MLflow what it missed
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from llmops_training import (
    completion,
    data_check,
    endings,
    gate,
    progress,
    system_metrics,
    wandb_away,
)
from llmops_training.checkpoints import set_aside_broken
from llmops_training.diagnosis import explain
from llmops_training.distributed import Node, follow, load_node, wait_for_peers
from llmops_training.merge import merge
from llmops_training.process import (
    ProcessRunner,
    Stopped,
    TrainerFailed,
    trainer_environment,
)
from llmops_training.progress import Progress
from llmops_training.publishing import PublishFailed, publish
from llmops_training.run import TrainingRun, UsageError, load_run
from llmops_training.system_metrics import SystemMetrics
from llmops_training.tracking import Reporter

log = logging.getLogger(__name__)

FLUSH_SECONDS = 60.0
FLUSH_VARIABLE = "LLMOPS_FLUSH_SECONDS"


def main(arguments: Sequence[str]) -> int:
    """Runs a command and gives the exit code."""
    logging.basicConfig(level=logging.INFO, format="llmops: %(message)s")
    parser = argparse.ArgumentParser(prog="llmops_training")
    parser.add_argument("command", choices=["train", "report"])
    parser.add_argument("file", type=Path, help="LLaMA-Factory training file")
    options = parser.parse_args(arguments)
    try:
        run = load_run(options.file, os.environ)
        if options.command == "report":
            return report(run, os.environ)
        train(run, os.environ)
    except UsageError as error:
        return end(str(error), endings.USAGE)
    except Stopped as stop:
        return end(f"{stop}; the next try resumes from the last checkpoint", stop.code)
    except TrainerFailed as failure:
        return end(*explain(failure, run.output))
    except (PublishFailed, endings.Ended) as failure:
        return end(str(failure), failure.code)
    return 0


def end(message: str, code: int) -> int:
    """Says why on the last line of the log and in the termination message; gives the code."""
    log.error("%s", message)
    name = os.environ.get(endings.TERMINATION_VARIABLE)
    endings.say_why(message, Path(name) if name else endings.TERMINATION_LOG)
    return code


def train(run: TrainingRun, env: Mapping[str, str]) -> None:
    """Brings a run to its end, from wherever it stands."""
    runner = ProcessRunner()
    runner.listen()
    node = load_node(env)
    if node.rank > 0:
        follow(run, node, runner, trainer_environment(env))
        return
    if not completion.is_complete(run):
        finish(run, runner, env, node)
    log.info("run %s is complete: %s", run.run_id, run.model_path)
    if run.publishing is not None:
        publish(run, run.publishing, runner, env, seconds=flush_seconds(env))


def finish(run: TrainingRun, runner: ProcessRunner, env: Mapping[str, str], node: Node) -> None:
    """Trains, merges and reports what is left of it."""
    run.output.mkdir(parents=True, exist_ok=True)
    child_env = trainer_environment(env)
    with contextlib.ExitStack() as stack:
        reporter: Reporter | None = None
        if run.tracking is not None:
            reporter = stack.enter_context(Reporter(run, run.tracking))
        if not completion.is_trained(run):
            data_check.check(run)
            resumed = set_aside_broken(run.output)
            log.info("resume from %s" if resumed else "start from the beginning%s", resumed or "")
            wait_for_peers(node, runner)
            if env.get("LLMOPS_SYSTEM_METRICS") == "true":
                stack.enter_context(SystemMetrics(run.output, system_seconds(env)))
            with Progress(run.output, progress_seconds(env)):
                wandb_away.train(run, node, runner, child_env)
            completion.mark_trained(run)
        if run.merge and run.trains_adapter:
            merge(run, runner, child_env)
        refused = pass_gate(run, runner, child_env)
        if reporter is not None:
            status = "FINISHED" if refused is None else "FAILED"
            reporter.finish(status, seconds=flush_seconds(env))
        runner.raise_if_stopped()
    if refused is not None:
        raise refused
    completion.mark_complete(run)


def pass_gate(
    run: TrainingRun, runner: ProcessRunner, env: Mapping[str, str]
) -> gate.GateFailed | None:
    """Measures what the gate asks for; gives the error of a run that is not good enough."""
    wanted = gate.load_gate(env)
    if wanted is None:
        return None
    metrics = gate.measure(run, wanted, runner, env)
    passed = gate.decide(run, wanted, metrics)
    log.info("gate: %s", ", ".join(f"{name} {value:.4g}" for name, value in metrics.items()))
    return None if passed else gate.failure(run, wanted, metrics)


def report(run: TrainingRun, env: Mapping[str, str]) -> int:
    """Sends MLflow what an earlier run could not."""
    if run.tracking is None:
        raise UsageError("MLFLOW_TRACKING_URI is not set: there is nowhere to report to")
    refused = gate.is_refused(run)
    status = "FINISHED" if completion.is_trained(run) and not refused else "FAILED"
    with Reporter(run, run.tracking) as reporter:
        return 0 if reporter.finish(status, seconds=flush_seconds(env)) else 1


def system_seconds(env: Mapping[str, str]) -> float:
    """How long between two samples of what the pod uses."""
    return float(env.get(system_metrics.SECONDS_VARIABLE, system_metrics.SECONDS))


def progress_seconds(env: Mapping[str, str]) -> float:
    """How long between two lines about how far the training is."""
    return float(env.get(progress.VARIABLE, progress.SECONDS))


def flush_seconds(env: Mapping[str, str]) -> float:
    """How long the end of a run waits for MLflow."""
    return float(env.get(FLUSH_VARIABLE, FLUSH_SECONDS))
