"""Write the list of options that the two servers of the inference image know, with simple types.

The list is read from the source of the installed packages, without importing them: importing vLLM
takes a minute and asks for its hardware. So it is right for exactly the versions that the image
installs. The settings check of the Pulumi program uses it to refuse a misspelt option before
anything is created.

usage: python list_options.py FOLDER... FILE          write the list
       python list_options.py --check FOLDER... FILE  exit 1 unless FILE is what would be written

FOLDER is a folder with installed packages, such as /opt/venv/lib/python3.11/site-packages.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from email import message_from_string
from pathlib import Path

# Numbers that vLLM also takes as "32k" or "auto".
READABLE_NUMBERS = (
    "max-model-len",
    "max-num-batched-tokens",
    "kv-cache-memory-bytes",
    "safetensors-prefetch-block-size",
)

SIMPLE = {"bool": "boolean", "int": "integer", "float": "number", "str": "string"}


class NotFound(Exception):
    """A package or a part of it is not where this version of the tool looks for it."""


def classes(folder: Path, pattern: str) -> dict[str, ast.ClassDef]:
    """Every class of the modules that a pattern names, by name."""
    found = {
        node.name: node
        for file in sorted(folder.glob(pattern))
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ClassDef)
    }
    if not found:
        raise NotFound(f"no class in {folder}/{pattern}")
    return found


def fields(name: str, known: dict[str, ast.ClassDef]) -> dict[str, str]:
    """The fields of a dataclass and its bases that its constructor takes, with simple types."""
    definition = known[name]
    result: dict[str, str] = {}
    for base in definition.bases:
        if isinstance(base, ast.Name) and base.id in known:
            result |= fields(base.id, known)
    for node in definition.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            text = ast.unparse(node.annotation)
            if not text.startswith("ClassVar") and not is_internal(node.value):
                result[node.target.id] = simple_type(node.annotation)
    return result


def is_internal(value: ast.expr | None) -> bool:
    """Whether a field is `field(init=False)`: computed, never given."""
    return isinstance(value, ast.Call) and any(
        word.arg == "init" and isinstance(word.value, ast.Constant) and word.value.value is False
        for word in value.keywords
    )


def simple_type(annotation: ast.expr) -> str:
    """boolean, integer, number or string where a type is one of them or nothing; otherwise any."""
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        parts = {simple_type(part) for part in (annotation.left, annotation.right)} - {"null"}
        return parts.pop() if len(parts) == 1 else "any"
    if isinstance(annotation, ast.Constant) and annotation.value is None:
        return "null"
    return SIMPLE.get(ast.unparse(annotation), "any")


def option(field: str) -> str:
    """How a field is written as an option of a command."""
    return field.replace("_", "-")


def calls(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    """The calls of a method of this name, whatever it is a method of."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == name
        ):
            yield node


def sources(tree: ast.AST) -> dict[str, str]:
    """The classes behind variables such as `model_kwargs = get_kwargs(ModelConfig)`."""
    return {
        node.targets[0].id: ast.unparse(node.value.args[0])
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func) == "get_kwargs"
    }


def argument_type(call: ast.Call, known: dict[str, ast.ClassDef], behind: dict[str, str]) -> str:
    """The simple type of the option that a call of add_argument adds."""
    for word in call.keywords:
        text = ast.unparse(word.value)
        if word.arg == "action" and text == "'store_true'":
            return "switch"
        if word.arg == "action" and text.endswith("BooleanOptionalAction"):
            return "boolean"
        if word.arg == "type":
            return SIMPLE.get(text, "any")
        if word.arg is None:
            for node in ast.walk(word.value):
                if not isinstance(node, ast.Subscript):
                    continue
                owner = behind.get(ast.unparse(node.value), "")
                if owner in known:
                    return fields(owner, known).get(ast.literal_eval(node.slice), "any")
    return "any"


def vllm_options(package: Path) -> dict[str, str]:
    """The long options of `vllm serve`."""
    known = classes(package, "config/*.py") | classes(package, "entrypoints/openai/cli_args.py")
    result = {option(field): kind for field, kind in fields("FrontendArgs", known).items()}
    for module in ("engine/arg_utils.py", "entrypoints/openai/cli_args.py"):
        tree = ast.parse((package / module).read_text())
        behind = sources(tree)
        for call in calls(tree, "add_argument"):
            for flag in call.args:
                if isinstance(flag, ast.Constant) and str(flag.value).startswith("--"):
                    name = str(flag.value).removeprefix("--")
                    result[name] = argument_type(call, known, behind)
    return result | dict.fromkeys(READABLE_NUMBERS, "any")


def llamafactory_keys(package: Path) -> dict[str, str]:
    """The keys of a file for `llamafactory-cli api`."""
    known = classes(package, "hparams/*_args.py")
    names = ("ModelArguments", "DataArguments", "FinetuningArguments", "GeneratingArguments")
    return {key: kind for name in names for key, kind in fields(name, known).items()}


def version(folders: Iterable[Path], package: str) -> tuple[str, Path]:
    """The release of a package and the folder that it is in."""
    for folder in folders:
        for metadata in sorted(folder.glob(f"{package}*-*.dist-info/METADATA")):
            number = message_from_string(metadata.read_text())["Version"]
            if (folder / package).is_dir():
                return number.split("+")[0], folder / package
    raise NotFound(f"no {package} in these folders")


def render(folders: Sequence[Path]) -> str:
    """The file's text."""
    listing = {}
    for package, options in (("vllm", vllm_options), ("llamafactory", llamafactory_keys)):
        number, folder = version(folders, package)
        listing[package] = {"version": number, "options": dict(sorted(options(folder).items()))}
    return json.dumps(listing, indent=2) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Writes the list, or with `--check` compares it."""
    check = arguments[0] == "--check"
    *folders, target = map(Path, arguments[1:] if check else arguments)
    text = render(folders)
    if not check:
        target.write_text(text)
        return 0
    if target.read_text() == text:
        return 0
    print(f"{target} is not what the installed servers say: write it anew", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
