"""Measures the model downloader against curl, rclone and the usual `curl` + `unzip` or `tar`.

    python bench/downloads.py --work /dev/shm/bench [--gigabytes 2] [--runs 3]

Run it with a Python that has images/requirements-dev.lock. Server and clients share this machine's
loopback. The work folder should be a tmpfs (then it is network and CPU that are measured) or the
disk of interest; it needs about five times the size. curl, tar, unzip and openssl must be
installed; rclone is used where it is. Prints rows for bench/README.md.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from downloads_source import MIB, SHARDS, make_source, serve

MODELS = Path(__file__).resolve().parents[1] / "images" / "models"
# coreutils' sha256sum does not use the CPU's instructions for it, so it would be an easy peer.
CHECK = "openssl dgst -sha256"


@dataclass
class Run:
    """One command: seconds, CPU seconds, bytes of memory, bytes of disk at the peak."""

    seconds: float
    cpu: float
    memory: int
    disk: int


def measure(target: Path, command: list[str], env: dict[str, str] | None = None) -> Run:
    """Runs a command with an empty target folder."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    return observe(target, command, env)


def observe(target: Path, command: list[str], env: dict[str, str] | None = None) -> Run:
    def used() -> int:
        info = os.statvfs(target)
        return (info.f_blocks - info.f_bfree) * info.f_frsize

    base, peak, ended = used(), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.02):
            peak = max(peak, used() - base)

    watcher = threading.Thread(target=watch)
    watcher.start()
    since = time.monotonic()
    process = subprocess.Popen(
        command, env=os.environ | (env or {}), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    said = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - since
    ended.set()
    watcher.join()
    if status != 0:
        raise SystemExit(f"{command}: {said}")
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, peak)


def best(runs: int, *commands: Callable[[], Run]) -> list[Run]:
    """The fastest run of each command, taken in turns so that all meet the same machine."""
    rounds = [[command() for command in commands] for _ in range(runs)]
    return [min(column, key=lambda run: run.seconds) for column in zip(*rounds, strict=True)]


def row(name: str, ours: str, against: str, ratio: float | None, target: str, ok: bool) -> None:
    shown = "" if ratio is None else f"{ratio:.2f}"
    mark = "ok" if ok else "short"
    print(f"| {name} | {ours} | {against} | {shown} | {target} | {mark} |", flush=True)


class Bench:
    """The measures, all on one server and one work folder."""

    def __init__(self, work: Path, url: str, runs: int) -> None:
        self.target, self.url, self.runs = work / "target", url, runs
        self.env = {"ARTIFACTORY_URL": url, "PYTHONPATH": str(MODELS), "NO_PROXY": "127.0.0.1"}
        self.memory: list[int] = []

    def fetch(self, path: str, *more: str) -> list[str]:
        to = ["--to", str(self.target / "model")]
        words = ["-m", "llmops_models", "fetch", "artifactory", "--path", path, *more]
        return [sys.executable, *words, *to]

    def ours(self, path: str) -> Run:
        run = measure(self.target, self.fetch(path), self.env)
        self.memory.append(run.memory)
        return run

    def shell(self, script: str) -> Run:
        return measure(self.target, ["sh", "-ec", f"cd {self.target}\n{script}"])

    def raw(self) -> None:
        names = [f"raw/model-{shard}.safetensors" for shard in range(SHARDS)]
        urls = " ".join(f"-O {self.url}/{name}" for name in names)
        peers = {
            "curl": f"curl -sf {urls}",
            "curl, parallel": f"curl -sfZ {urls}",
        }
        if rclone := shutil.which(
            "rclone", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        ):
            copy = f"copy :http:raw/ . --http-url {self.url} --include '*.safetensors'"
            peers["rclone"] = f"{rclone} --config '' {copy} --multi-thread-streams 4"
            peers[f"rclone + {CHECK}"] = f"{peers['rclone']}\n{CHECK} *.safetensors"
        ours, *others = best(
            self.runs,
            lambda: self.ours("raw"),
            *(lambda script=script: self.shell(script) for script in peers.values()),
        )
        for name, other in zip(peers, others, strict=True):
            ratio = other.seconds / ours.seconds
            title = f"{SHARDS} files, ours with every sha256 checked"
            told = f"{name} {other.seconds:.2f} s, CPU {other.cpu:.1f} s"
            mine = f"{ours.seconds:.2f} s, CPU {ours.cpu:.1f} s"
            row(title, mine, told, ratio, "≥ 0.95", ratio >= 0.95)

    def archive(self, kind: str, unpack: str) -> None:
        name = f"model.{kind}"
        download, rest = f"curl -sfO {self.url}/{name}", f"{unpack} {name}\nrm {name}"
        ours, seed, checked = best(
            self.runs,
            lambda: self.ours(name),
            lambda: self.shell(f"{download}\n{rest}"),
            lambda: self.shell(f"{download}\n{CHECK} {name}\n{rest}"),
        )
        mine = f"{ours.seconds:.2f} s, CPU {ours.cpu:.1f} s"
        for recipe, run in (("curl", seed), (f"curl + {CHECK}", checked)):
            ratio = run.seconds / ours.seconds
            told = f"{recipe} + {unpack} {run.seconds:.2f} s, CPU {run.cpu:.1f} s"
            row(f"{kind} to ready files", mine, told, ratio, "≥ 1.8", ratio >= 1.8)
        size = sum(path.stat().st_size for path in self.target.rglob("*") if path.is_file())
        share = ours.disk / size
        row(
            f"{kind}, peak disk to unpacked size",
            f"{share:.3f}",
            f"{seed.disk / size:.3f}",
            share / (seed.disk / size),
            "≤ 1.02",
            share <= 1.02,
        )

    def complete(self) -> None:
        pinned = [*self.fetch("model.tar", "--sha256", self.sum("model.tar"))]
        measure(self.target, pinned, self.env)
        times = [observe(self.target, pinned, self.env).seconds for _ in range(5)]
        row("complete already", f"{min(times):.2f} s", "", None, "≤ 0.3 s", min(times) <= 0.3)

    def sum(self, name: str) -> str:
        return subprocess.run(
            ["curl", "-sf", f"{self.url}/{name}.sum"], check=True, capture_output=True, text=True
        ).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--gigabytes", type=float, default=2)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    root = options.work / "source"
    if not root.exists():
        make_source(root, int(options.gigabytes * 1e9) // (SHARDS * MIB) * SHARDS * MIB)
    port = multiprocessing.Value("i", 0)
    server = multiprocessing.Process(target=serve, args=(str(root), port), daemon=True)
    server.start()
    while port.value == 0:
        time.sleep(0.01)
    bench = Bench(options.work, f"http://127.0.0.1:{port.value}", options.runs)
    print("| measure | ours | against | ratio | target | ok |")
    print("| --- | --- | --- | --- | --- | --- |")
    bench.raw()
    bench.archive("tar", "tar xf")
    bench.archive("tar.gz", "tar xzf")
    bench.archive("zip", "unzip -q")
    bench.complete()
    peak = max(bench.memory)
    row("peak memory", f"{peak / MIB:.0f} MiB", "", None, "≤ 256 MiB", peak <= 256 * MIB)
    print(json.dumps({"cores": os.cpu_count(), "load": os.getloadavg()}))
    server.terminate()


if __name__ == "__main__":
    main()
