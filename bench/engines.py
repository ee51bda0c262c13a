"""Measures what the model downloader could receive with: HTTP clients for Python, one against the
other.

    python bench/engines.py --source FOLDER --target FOLDER [--nginx nginx] [--gigabytes 1]

Each takes four files at once, one thread a file, hashes them and writes them in pieces of a MiB.
Server and folders are those of bench/downloads.py. Prints a table for docs/decisions/downloads.md.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import urlsplit

from downloads_source import MIB, SHARDS, Server, Source

Take = Callable[[bytes | memoryview], object]


def with_pycurl(url: str, take: Take) -> None:
    import pycurl

    buffer, filled = memoryview(bytearray(MIB)), 0

    def gather(data: bytes) -> None:
        nonlocal filled
        if filled + len(data) > MIB:
            take(buffer[:filled])
            filled = 0
        buffer[filled : filled + len(data)] = data
        filled += len(data)

    handle = pycurl.Curl()
    handle.setopt(pycurl.URL, url)
    handle.setopt(pycurl.NOSIGNAL, True)
    handle.setopt(pycurl.BUFFERSIZE, MIB)
    handle.setopt(pycurl.CAINFO, os.environ["SSL_CERT_FILE"])
    handle.setopt(pycurl.WRITEFUNCTION, gather)
    handle.perform()
    take(buffer[:filled])


def with_http_client(url: str, take: Take) -> None:
    import http.client

    parts = urlsplit(url)
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            parts.netloc, context=context
        )
    else:
        connection = http.client.HTTPConnection(parts.netloc)
    connection.request("GET", parts.path)
    answer, buffer = connection.getresponse(), memoryview(bytearray(MIB))
    while count := answer.readinto(buffer):
        take(buffer[:count])


def with_urllib3(url: str, take: Take) -> None:
    import urllib3

    answer = urllib3.PoolManager().request("GET", url, preload_content=False)
    give(answer.stream(MIB), take)


def with_requests(url: str, take: Take) -> None:
    import requests

    os.environ["REQUESTS_CA_BUNDLE"] = os.environ["SSL_CERT_FILE"]
    give(requests.get(url, stream=True, timeout=60).iter_content(MIB), take)


def with_httpx2(url: str, take: Take) -> None:
    import httpx2

    with httpx2.stream("GET", url, verify=ssl.create_default_context()) as answer:
        give(answer.iter_raw(MIB), take)


def give(pieces: Iterable[bytes], take: Take) -> None:
    for piece in pieces:
        take(piece)


ENGINES = {
    "pycurl": with_pycurl,
    "http.client": with_http_client,
    "urllib3": with_urllib3,
    "requests": with_requests,
    "httpx2": with_httpx2,
}


def receive(engine: str, url: str, target: Path) -> None:
    """All files at once."""

    def one(name: str) -> None:
        digest = hashlib.sha256()
        with (target / name).open("wb", buffering=0) as file:

            def take(piece: bytes | memoryview) -> None:
                digest.update(piece)
                file.write(piece)

            ENGINES[engine](f"{url}/{name}", take)
        (target / f"{name}.sha256").write_text(digest.hexdigest())

    names = [f"model-{shard}.safetensors" for shard in range(SHARDS)]
    threads = [threading.Thread(target=one, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def measure(engine: str, url: str, target: Path, source: Source, ca: Path) -> tuple[float, float]:
    """Seconds and CPU seconds of a process of its own; its digests are compared."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    since = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, __file__, "--engine", engine, "--url", url, "--target", str(target)],
        env=os.environ | {"SSL_CERT_FILE": str(ca), "NO_PROXY": "127.0.0.1"},
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - since
    for path in target.glob("*.sha256"):
        assert path.read_text() == source.sums[f"/raw/{path.stem}"], path
    if status != 0 or len(list(target.glob("*.sha256"))) != SHARDS:
        raise SystemExit(f"{engine} has failed")
    return seconds, usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path)
    parser.add_argument("--target", type=Path, required=True)
    parser.add_argument("--nginx", default="nginx")
    parser.add_argument("--gigabytes", type=float, default=1)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--engine", choices=ENGINES, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.engine:
        receive(options.engine, options.url, options.target)
        return
    size = int(options.gigabytes * 1e9) // (SHARDS * MIB) * SHARDS * MIB
    source = Source(options.source / "files", size)
    server = Server(options.nginx, source, options.source / "nginx")
    target = options.target / "volume"
    print("| engine | https, seconds | CPU s | http, seconds | CPU s |")
    print("| --- | --- | --- | --- | --- |")
    try:
        best: dict[tuple[str, str], tuple[float, float]] = {}
        for _ in range(options.runs):
            for scheme in ("https", "http"):
                for engine in ENGINES:
                    url = f"{server.url(scheme)}/raw"
                    run = measure(engine, url, target, source, server.certificate)
                    best[engine, scheme] = min(run, best.get((engine, scheme), run))
    finally:
        server.stop()
    for engine in ENGINES:
        cells = [f"{number:.2f}" for scheme in ("https", "http") for number in best[engine, scheme]]
        print(f"| {engine} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
