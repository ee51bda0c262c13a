"""Artifactory: a file whose content it has already is deployed by its checksum alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

from llmops_models.errors import GiveUp, Retry, redact
from llmops_models.fetch.sources.artifactory import header_checks
from llmops_models.fetch.transfer import Transfer
from llmops_models.fetch.tree import clean_parts
from llmops_models.http import Answer
from llmops_models.publish.manifest import FileBody, LocalFile


class ArtifactoryTarget:
    """What lies below `path` (REPOSITORY/FOLDER) of an Artifactory at `base`."""

    def __init__(self, transfer: Transfer, base: str, path: str) -> None:
        folder = "/".join(clean_parts(path.strip("/")))
        if not folder:
            raise GiveUp("the path in Artifactory is empty: give REPOSITORY/FOLDER")
        self._transfer = transfer
        self.uri = f"{base}/{quote(folder)}"

    def missing(self, folder: str, files: Iterable[LocalFile]) -> list[LocalFile]:
        wanted = list(files)
        with ThreadPoolExecutor(self._transfer.tuning.connections) as pool:
            there = list(pool.map(lambda file: self._has(self._url(folder, file), file), wanted))
        return [file for file, has in zip(wanted, there, strict=True) if not has]

    def send(self, folder: str, file: LocalFile) -> bool:
        url = self._url(folder, file)
        if self._deploy(url, file):
            return False
        self._verify(url, self._upload(url, file), file)
        return True

    def read_text(self, path: str) -> str | None:
        answer = self._transfer.ask("GET", f"{self.uri}/{quote(path)}", allowed=(404,))
        return answer.body.decode(errors="replace").strip() if answer.ok else None

    def write_text(self, path: str, text: str) -> None:
        headers = {"Content-Type": "text/plain"}
        self._transfer.ask("PUT", f"{self.uri}/{quote(path)}", (), headers, text.encode())

    def _url(self, folder: str, file: LocalFile) -> str:
        return f"{self.uri}/{quote(f'{folder}/{file.path}')}"

    def _has(self, url: str, file: LocalFile) -> bool:
        answer = self._transfer.ask("HEAD", url, allowed=(404,))
        return answer.ok and same(checksums(header_checks(answer.headers)), file)

    def _deploy(self, url: str, file: LocalFile) -> bool:
        """Whether the repository had the content, and has it here now.

        404 says that it wants the bytes. A server that does not know of checksum deploys stores an
        empty file: then the checksums differ, and the bytes are sent.
        """
        headers = checksum_headers(file) | {"X-Checksum-Deploy": "true"}
        answer = self._transfer.ask("PUT", url, (404,), headers, b"")
        return answer.ok and same(self._reported(url, answer), file)

    def _upload(self, url: str, file: LocalFile) -> Answer:
        """Sends all bytes; after a cut, all of them again."""
        patience = self._transfer.patience()
        while True:
            try:
                with patience.paused(), FileBody(file, 0, self._transfer.progress) as body:
                    return self._transfer.send("PUT", url, checksum_headers(file), body=body)
            except Retry as error:
                patience.wait(error)

    def _verify(self, url: str, answer: Answer, file: LocalFile) -> None:
        """Compares the checksums that the server reports of what it has stored."""
        reported = self._reported(url, answer)
        if not reported:
            raise GiveUp(
                f"{redact(url)}: the server reports no checksum of what it has stored, so that the "
                f"upload cannot be verified: publish to an Artifactory repository"
            )
        if not same(reported, file):
            raise Retry(
                f"{redact(url)}: the server reports {reported}, and the file has sha256 "
                f"{file.sha256}: it is uploaded again at the next start"
            )

    def _reported(self, url: str, answer: Answer) -> dict[str, str]:
        """Checksums in the answer of a deploy, or those that a HEAD request tells."""
        try:
            stored: Any = json.loads(answer.body)
        except ValueError:
            stored = None
        told = stored.get("checksums") if isinstance(stored, dict) else None
        if isinstance(told, dict) and (found := checksums(told)):
            return found
        return checksums(header_checks(self._transfer.ask("HEAD", url).headers))


def checksum_headers(file: LocalFile) -> dict[str, str]:
    """What tells Artifactory of a file's content, so that it refuses any other."""
    return {
        "X-Checksum-Sha256": file.sha256,
        "X-Checksum-Sha1": file.sha1,
        "Content-Type": "application/octet-stream",
    }


def checksums(told: Mapping[str, Any]) -> dict[str, str]:
    """The checksums that are compared: sha256, and sha1 for editions that know no other."""
    return {name: str(told[name]).lower() for name in ("sha256", "sha1") if told.get(name)}


def same(reported: Mapping[str, str], file: LocalFile) -> bool:
    """Whether checksums are reported, and are the file's."""
    own = {"sha256": file.sha256, "sha1": file.sha1}
    return bool(reported) and all(own[name] == value for name, value in reported.items())
