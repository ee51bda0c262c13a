"""Compiled code on a claim: between pods, for one key, and never in the way of a server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from llmops_inference import compile_cache as cache

PACKAGE_ROOT = Path(__file__).resolve().parents[1]
FILES = {
    "vllm/torch_compile_cache/a1/rank_0_0/backbone/vllm_compile_cache.py": "{}",
    "triton/x/kernel.cubin": "kernel",
    "inductor/y/graph.py": "graph",
    "flashinfer/z/op.so": "op",
}
# A vLLM that compiles where nothing is, then answers, and ends when its file of commands says so.
SERVER = """
import http.server, os, pathlib, sys
caches = pathlib.Path(os.environ["XDG_CACHE_HOME"])
made = caches / "vllm" / "compiled.txt"
print("found", made.read_text() if made.exists() else "nothing", flush=True)
if "broken" in sys.argv:
    sys.exit(1)
made.parent.mkdir(parents=True, exist_ok=True)
made.write_text(os.environ["SAYS"])
address = ("127.0.0.1", int(os.environ["API_PORT"]))
http.server.HTTPServer(address, http.server.SimpleHTTPRequestHandler).serve_forever()
"""


def fill(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def tree(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_text() for path in files}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def claim(tmp_path: Path) -> Path:
    folder = tmp_path / "claim"
    folder.mkdir()
    return folder


def test_what_is_kept_is_there_again_for_its_key_and_for_no_other(
    tmp_path: Path, claim: Path
) -> None:
    first = fill(tmp_path / "first", {**FILES, "huggingface/weights": "not compiled"})
    assert "kept as k1" in cache.publish(claim, "k1", first, replace=False)
    assert names(claim) == ["k1.tar"]
    assert "is there again" in cache.restore(claim, "k1", tmp_path / "second")
    assert tree(tmp_path / "second") == FILES
    (tmp_path / "third").mkdir()
    assert "no compiled code of k2" in cache.restore(claim, "k2", tmp_path / "third")
    assert tree(tmp_path / "third") == {}


def test_the_folder_of_a_model_is_made(tmp_path: Path, claim: Path) -> None:
    cache.restore(claim / "compile-cache" / "lumen7", "k1", tmp_path)
    assert (claim / "compile-cache" / "lumen7").is_dir()


def test_what_is_kept_is_not_written_again_unless_it_is_replaced(
    tmp_path: Path, claim: Path
) -> None:
    cache.publish(claim, "k", fill(tmp_path / "a", {"vllm/x": "old"}), replace=False)
    other = fill(tmp_path / "b", {"vllm/x": "new"})
    assert cache.publish(claim, "k", other, replace=False) == "compiled code of k is kept already"
    cache.restore(claim, "k", tmp_path / "c")
    assert tree(tmp_path / "c") == {"vllm/x": "old"}
    cache.publish(claim, "k", other, replace=True)
    cache.restore(claim, "k", tmp_path / "d")
    assert tree(tmp_path / "d") == {"vllm/x": "new"}


def test_many_pods_at_once_leave_one_whole_archive(tmp_path: Path, claim: Path) -> None:
    big = {f"triton/{number}": "x" * 10_000 for number in range(200)}
    pods = [fill(tmp_path / f"pod-{number}", big) for number in range(4)]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda pod: cache.publish(claim, "k", pod, replace=True), pods))
    assert names(claim) == ["k.tar"]
    cache.restore(claim, "k", tmp_path / "next")
    assert tree(tmp_path / "next") == big


def test_an_archive_that_a_killed_pod_has_begun_is_not_read_and_goes_in_time(
    tmp_path: Path, claim: Path
) -> None:
    old, new = claim / ".partial-old", claim / ".partial-new"
    for partial in (old, new):
        partial.write_bytes(b"half")
    os.utime(old, (0, 0))
    cache.restore(claim, "k", tmp_path / "pod")
    assert names(claim) == [".partial-new"]


def test_a_broken_archive_is_removed_and_leaves_nothing(tmp_path: Path, claim: Path) -> None:
    cache.publish(claim, "k", fill(tmp_path / "a", FILES), replace=False)
    whole = (claim / "k.tar").read_bytes()
    (claim / "k.tar").write_bytes(whole[: len(whole) // 3])
    assert "was broken and is removed" in cache.restore(claim, "k", tmp_path / "b")
    assert tree(tmp_path / "b") == {}
    assert names(claim) == []


def test_no_path_in_an_archive_leads_out_of_the_folder(tmp_path: Path, claim: Path) -> None:
    (tmp_path / "evil").write_text("x")
    with tarfile.open(claim / "k.tar", "w") as tar:
        tar.add(tmp_path / "evil", "../escaped")
    assert "was broken and is removed" in cache.restore(claim, "k", tmp_path / "pod")
    assert not (tmp_path / "escaped").exists()


def test_the_last_keys_stay(tmp_path: Path, claim: Path) -> None:
    for number, key in enumerate(["k1", "k2", "k3", "k4", "k5"]):
        (claim / f"{key}.tar").write_bytes(b"")
        os.utime(claim / f"{key}.tar", (number, number))
    cache.tidy(claim, "k1")
    assert names(claim) == ["k1.tar", "k4.tar", "k5.tar"]


def test_a_start_counts_as_use(tmp_path: Path, claim: Path) -> None:
    cache.publish(claim, "k", fill(tmp_path / "a", FILES), replace=False)
    os.utime(claim / "k.tar", (0, 0))
    cache.restore(claim, "k", tmp_path / "b")
    assert cache.age(claim / "k.tar") < 60


def test_a_claim_that_is_nearly_full_is_left_alone(
    tmp_path: Path, claim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "RESERVE_BYTES", 1 << 60)
    with pytest.raises(cache.NotKept, match="do not fit into"):
        cache.publish(claim, "k", fill(tmp_path / "a", FILES), replace=False)
    assert names(claim) == []


def test_a_claim_that_cannot_be_read_is_no_reason_not_to_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    said = cache.restore(tmp_path / "file" / "model", "k", tmp_path / "pod")
    assert said.startswith("compiled code of k cannot be read: ")


@dataclass
class Pod:
    """The container of a server, started and ended as Kubernetes does, with its own emptyDir."""

    root: Path
    claim: Path
    port: int
    log: list[str] = field(default_factory=list)
    servers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def env(self, says: str) -> dict[str, str]:
        return {
            "PATH": f"{self.root}/bin:{os.environ['PATH']}",
            "PYTHONPATH": str(PACKAGE_ROOT),
            "XDG_CACHE_HOME": str(self.root / "cache"),
            "LLMOPS_COMPILE_CACHE": str(self.claim),
            "LLMOPS_COMPILE_CACHE_KEY": "k",
            "API_PORT": str(self.port),
            "SAYS": says,
        }

    def run(self, says: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "llmops_inference", *arguments]
        with (self.root / "log").open("ab") as log:
            process = subprocess.Popen(
                command, env=self.env(says), stdout=log, stderr=log, cwd=self.root
            )
        self.servers.append(process)
        return process

    def said(self) -> str:
        return (self.root / "log").read_text()


def wait(what: str, done: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not done():
        assert time.monotonic() < end, what
        time.sleep(0.05)


@pytest.fixture
def pod(tmp_path: Path, claim: Path) -> Callable[[str], Pod]:
    def make(name: str) -> Pod:
        root = tmp_path / name
        (root / "bin").mkdir(parents=True)
        (root / "cache").mkdir()
        (root / "bin" / "vllm").write_text(f"#!{sys.executable}\n{SERVER}")
        (root / "bin" / "vllm").chmod(0o755)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            return Pod(root, claim, free.getsockname()[1])

    return make


def test_from_pod_to_pod_with_the_real_entry_point(pod: Callable[[str], Pod], claim: Path) -> None:
    first = pod("first")
    assert first.run("one", "restore").wait() == 0
    server = first.run("one", "serve", "owner/model")
    wait("the archive", lambda: "are kept as k" in first.said())
    server.kill()
    server.wait()
    second = pod("second")
    assert second.run("two", "restore").wait() == 0
    broken = second.run("two", "serve", "owner/model", "broken")
    broken.wait()
    assert "found one" in second.said()
    # Its container is started again: what was kept is not tried twice, and what is new replaces it.
    server = second.run("two", "serve", "owner/model")
    wait("another archive", lambda: "are kept as k" in second.said())
    server.kill()
    server.wait()
    assert "found nothing" in second.said()
    third = pod("third")
    third.run("three", "restore").wait()
    assert (third.root / "cache" / "vllm" / "compiled.txt").read_text() == "two"
