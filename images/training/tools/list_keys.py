"""Write the list of keys that a LLaMA-Factory training file may hold, with simple types.

The list is read from the dataclasses of the installed package, so it is right for exactly the
version that the training image installs. The settings check of the Pulumi program uses it to
refuse a misspelt key before anything is created.

usage: python list_keys.py FILE          write the list
       python list_keys.py --check FILE  exit 1 unless the file is what would be written
"""

from __future__ import annotations

import dataclasses
import json
import sys
import types
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

SIMPLE = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}


def describe(hint: Any) -> list[str]:
    """The simple types that a key takes: JSON names, or "any" where the type says no more."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return sorted({name for part in get_args(hint) for name in describe(part)})
    if origin is Literal:
        return sorted({name for value in get_args(hint) for name in describe(type(value))})
    if hint in (list, tuple) or origin in (list, tuple):
        return ["array"]
    if hint is dict or origin is dict:
        return ["object"]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return ["string"]
    return [SIMPLE.get(hint, "any")]


def collect_keys() -> dict[str, str]:
    """Every key of every dataclass that LLaMA-Factory's parser reads for `train`."""
    from llamafactory.hparams import parser

    keys: dict[str, str] = {}
    for arguments in parser._TRAIN_ARGS:
        hints = get_type_hints(arguments)
        for field in dataclasses.fields(arguments):
            if field.init:
                keys[field.name] = "|".join(describe(hints[field.name]))
    return dict(sorted(keys.items()))


def render() -> str:
    """The file's text."""
    listing = {
        "version": version("llamafactory"),
        "transformersVersion": version("transformers"),
        "keys": collect_keys(),
    }
    return json.dumps(listing, indent=2) + "\n"


def main(arguments: list[str]) -> int:
    """Writes the list, or with `--check` compares it."""
    target = Path(arguments[-1])
    text = render()
    if arguments[0] != "--check":
        target.write_text(text)
        return 0
    if target.read_text() == text:
        return 0
    print(f"{target} is not what the installed LLaMA-Factory says: write it anew", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
