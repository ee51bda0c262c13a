"""What `train` does around the trainer: resume, merge, completion, stopping, wrong input."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Container, stop, wait_until


def test_trains_merges_and_marks_the_run_complete(container: Container) -> None:
    code, log = container.run()
    assert code == 0, log
    assert [call[0] for call in container.calls()] == ["train", "export"]
    marker = container.read(".complete")
    assert marker["runId"] == "run-1"
    assert marker["modelPath"] == str(container.output / "merged")
    assert marker["metrics"] == {"train_loss": 0.5, "epoch": 1.0}
    assert not (container.output / "merged.partial").exists()


def test_complete_run_ends_at_once(container: Container) -> None:
    container.run()
    code, log = container.run()
    assert code == 0
    assert len(container.calls()) == 2
    assert "is complete" in log


@pytest.mark.parametrize(("finetuning", "merge"), [("full", "true"), ("lora", "false")])
def test_no_merge_where_none_is_wanted(container: Container, finetuning: str, merge: str) -> None:
    container.config["finetuning_type"] = finetuning
    container.env["LLMOPS_MERGE"] = merge
    assert container.run()[0] == 0
    assert [call[0] for call in container.calls()] == ["train"]
    assert container.read(".complete")["modelPath"] == str(container.output)


def test_failed_training_keeps_its_exit_code_and_a_retry_resumes(container: Container) -> None:
    container.env |= {"FAIL_AT_STEP": "5", "LAST_WORDS": "RuntimeError: shapes do not match"}
    code, log = container.run()
    assert code == 1
    assert "RuntimeError: shapes do not match" in log
    assert "exit code 1" in log.splitlines()[-1]
    assert not (container.output / ".complete").exists()
    container.env.clear()
    assert container.run()[0] == 0
    assert [call[:2] for call in container.calls()] == [
        ["train", "0"],
        ["train", "4"],
        ["export", "0"],
    ]


def test_trains_without_wandb_where_that_is_away(container: Container) -> None:
    container.env["WANDB_SAYS"] = (
        'wandb.errors.errors.CommError: Timed out while retrying: Post "https://wandb.test/graphql"'
    )
    code, log = container.run()
    assert code == 0, log
    assert [call[0] for call in container.calls()] == ["train", "train", "export"]
    assert f"kept in {container.output / 'wandb'}" in log
    assert (container.output / "wandb").is_dir()


def test_key_that_wandb_refuses_ends_the_run(container: Container) -> None:
    container.env["WANDB_SAYS"] = "wandb.errors.errors.AuthenticationError: API key is invalid"
    code, log = container.run()
    assert code == 1
    assert [call[0] for call in container.calls()] == ["train"]
    assert "API key is invalid" in log


def test_sigterm_reaches_the_trainer_and_the_run_resumes(container: Container) -> None:
    container.env["HOLD_AT_STEP"] = "4"
    process = container.start()
    wait_until((container.output / "checkpoint-4/trainer_state.json").exists, "checkpoint 4")
    code, log = stop(process)
    assert code == 143
    assert "stopped by SIGTERM" in log.splitlines()[-1]
    container.env.clear()
    assert container.run()[0] == 0
    assert container.calls()[1][:2] == ["train", "4"]


def cut_weights(checkpoint: Path) -> None:
    weights = checkpoint / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])


def cut_optimizer(checkpoint: Path) -> None:
    optimizer = checkpoint / "optimizer.pt"
    optimizer.write_bytes(optimizer.read_bytes()[:-10])


def lose_state(checkpoint: Path) -> None:
    (checkpoint / "trainer_state.json").unlink()


def empty_state(checkpoint: Path) -> None:
    (checkpoint / "trainer_state.json").write_text("{")


def lose_weights(checkpoint: Path) -> None:
    (checkpoint / "adapter_model.safetensors").unlink()


def leave_unfinished(checkpoint: Path) -> None:
    (checkpoint / "checkpoint-is-incomplete.txt").write_text("in progress")


@pytest.mark.parametrize(
    "damage",
    [cut_weights, cut_optimizer, lose_state, empty_state, lose_weights, leave_unfinished],
)
def test_broken_last_checkpoint_is_set_aside(container: Container, damage: object) -> None:
    container.env["FAIL_AT_STEP"] = "5"
    container.run()
    assert callable(damage)
    damage(container.output / "checkpoint-4")
    container.env.clear()
    code, log = container.run()
    assert code == 0, log
    assert "checkpoint-4 is broken" in log
    assert container.calls()[1][:2] == ["train", "2"]
    assert (container.output / "broken-checkpoint-4").is_dir()


def test_failed_merge_is_done_again_without_training_again(container: Container) -> None:
    container.env["EXPORT_FAILS"] = "1"
    assert container.run()[0] == 1
    assert not (container.output / "merged").exists()
    container.env.clear()
    assert container.run()[0] == 0
    assert [call[0] for call in container.calls()] == ["train", "export", "export"]


def test_final_weights_without_a_checkpoint_are_set_aside(container: Container) -> None:
    container.config["save_steps"] = 100
    container.run()
    for name in (".complete", ".trained"):
        (container.output / name).unlink()
    code, log = container.run()
    assert code == 0, log
    assert (container.output / "broken-adapter_model.safetensors").exists()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(None, "cannot read"), ("- a\n", "not a list of keys"), ("stage: sft\n", "output_dir")],
)
def test_wrong_file_is_named(container: Container, content: str | None, complaint: str) -> None:
    file = container.root / "given.yaml"
    if content is not None:
        file.write_text(content)
    code, log = container.run(file=file)
    assert code == 2
    assert complaint in log.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory.", 1, "out of GPU memory: lower per_device"),
        ("DefaultCPUAllocator: can't allocate memory", 137, "raise training.resources.memory"),
        ("OSError: [Errno 28] No space left on device", 74, "out of disk"),
        (
            "It is possible that dataloader's workers are out of shared memory: "
            "insufficient shared memory (shm)",
            1,
            "raise training.resources.shm",
        ),
    ],
)
def test_end_says_what_ran_out(container: Container, words: str, code: int, said: str) -> None:
    message = container.root / "termination-log"
    message.touch()
    container.env |= {
        "FAIL_AT_STEP": "3",
        "LAST_WORDS": words,
        "LLMOPS_TERMINATION_LOG": str(message),
    }
    got, log = container.run()
    assert got == code
    assert said in message.read_text()
    assert message.read_text() in log.splitlines()[-1]


def test_killed_trainer_was_out_of_memory(container: Container) -> None:
    container.env["KILLED_AT_STEP"] = "3"
    code, log = container.run()
    assert code == 137
    assert "out of memory: raise training.resources.memory" in log.splitlines()[-1]


def test_log_says_how_far_the_training_is(container: Container) -> None:
    container.env |= {"STEP_SECONDS": "0.1", "LLMOPS_PROGRESS_SECONDS": "0.05"}
    code, log = container.run()
    assert code == 0, log
    lines = [line for line in log.splitlines() if line.startswith("llmops: step ")]
    assert len(lines) > 1
    assert lines[-1] == "llmops: step 6 of 6, loss 0.1667, 0:00:01 left"
