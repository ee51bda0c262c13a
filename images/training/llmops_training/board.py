"""`python -m llmops_training.board`: LLaMA Board behind a login.

LLaMA-Factory starts its web interface without one and has no setting for it; Gradio, which the
interface is made with, can ask for a user name and a password.
"""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping

USER = "admin"
VARIABLE = "BOARD_PASSWORD"
SHORTEST = 12


def take_password(env: MutableMapping[str, str]) -> str:
    """The password, taken out of the environment that trainings started by users would inherit."""
    password = env.pop(VARIABLE, "")
    if len(password) < SHORTEST:
        sys.exit(f"llmops: {VARIABLE} has {len(password)} characters; use {SHORTEST} or more")
    return password


def main() -> None:
    """Serves until the process is ended."""
    password = take_password(os.environ)
    # Takes a minute, so a wrong password is told before.
    from llamafactory.webui.interface import create_ui

    create_ui().queue().launch(auth=(USER, password), share=False, inbrowser=False)


if __name__ == "__main__":
    main()
