"""Measures the model downloader against curl, rclone, `curl` + `unzip` or `tar`, and the disk.

    python bench/downloads.py --source FOLDER --target FOLDER [--gigabytes 2] [--runs 3]

Run it with a Python that has images/requirements-dev.lock. nginx (`--nginx`) and clients share this
machine's loopback. `--source` is on a disk: "cold" reads it from there, "warm" from the page cache.
`--target` is the volume: a tmpfs, so that network and CPU are measured, or a disk. Both need twice
the size. curl, tar, unzip and openssl must be installed; rclone is used where it is on PATH. When a
command is over, its files are on the disk: ours sees to that, and `sync` is part of the others.
Prints tables for bench/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from downloads_source import MIB, SHARDS, Server, Source

MODELS = Path(__file__).resolve().parents[1] / "images" / "models"
UNPACK = {"zip": "unzip -q", "tar": "tar xf", "tar.gz": "tar xzf"}
# coreutils' sha256sum does not use the CPU's instructions for it, so it would be an easy peer.
CHECK = f"ls *.safetensors | xargs -P {os.cpu_count()} -n 1 openssl dgst"
# Nobody is offered this: it shows what is left of the time when nothing is hashed.
UNCHECKED = """
import sys
from llmops_models import cli
from llmops_models.fetch import digest
digest.Sha256.update = lambda *_: None
digest.Digest.verify = lambda *_: None
sys.exit(cli.main(sys.argv[1:]))
"""


@dataclass
class Run:
    """One command: seconds, CPU seconds, bytes of memory, bytes on the volume at the peak."""

    seconds: float
    cpu: float
    memory: int
    disk: int


@dataclass
class Peer:
    """A command, and what it makes sure of."""

    name: str
    run: Callable[[], Run]
    checks: str


def observe(target: Path, command: list[str], env: dict[str, str]) -> Run:
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
        command, env=os.environ | env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
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


def row(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


def head(*cells: str) -> None:
    print()
    row(*cells)
    row(*("---" for _ in cells))


class Bench:
    """All measures; `targets` are the rows that the issue asks for."""

    def __init__(self, source: Source, server: Server, target: Path, runs: int) -> None:
        self.source, self.server, self.target, self.runs = source, server, target, runs
        self.size = sum(path.stat().st_size for path in source.raw.iterdir())
        self.targets: list[tuple[str, str, str, bool]] = []
        self.memory = 0
        self.order = random.Random(1)

    def env(self, scheme: str) -> dict[str, str]:
        ca = str(self.server.certificate)
        return {
            "ARTIFACTORY_URL": self.server.url(scheme),
            "PYTHONPATH": str(MODELS),
            "NO_PROXY": "127.0.0.1",
            "SSL_CERT_FILE": ca,
            "CURL_CA_BUNDLE": ca,
        }

    def empty(self, cold: bool) -> None:
        shutil.rmtree(self.target, ignore_errors=True)
        self.target.mkdir()
        if cold:
            self.source.evict()

    def fetch(self, path: str, *more: str) -> list[str]:
        words = ["fetch", "artifactory", "--path", path, *more]
        return [*words, "--to", str(self.target / "model")]

    def ours(self, path: str, scheme: str, cold: bool) -> Run:
        self.empty(cold)
        command = [sys.executable, "-m", "llmops_models", *self.fetch(path)]
        run = observe(self.target, command, self.env(scheme))
        self.memory = max(self.memory, run.memory)
        return run

    def unchecked(self, path: str, scheme: str, cold: bool) -> Run:
        self.empty(cold)
        command = [sys.executable, "-c", UNCHECKED, *self.fetch(path)]
        return observe(self.target, command, self.env(scheme))

    def shell(self, script: str, scheme: str, cold: bool) -> Run:
        self.empty(cold)
        words = ["sh", "-ec", f"cd {self.target}\n{script}\nfind . -type f -exec sync {{}} +"]
        return observe(self.target, words, self.env(scheme))

    def table(self, title: str, ours: Peer, peers: list[Peer]) -> tuple[Run, dict[str, Run]]:
        """The fastest run of each, taken in turns so that all meet the same machine.

        Each round has an order of its own: what a command leaves in memory, as freed pages that
        the host takes back, makes the next one slower or faster by up to a half.
        """
        every = [ours, *peers]
        runs: dict[str, list[Run]] = {peer.name: [] for peer in every}
        for _ in range(self.runs):
            for peer in self.order.sample(every, len(every)):
                runs[peer.name].append(peer.run())
        best = [min(runs[peer.name], key=lambda run: run.seconds) for peer in every]
        head(title, "seconds", "CPU s", "memory", "volume", "checks", "ours is so much as fast")
        for peer, run in zip(every, best, strict=True):
            row(
                peer.name,
                f"{run.seconds:.2f}",
                f"{run.cpu:.2f}",
                f"{run.memory / MIB:.0f} MiB",
                f"{run.disk / self.size:.3f}",
                peer.checks,
                "" if peer is ours else f"{run.seconds / best[0].seconds:.2f}",
            )
        return best[0], {peer.name: run for peer, run in zip(peers, best[1:], strict=True)}

    def raw(self, scheme: str, cold: bool) -> None:
        url = self.server.url(scheme)
        names = [f"model-{shard}.safetensors" for shard in range(SHARDS)]
        urls = " ".join(f"-O {url}/raw/{name}" for name in names)
        each = "\n".join(f"curl -sfO {url}/raw/{name}" for name in names)
        scripts = {
            "curl, one file after the other (the seed's copy of each object)": (each, "nothing"),
            "curl, parallel": (f"curl -sfZ {urls}", "nothing"),
        }
        if rclone := shutil.which("rclone"):
            words = f"{rclone} --config '' copy :http:raw/ . --http-url {url}"
            copy = f"{words} --ca-cert $SSL_CERT_FILE --include '*.safetensors'"
            scripts["rclone"] = (copy, "nothing: HTTP has no sums for it")
            scripts["rclone, then sha256"] = (f"{copy}\n{CHECK} -sha256", "sha256")
            scripts["rclone, then md5, its check of Cloud Storage"] = (
                f"{copy}\n{CHECK} -md5",
                "md5",
            )
        scripts["only sha256 of the same files"] = (f"(cd {self.source.raw}; {CHECK} -sha256)", "")
        scripts["the disk: cp of the same files"] = (f"cp {self.source.raw}/*.safetensors .", "")
        peers = [
            Peer(name, partial(self.shell, script, scheme, cold), checks)
            for name, (script, checks) in scripts.items()
        ]
        peers.append(
            Peer("ours without hashing", partial(self.unchecked, "raw", scheme, cold), "nothing")
        )
        state = "cold" if cold else "warm"
        title = f"{self.size / 1e9:.1f} GB in {SHARDS} files, {scheme}, {state}"
        mine = Peer("**ours**", partial(self.ours, "raw", scheme, cold), "sha256")
        ours, others = self.table(title, mine, peers)
        loaders = {name: run for name, run in others.items() if name.startswith(("curl", "rclone"))}
        fair = {name: run for name, run in loaders.items() if "then" in name}
        bare = others["ours without hashing"]
        for what, mine_then, among in (
            ("against the fastest peer", ours, loaders),
            ("against the fastest that checks", ours, fair),
            ("without hashing, against the fastest peer", bare, loaders),
        ):
            if among:
                name = min(among, key=lambda each: among[each].seconds)
                ratio = among[name].seconds / mine_then.seconds
                said = f"{title}: {what}, {name}"
                self.targets.append((said, f"{ratio:.2f}", "≥ 0.95", ratio >= 0.95))

    def archive(self, kind: str, scheme: str, cold: bool, seed: Run | None) -> Run | None:
        """Gives the run of the seed's recipe, which knows zip only."""
        name = f"model.{kind}"
        script = f"curl -sfO {self.server.url(scheme)}/{name}\n{UNPACK[kind]} {name}"
        recipe = f"curl + {UNPACK[kind]}" + (" (the seed's recipe)" if kind == "zip" else "")
        peers = [Peer(recipe, partial(self.shell, script, scheme, cold), "nothing")]
        state = "cold" if cold else "warm"
        title = f"{self.size / 1e9:.1f} GB as {kind}, {scheme}, {state}"
        mine = Peer("**ours**", partial(self.ours, name, scheme, cold), "sha256, CRC")
        ours, others = self.table(title, mine, peers)
        if kind == "zip":
            seed = others[recipe]
        if seed is not None:
            ratio = seed.seconds / ours.seconds
            what = f"{title}, to ready files: the seed's curl + unzip"
            self.targets.append((what, f"{ratio:.2f}", "≥ 1.8", ratio >= 1.8))
        share = ours.disk / self.size
        what = f"{title}: peak on the volume to unpacked size"
        self.targets.append((what, f"{share:.3f}", "≤ 1.02", share <= 1.02))
        return seed

    def complete(self, kind: str, scheme: str) -> None:
        name = f"model.{kind}"
        pinned = self.fetch(name, "--sha256", self.source.sums[f"/{name}"])
        command = [sys.executable, "-m", "llmops_models", *pinned]
        self.empty(cold=False)
        observe(self.target, command, self.env(scheme))
        least = min(
            observe(self.target, command, self.env(scheme)).seconds for _ in range(self.runs + 2)
        )
        self.targets.append(("complete already", f"{least:.2f} s", "≤ 0.3 s", least <= 0.3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--target", type=Path, required=True)
    parser.add_argument("--nginx", default="nginx")
    parser.add_argument("--gigabytes", type=float, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--archives", default="zip,tar,tar.gz", help="the first one also cold")
    options = parser.parse_args()
    size = int(options.gigabytes * 1e9) // (SHARDS * MIB) * SHARDS * MIB
    source = Source(options.source / "files", size)
    server = Server(options.nginx, source, options.source / "nginx")
    bench = Bench(source, server, options.target / "volume", options.runs)
    kinds = [kind for kind in options.archives.split(",") if kind]
    try:
        for scheme in ("https", "http"):
            for cold in (False, True):
                bench.raw(scheme, cold)
        seed = None
        for kind in kinds:
            source.archive(kind)
            bench.server = server = server.restart(options.nginx)
            seed = bench.archive(kind, "https", False, seed)
            if kind == kinds[0]:
                bench.archive(kind, "https", True, None)
                bench.complete(kind, "https")
    finally:
        server.stop()
    peak = bench.memory / MIB
    bench.targets.append(("peak memory of all", f"{peak:.0f} MiB", "≤ 256 MiB", peak <= 256))
    head("measure", "ours", "target", "ok")
    for what, got, target, ok in bench.targets:
        row(what, got, target, "ok" if ok else "short")
    print(json.dumps({"cores": os.cpu_count(), "load": os.getloadavg()}))


if __name__ == "__main__":
    main()
