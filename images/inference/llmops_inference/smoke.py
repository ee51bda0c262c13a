"""Asks the server of this container for one token of every name that it serves.

usage: python -S -m llmops_inference.smoke [--chat] PORT NAME...

Exit code 0 once each has answered; otherwise 1, with the reason on stderr, where Kubernetes takes
the text of its event from. The startup probe of a pod runs it every few seconds until it succeeds,
so only the standard library is imported. The key comes from VLLM_API_KEY or API_KEY. A server that
listens and does not answer has its reason in the termination message too, so that it is known after
Kubernetes has ended it. MLflow is told of the training runs that are served now; see served.py.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmops_inference.served import tell

PROMPT = "Hello"
TIMEOUT_SECONDS = 25
EXCERPT = 300
TERMINATION_MESSAGE = Path("/dev/termination-log")
# Kubernetes ends the probe after 30 seconds, and would take that for no answer.
PROBE_SECONDS = 28
# Standard error of the server: what a probe prints that ends well is shown nowhere.
POD_LOG = "/proc/1/fd/2"


class NoAnswer(Exception):
    """The server did not answer the prompt; the text says why."""


class NotListening(NoAnswer):
    """The server is still loading, and its own log says more than we could."""


def main(arguments: Sequence[str], env: Mapping[str, str]) -> int:
    """Asks every name, and says why at the first that does not answer."""
    end = time.monotonic() + PROBE_SECONDS
    chat = arguments[:1] == ["--chat"]
    port, *names = arguments[1:] if chat else arguments
    key = env.get("VLLM_API_KEY") or env.get("API_KEY")
    try:
        for name in names:
            ask(int(port), name, chat=chat, key=key)
    except NoAnswer as reason:
        leave_message("" if isinstance(reason, NotListening) else f"llmops: {reason}\n")
        print(f"llmops: {reason}", file=sys.stderr)
        return 1
    leave_message("")
    for fault in tell(env, end):
        log(env, f"llmops: {fault}")
    return 0


def log(env: Mapping[str, str], line: str) -> None:
    """Adds a line to the log of the pod."""
    try:
        with open(env.get("LLMOPS_POD_LOG", POD_LOG), "a") as pod_log:
            print(line, file=pod_log)
    except OSError as error:
        print(f"{line} ({error})", file=sys.stderr)


def leave_message(text: str) -> None:
    """What Kubernetes shows once the container has ended; without a text, the end of its log."""
    if TERMINATION_MESSAGE.exists():
        TERMINATION_MESSAGE.write_text(text)


def ask(port: int, model: str, *, chat: bool, key: str | None) -> None:
    """Has a model write one token; raises NoAnswer with the reason where it does not."""
    path = "/v1/chat/completions" if chat else "/v1/completions"
    prompt = {"messages": [{"role": "user", "content": PROMPT}]} if chat else {"prompt": PROMPT}
    body = json.dumps({"model": model, **prompt, "max_tokens": 1, "temperature": 0})
    headers = {"Content-Type": "application/json"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        answer = response.read().decode(errors="replace")
    except ConnectionRefusedError:
        raise NotListening("the server does not listen yet") from None
    except TimeoutError:
        raise NoAnswer(f"{model} wrote nothing within {TIMEOUT_SECONDS} seconds") from None
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswer(f"{model}: the server hung up ({error!r})") from None
    finally:
        connection.close()
    if response.status != 200:
        raise NoAnswer(f"{model} answered {response.status}: {excerpt(answer)}")
    if not has_choice(answer):
        raise NoAnswer(f"{model} answered without a choice: {excerpt(answer)}")


def has_choice(answer: str) -> bool:
    """Whether an answer holds at least one completion."""
    try:
        content: Any = json.loads(answer)
    except ValueError:
        return False
    choices = content.get("choices") if isinstance(content, dict) else None
    return isinstance(choices, list) and len(choices) > 0


def excerpt(text: str) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= EXCERPT else f"{line[:EXCERPT]}..."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
