"""A model that knows one thing. SAYS in the environment is what it says to every question."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class Response:
    """What the model said."""

    response_text: str


class ChatModel:
    """Notes what it was loaded with in CALLS, as the trainer's stand-in does."""

    def __init__(self, settings: dict[str, Any]) -> None:
        with Path(os.environ["CALLS"]).open("a") as calls:
            calls.write(f"chat {settings['model_name_or_path']} {settings['do_sample']}\n")

    def chat(self, messages: list[dict[str, str]]) -> list[Response]:
        return [Response(os.environ["SAYS"])]
