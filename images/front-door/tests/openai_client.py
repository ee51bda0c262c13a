"""What OpenAI's own client makes of the front door: `openai_client.py URL KEY MODEL OTHER MIB`.

Asks well and badly and prints, as JSON, what each call gave: the answer, or the exception's class
with its status, code and message. MODEL and OTHER are served; a body of MIB MiB is too large. What
is too long a prompt is for the server of MODEL to say.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import openai


def told(call: Callable[[], Any]) -> Any:
    """The answer of a call, or what its exception says."""
    try:
        return call()
    except openai.APIStatusError as error:
        return {
            "raised": type(error).__name__,
            "status": error.status_code,
            "code": error.code,
            "message": error.message,
        }


def main(url: str, key: str, model: str, other: str, mib: str) -> None:
    """Makes the calls."""
    client = openai.OpenAI(base_url=url, api_key=key, max_retries=0)
    stranger = client.with_options(api_key="wrong")

    def ask(name: str, text: str = "hello", of: openai.OpenAI = client) -> str | None:
        answer = of.chat.completions.create(
            model=name, messages=[{"role": "user", "content": text}], max_tokens=8
        )
        return answer.choices[0].message.content

    calls: dict[str, Callable[[], Any]] = {
        "list": lambda: [each.id for each in client.models.list()],
        "retrieve": lambda: client.models.retrieve(other).id,
        "model": lambda: ask(model),
        "other": lambda: ask(other),
        "unknown": lambda: ask("nobody"),
        "retrieve unknown": lambda: client.models.retrieve("nobody").id,
        "wrong key": lambda: ask(model, of=stranger),
        "list with wrong key": lambda: [each.id for each in stranger.models.list()],
        "too long": lambda: ask(model, "word " * 20_000),
        "too large": lambda: ask(model, "x" * (int(mib) * 1024 * 1024)),
    }
    json.dump({name: told(call) for name, call in calls.items()}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
