"""Says why the trainer ended, where that can be told: memory, the GPU's memory, or the disk."""

from __future__ import annotations

import shutil
from pathlib import Path

from llmops_training import endings
from llmops_training.process import TrainerFailed

KILLED = 137
SMALL = 1024**3

GPU_MEMORY = ("CUDA out of memory", "torch.OutOfMemoryError", "CUBLAS_STATUS_ALLOC_FAILED")
MEMORY = ("can't allocate memory", "Cannot allocate memory", "MemoryError", "std::bad_alloc")
SHARED_MEMORY = ("insufficient shared memory", "Bus error")
DISK = ("No space left on device", "Disk quota exceeded", "Errno 28", "file write failed")


def explain(failure: TrainerFailed, output: Path) -> tuple[str, int]:
    """A sentence with what to change, and the exit code."""
    said = failure.said

    def says(marks: tuple[str, ...]) -> bool:
        return any(mark in said for mark in marks)

    if says(GPU_MEMORY):
        return (
            "out of GPU memory: lower per_device_train_batch_size or cutoff_len in the training "
            "file, or spread the model with training.deepspeed zero3 over more GPUs",
            failure.code,
        )
    if says(SHARED_MEMORY):
        return "out of shared memory: raise training.resources.shm", failure.code
    if says(DISK):
        return out_of_disk(output), endings.DISK
    if failure.killed > 0 or failure.code == KILLED or says(MEMORY):
        return (
            "out of memory: raise training.resources.memory, or lower "
            "per_device_train_batch_size or cutoff_len in the training file",
            KILLED,
        )
    return str(failure), failure.code


def out_of_disk(output: Path) -> str:
    """Which volume is full, as far as that can be told."""
    try:
        free = shutil.disk_usage(output).free
    except OSError as error:
        return f"out of disk; {output} cannot be looked at: {error}"
    if free < SMALL:
        return (
            f"out of disk: {free // 1024**2} MiB are free on the volume of {output}; raise "
            f"storage.modelOutput.size, remove runs that nothing serves, or lower save_total_limit"
        )
    return (
        f"out of disk, but not on the volume of {output}, which has {free // 1024**2} MiB free: "
        f"the node's own disk is full"
    )
