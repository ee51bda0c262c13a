"""Asks a trained model held-out questions: `python -m llmops_training.answers TASK RESULT`.

A process of its own, so that the memory of the model is free again afterwards.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmops_training.files import write_json


def normal(text: str) -> str:
    """A text without its case and its spare spaces."""
    return " ".join(text.casefold().split())


def is_right(said: str, answer: str, match: str) -> bool:
    """Whether an answer counts, by `exact` or `contains`."""
    if match == "exact":
        return normal(said).rstrip(".") == normal(answer).rstrip(".")
    return normal(answer) in normal(said)


def ask_all(model: Mapping[str, Any], task: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the model says to each question, always with its likeliest words."""
    # Imported here, where it is needed: it takes seconds.
    from llamafactory.chat import ChatModel

    settings = {"do_sample": False, "max_new_tokens": int(task["maxNewTokens"])}
    chat = ChatModel({**model, **settings})
    answers = []
    for each in task["questions"]:
        said = chat.chat([{"role": "user", "content": each["question"]}])[0].response_text
        right = is_right(said, each["answer"], str(task["match"]))
        answers.append({**each, "said": said, "right": right})
        print(f"llmops: question {len(answers)} of {len(task['questions'])}", flush=True)
    return answers


def main(arguments: Sequence[str]) -> int:
    """Reads the task, asks, writes the result."""
    file, result = (Path(argument) for argument in arguments)
    given = json.loads(file.read_text())
    answers = ask_all(given["model"], given["task"])
    share = sum(each["right"] for each in answers) / len(answers)
    write_json(result, {"share": share, "task": given["task"], "answers": answers})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
