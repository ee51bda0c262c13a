"""Credentials of the repositories: from the environment into request headers, nowhere else."""

from __future__ import annotations

import base64
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from llmops_models.errors import GiveUp, Retry, redact

READ_SCOPE = "https://www.googleapis.com/auth/devstorage.read_only"
WRITE_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"


class Credentials(Protocol):
    """What a request says about who asks."""

    @property
    def remedy(self) -> str:
        """What to set where a server answers 401 or 403."""

    def headers(self) -> dict[str, str]:
        """Headers of the next request. Raises Retry or GiveUp where a token cannot be had."""

    def renew(self) -> bool:
        """Called after a 401: whether the next headers are newly issued."""


@dataclass(frozen=True)
class Fixed:
    """Credentials that stay the same; an empty `authorization` is an anonymous request."""

    authorization: str = field(default="", repr=False)
    remedy: str = "the server wants credentials, and this source has none"

    def headers(self) -> dict[str, str]:
        return {"Authorization": self.authorization} if self.authorization else {}

    def renew(self) -> bool:
        return False


ANONYMOUS = Fixed()


@dataclass(frozen=True)
class Artifactory:
    """A repository's base URL (no slash at its end) and who asks it."""

    url: str
    credentials: Fixed


def hub_credentials(env: Mapping[str, str]) -> Fixed:
    """HF_TOKEN where it is set, anonymous otherwise."""
    token = env.get("HF_TOKEN", "").strip()
    remedy = "set a token that may read this model: pulumi config set --secret HF_TOKEN …"
    return Fixed(f"Bearer {token}" if token else "", remedy)


def artifactory(env: Mapping[str, str]) -> Artifactory:
    """ARTIFACTORY_URL, with ARTIFACTORY_USERNAME and ARTIFACTORY_PASSWORD, a token alone, or none.

    Raises GiveUp where the URL is missing, holds credentials or is not http(s).
    """
    url = env.get("ARTIFACTORY_URL", "").strip().rstrip("/")
    if not url:
        raise GiveUp("ARTIFACTORY_URL is not set: pulumi config set --secret ARTIFACTORY_URL …")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise GiveUp(f"ARTIFACTORY_URL is not an http or https address: {redact(url)}")
    if parts.username or parts.password:
        raise GiveUp(
            "ARTIFACTORY_URL holds credentials: give them as ARTIFACTORY_USERNAME and "
            "ARTIFACTORY_PASSWORD"
        )
    user = env.get("ARTIFACTORY_USERNAME", "").strip()
    password = env.get("ARTIFACTORY_PASSWORD", "").strip()
    if user and not password:
        raise GiveUp(
            "ARTIFACTORY_USERNAME is set without ARTIFACTORY_PASSWORD: "
            "pulumi config set --secret ARTIFACTORY_PASSWORD …"
        )
    authorization = f"Bearer {password}" if password else ""
    if user:
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        authorization = f"Basic {pair}"
    remedy = (
        "set credentials that may use this path: pulumi config set --secret ARTIFACTORY_USERNAME … "
        "and ARTIFACTORY_PASSWORD … (a token: the password alone)"
    )
    return Artifactory(url, Fixed(authorization, remedy))


class Google:
    """Tokens for Cloud Storage, found as google-auth does: key file, else the metadata server."""

    def __init__(self, scope: str = READ_SCOPE) -> None:
        allow = "read" if scope == READ_SCOPE else "read and write"
        self.remedy = (
            f"let the service account {allow} the bucket (Workload Identity), or set a key that "
            f"may: pulumi config set --secret GCS_KEY …"
        )
        self._scope = scope
        self._found: Any = None
        self._lock = threading.Lock()
        self._given = threading.local()

    def headers(self) -> dict[str, str]:
        with self._lock:
            self._given.token = self._token()
        return {"Authorization": f"Bearer {self._given.token}"}

    def renew(self) -> bool:
        """Drops the token that this thread was given last, unless another has done so already."""
        with self._lock:
            given = getattr(self._given, "token", None)
            if given is None:
                return False
            if self._found.token == given:
                self._found.token = None
            return True

    def _token(self) -> str:
        from google.auth import exceptions

        try:
            if self._found is None:
                self._found = self._find()
            if not self._found.valid:
                self._refresh()
        except exceptions.DefaultCredentialsError as error:
            raise GiveUp(f"no Google credentials: {first_line(error)}; {self.remedy}") from error
        except exceptions.RefreshError as error:
            if error.retryable:
                raise Retry(f"no Google token for now: {first_line(error)}") from error
            raise GiveUp(f"Google gave no token: {first_line(error)}; {self.remedy}") from error
        except exceptions.TransportError as error:
            raise Retry(f"no Google token for now: {first_line(error)}") from error
        return str(self._found.token)

    def _find(self) -> Any:
        import google.auth

        from llmops_models.google_transport import GoogleTransport

        found, _ = google.auth.default(scopes=[self._scope], request=GoogleTransport())
        return found

    def _refresh(self) -> None:
        from llmops_models.google_transport import GoogleTransport

        self._found.refresh(GoogleTransport())


def gcs_credentials(*, anonymous: bool, scope: str = READ_SCOPE) -> Credentials:
    """Credentials for Cloud Storage; `anonymous` is for public buckets and test servers."""
    return ANONYMOUS if anonymous else Google(scope)


def first_line(error: BaseException) -> str:
    """The first line of an error's text: what follows can hold a whole response."""
    return str(error).split("\n", 1)[0][:200]
