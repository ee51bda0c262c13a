"""Lets google-auth send its requests with this package's HTTP client: proxies, CA, time limits."""

from __future__ import annotations

from collections.abc import Mapping

from google.auth import exceptions, transport

from llmops_models.errors import Failure
from llmops_models.http import Http


class GoogleResponse(transport.Response):
    """What google-auth reads of an answer."""

    def __init__(self, status: int, headers: Mapping[str, str], data: bytes) -> None:
        self._status, self._headers, self._data = status, headers, data

    @property
    def status(self) -> int:
        return self._status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._headers

    @property
    def data(self) -> bytes:
        return self._data


class GoogleTransport(transport.Request):
    """One request each call; raises google-auth's TransportError where no answer came."""

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_others: object,
    ) -> GoogleResponse:
        content = body.encode() if isinstance(body, str) else body
        try:
            answer = Http(total_seconds=timeout or 30).call(
                method, url, headers=headers or {}, body=content
            )
        except Failure as error:
            raise exceptions.TransportError(str(error)) from error  # type: ignore[no-untyped-call]
        return GoogleResponse(answer.status, answer.headers, answer.body)
