"""Keeps what a server compiles at its start, for the next pods of the same image and options.

A server works on files of its own pod, below ~/.cache: vLLM does not write all of them in one step,
and cannot start on a half-written one. On the claim is an archive for each key. The pod's init
container unpacks it; once a server answers that had none, a process beside it writes one, under
another name until it is whole. So any number of pods may start at once, a killed one leaves nothing
that is read, and whatever is wrong with the claim, the server starts without it.

LLMOPS_COMPILE_CACHE      the model's folder on the claim
LLMOPS_COMPILE_CACHE_KEY  hash of image, model and options: nothing of another key is read
"""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import sys
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

# What is compiled, of all that is below ~/.cache: by vLLM and PyTorch, Triton, FlashInfer.
FOLDERS = ("vllm", "triton", "inductor", "flashinfer")
# Archives of a model that stay: those of the last keys that a pod has started with.
KEEP = 3
# A name that an archive has while it is written; one so old was left by a pod that is gone.
PARTIAL = ".partial-"
STALE_SECONDS = 3600
# Never the last of a claim that models may be on too.
RESERVE_BYTES = 1 << 30
# Says in the pod's own folder that a server was started on it before.
STARTED = ".llmops-started"
POLL_SECONDS = 5.0


class NotKept(Exception):
    """There is no archive now; the text says why."""


def restore(folder: Path, key: str, cache: Path) -> str:
    """Unpacks the archive of a key; gives a sentence about it. A broken one is removed."""
    archive = folder / f"{key}.tar"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tidy(folder, key)
        since = time.monotonic()
        with tarfile.open(archive) as tar:
            tar.extractall(cache, filter="data")
        os.utime(archive)
        return f"compiled code of {key} is there again, after {time.monotonic() - since:.1f} s"
    except FileNotFoundError:
        return f"no compiled code of {key} yet: this start compiles it"
    except tarfile.TarError as error:
        wipe(cache)
        archive.unlink(missing_ok=True)
        return f"{archive} was broken and is removed: {error}"
    except OSError as error:
        wipe(cache)
        return f"compiled code of {key} cannot be read: {error}"


def tidy(folder: Path, key: str) -> None:
    """Leaves the archives of the last few keys, and nothing that a killed pod has begun."""
    for partial in folder.glob(f"{PARTIAL}*"):
        if age(partial) > STALE_SECONDS:
            partial.unlink(missing_ok=True)
    others = sorted((each for each in folder.glob("*.tar") if each.stem != key), key=age)
    for old in others[KEEP - 1 :]:
        old.unlink(missing_ok=True)


def age(path: Path) -> float:
    """Seconds since a file was written or used; one that is gone meanwhile is as old as can be."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")


def wipe(cache: Path) -> None:
    """Removes what is compiled in a pod."""
    for name in FOLDERS:
        shutil.rmtree(cache / name, ignore_errors=True)


def publish(folder: Path, key: str, cache: Path, *, replace: bool) -> str:
    """Writes the archive of a key; gives a sentence about it."""
    archive = folder / f"{key}.tar"
    if archive.exists() and not replace:
        return f"compiled code of {key} is kept already"
    files = list(compiled(cache))
    size = sum(path.stat().st_size for path in files)
    free = shutil.disk_usage(folder).free
    if not files:
        raise NotKept("nothing was compiled")
    if free < size + RESERVE_BYTES:
        raise NotKept(f"{size >> 20} MiB and 1 GiB to spare do not fit into {free >> 20} MiB")
    partial = folder / f"{PARTIAL}{uuid.uuid4().hex}"
    try:
        with partial.open("wb") as file:
            with tarfile.open(fileobj=file, mode="w") as tar:
                for path in files:
                    tar.add(path, str(path.relative_to(cache)))
            file.flush()
            os.fsync(file.fileno())
        partial.rename(archive)
    finally:
        partial.unlink(missing_ok=True)
    return f"{size >> 20} MiB of compiled code are kept as {key}"


def compiled(cache: Path) -> Iterator[Path]:
    """The files to keep."""
    for name in FOLDERS:
        yield from (path for path in sorted((cache / name).rglob("*")) if path.is_file())


def keep(env: Mapping[str, str]) -> None:
    """Before a server starts: leaves a process that keeps what it compiles, once it answers."""
    if "LLMOPS_COMPILE_CACHE_KEY" not in env:
        return
    cache = cache_of(env)
    again = (cache / STARTED).exists()
    if again:
        # It has ended in this pod before, perhaps because of what was kept.
        say("this server has ended before, and compiles anew")
        wipe(cache)
    (cache / STARTED).touch()
    command = [sys.executable, "-S", "-m", "llmops_inference.compile_cache"]
    subprocess.Popen([*command, *(["--replace"] if again else [])], start_new_session=True)


def cache_of(env: Mapping[str, str]) -> Path:
    """The pod's own folder of caches."""
    return Path(env["XDG_CACHE_HOME"])


def wait_for_answer(port: int, is_alive: Callable[[], bool]) -> None:
    """Returns once a server answers HTTP, whatever it says: its model is loaded by then."""
    while is_alive():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=POLL_SECONDS)
        try:
            connection.request("GET", "/health")
            connection.getresponse()
            return
        except (OSError, http.client.HTTPException):
            time.sleep(POLL_SECONDS)
        finally:
            connection.close()
    raise NotKept("the server has ended before it answered")


def say(sentence: str) -> None:
    """Adds a line to the log of the server."""
    print(f"llmops: {sentence}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str], env: Mapping[str, str]) -> int:
    """Beside a server: waits until it answers, then keeps what it has compiled."""
    server = os.getppid()
    os.nice(19)
    folder, key = Path(env["LLMOPS_COMPILE_CACHE"]), env["LLMOPS_COMPILE_CACHE_KEY"]
    try:
        wait_for_answer(int(env.get("API_PORT", "8000")), lambda: os.getppid() == server)
        say(publish(folder, key, cache_of(env), replace="--replace" in arguments))
    except (NotKept, OSError) as reason:
        say(f"compiled code is not kept: {reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
