"""Artifactory, or any HTTPS server: an archive, or a folder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

from llmops_models.auth import artifactory
from llmops_models.errors import GiveUp, redact
from llmops_models.fetch.digest import SHA256
from llmops_models.fetch.kinds import archive_kind
from llmops_models.fetch.remote import Listing, RemoteFile, Source
from llmops_models.fetch.transfer import Transfer
from llmops_models.fetch.tree import clean_parts

SUMS = "SHA256SUMS"
SUM_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


def artifactory_source(path: str, sha256: str, env: Mapping[str, str]) -> Source:
    """`path` below ARTIFACTORY_URL; `sha256` is of an archive, and pins it."""
    repository = artifactory(env)
    path = "/".join(clean_parts(path.strip("/")))
    if not path:
        raise GiveUp("the path in Artifactory is empty: give REPOSITORY/FOLDER or an archive there")
    packed = archive_kind(path) is not None
    sha256 = sha256.lower()
    if sha256 and not packed:
        raise GiveUp(f"a sha256 is of an archive (.zip .tar .tar.gz .tgz .tar.zst), not of {path}")
    if sha256 and not SHA256.fullmatch(sha256):
        raise GiveUp(f"{sha256!r} is not a sha256: that is 64 hexadecimal digits")

    def list_files(transfer: Transfer) -> Listing:
        if not packed:
            return _list_folder(transfer, repository.url, path)
        name = path.rsplit("/", 1)[-1]
        file = ask_file(transfer, f"{repository.url}/{quote(path)}", name)
        reported = file.checks.get("sha256", "")
        if sha256 and reported and reported != sha256:
            raise GiveUp(
                f"{redact(file.url)}: the repository reports sha256 {reported}, and {sha256} "
                f"is configured: correct the one that is wrong"
            )
        checks = {"sha256": sha256} if sha256 else file.checks
        return Listing(
            archive=RemoteFile(name, file.url, file.size, checks, file.etag, file.ranges)
        )

    description = {"kind": "artifactory", "url": redact(repository.url), "path": path}
    if sha256:
        description["sha256"] = sha256
    return Source(description, repository.credentials, bool(sha256), list_files)


def ask_file(transfer: Transfer, url: str, path: str, sha256: str = "") -> RemoteFile:
    """Asks for a file's size and checksums."""
    headers = transfer.ask("HEAD", url).headers
    if "content-length" not in headers:
        raise GiveUp(f"{redact(url)}: the server does not tell the file's size")
    checks = {"sha256": sha256} if sha256 else header_checks(headers)
    etag = headers.get("etag", headers.get("last-modified", ""))
    ranges = headers.get("accept-ranges", "").lower() == "bytes"
    return RemoteFile(path, url, int(headers["content-length"]), checks, etag, ranges)


def header_checks(headers: Mapping[str, str]) -> dict[str, str]:
    """The checksums that Artifactory's headers of a file tell, in small letters."""
    return {
        name: value.lower()
        for name in ("sha256", "sha1", "md5")
        if (value := headers.get(f"x-checksum-{name}", ""))
    }


def _list_folder(transfer: Transfer, base: str, path: str) -> Listing:
    root = f"{base}/{quote(path)}"
    found = dict(_walk(transfer, base, path, ""))
    if not found:
        sums = transfer.ask("GET", f"{root}/{SUMS}", allowed=(404,))
        found = dict(_read_sums(sums.body.decode(errors="replace"))) if sums.ok else {}
    if not found:
        raise GiveUp(
            f"{redact(root)}: there is no such folder in Artifactory, and no {SUMS} file in it "
            f"as on other servers; an archive's name ends in .zip, .tar, .tar.gz, .tgz or .tar.zst"
        )
    with ThreadPoolExecutor(transfer.tuning.connections) as pool:
        tasks = [
            pool.submit(ask_file, transfer, f"{root}/{quote(name)}", name, sha256)
            for name, sha256 in found.items()
        ]
        return Listing(tuple(task.result() for task in tasks))


def _walk(transfer: Transfer, base: str, path: str, below: str) -> Iterator[tuple[str, str]]:
    """Paths of all files of a folder, by the folder information that every edition has."""
    answer = transfer.json(f"{base}/api/storage/{quote(path + below)}", allowed=(404,))
    for child in (answer or {}).get("children", []):
        name = below + str(child["uri"])
        if child["folder"]:
            yield from _walk(transfer, base, path, name)
        else:
            yield "/".join(clean_parts(name.lstrip("/"))), ""


def _read_sums(text: str) -> Iterator[tuple[str, str]]:
    """Paths and digests of a file as sha256sum writes it."""
    for line in text.splitlines():
        if match := SUM_LINE.fullmatch(line.strip()):
            yield "/".join(clean_parts(match[2])), match[1]
