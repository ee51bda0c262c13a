"""Notes what the pod uses: CPU, memory, disk and GPUs. MLflow gets it with the other metrics.

The file beside the run is the queue, as the trainer's own log is: a tracker that is away loses
nothing.
"""

from __future__ import annotations

import json
import logging
import shutil
import threading
import time
from pathlib import Path
from types import TracebackType

log = logging.getLogger(__name__)

FILE = "system_metrics.jsonl"
SECONDS = 15.0
SECONDS_VARIABLE = "LLMOPS_SYSTEM_SECONDS"
CGROUP = Path("/sys/fs/cgroup")


class SystemMetrics:
    """Appends one sample now and then. Use as a context manager around the training."""

    def __init__(self, output: Path, seconds: float, cgroup: Path = CGROUP) -> None:
        self._output = output
        self._seconds = seconds
        self._cgroup = cgroup
        self._cpu = self._cpu_seconds()
        self._at = time.monotonic()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="system", daemon=True)

    def __enter__(self) -> SystemMetrics:
        self._thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._done.wait(self._seconds):
            sample = {"time": int(time.time() * 1000), "values": self.sample()}
            try:
                with (self._output / FILE).open("a") as file:
                    file.write(json.dumps(sample) + "\n")
            except OSError as error:
                log.warning("no system metrics any more: %s", error)
                return

    def sample(self) -> dict[str, float]:
        """What is used now; what cannot be read is left out."""
        values: dict[str, float] = {}
        cpu, at = self._cpu_seconds(), time.monotonic()
        if cpu is not None and self._cpu is not None and at > self._at:
            values["cpu_cores"] = (cpu - self._cpu) / (at - self._at)
        self._cpu, self._at = cpu, at
        memory = read_number(self._cgroup / "memory.current")
        if memory is not None:
            values["memory_gib"] = memory / 1024**3
        values["disk_free_gib"] = shutil.disk_usage(self._output).free / 1024**3
        return values | read_gpus()

    def _cpu_seconds(self) -> float | None:
        try:
            lines = (self._cgroup / "cpu.stat").read_text().splitlines()
        except OSError:
            return None
        used = [line.split()[1] for line in lines if line.startswith("usage_usec ")]
        return int(used[0]) / 1e6 if used else None


def read_number(file: Path) -> float | None:
    """The number in a file, or None."""
    try:
        return float(file.read_text())
    except (OSError, ValueError):
        return None


def read_gpus() -> dict[str, float]:
    """Use and memory of each GPU; nothing where there is none."""
    try:
        import pynvml
    except ImportError:
        return {}
    values: dict[str, float] = {}
    try:
        pynvml.nvmlInit()
        for index in range(pynvml.nvmlDeviceGetCount()):
            gpu = pynvml.nvmlDeviceGetHandleByIndex(index)
            memory = pynvml.nvmlDeviceGetMemoryInfo(gpu)
            use = pynvml.nvmlDeviceGetUtilizationRates(gpu)
            values[f"gpu_{index}_percent"] = float(use.gpu)
            values[f"gpu_{index}_memory_gib"] = memory.used / 1024**3
    except pynvml.NVMLError as error:
        log.warning("the GPUs tell nothing: %s", error)
    return values
