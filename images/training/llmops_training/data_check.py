"""Looks at the data sets of a run before anything is loaded: wrong data costs no GPU time."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llmops_training import endings
from llmops_training.run import TrainingRun

INFO = "dataset_info.json"
TEXT_TYPES = ("json", "jsonl", "csv", "txt")
BINARY_TYPES = ("parquet", "arrow")
DEFAULT_COLUMNS = ("instruction", "input", "output")
# Wrong columns show in the first rows; a data set may have millions.
ROWS = 1000
# A JSON list has to be read whole to be looked at.
LARGEST_LIST = 256 * 1024**2


class WrongData(endings.Ended):
    """The data set cannot be trained on; another try will not change that."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f'training data "{name}": {problem}', endings.DATA)


def check(run: TrainingRun) -> None:
    """Raises WrongData for the first data set that LLaMA-Factory could not read."""
    folder = run.config.get("dataset_dir")
    names = [*split(run.config.get("dataset")), *split(run.config.get("eval_dataset"))]
    if not isinstance(folder, str) or not names:
        return
    sets = read_info(Path(folder))
    for name in names:
        if name not in sets:
            known = ", ".join(sorted(sets))
            raise WrongData(name, f"{folder}/{INFO} has no such data set; it has {known}")
        check_set(name, sets[name], Path(folder))


def split(names: Any) -> list[str]:
    """The names in a setting of LLaMA-Factory's: a list, or a text with commas."""
    given = names if isinstance(names, list) else str(names or "").split(",")
    return [name for name in (str(each).strip() for each in given) if name]


def read_info(folder: Path) -> dict[str, Any]:
    """What dataset_info.json says."""
    try:
        sets = json.loads((folder / INFO).read_text())
    except FileNotFoundError as error:
        found = ", ".join(sorted(path.name for path in folder.glob("*"))[:20]) or "nothing"
        raise WrongData(INFO, f"it is not in {folder}, which holds {found}") from error
    except (OSError, ValueError) as error:
        raise WrongData(INFO, f"{folder}/{INFO} cannot be read: {error}") from error
    if not isinstance(sets, dict):
        raise WrongData(INFO, f"{folder}/{INFO} is no map of data sets")
    return sets


def check_set(name: str, entry: Any, folder: Path) -> None:
    """Raises WrongData where a data set is missing, empty, unreadable, or lacks columns."""
    file_name = entry.get("file_name") if isinstance(entry, dict) else None
    if not isinstance(file_name, str):
        raise WrongData(name, f"{INFO} gives it no file_name, and pods download no data themselves")
    path = folder / file_name
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    types = {file.suffix[1:] for file in files}
    if not path.exists() or not files:
        raise WrongData(name, f"{path} is not there, or empty")
    if len(types) > 1 or not types <= {*TEXT_TYPES, *BINARY_TYPES}:
        allowed = ", ".join([*TEXT_TYPES, *BINARY_TYPES])
        raise WrongData(name, f"{path} must be of one format among {allowed}")
    if types <= set(BINARY_TYPES):
        if not any(file.stat().st_size for file in files):
            raise WrongData(name, f"{path} is empty")
        return
    columns = find_columns(name, files[0])
    missing = [column for column in needed_columns(entry) if columns and column not in columns]
    if missing:
        raise WrongData(
            name,
            f"no row of {files[0]} has {', '.join(missing)}; the columns are "
            f"{', '.join(sorted(columns))}: name them in {INFO}",
        )


def needed_columns(entry: Mapping[str, Any]) -> list[str]:
    """The columns that LLaMA-Factory reads of every row."""
    if isinstance(entry.get("columns"), dict):
        return [str(column) for column in entry["columns"].values()]
    if entry.get("formatting", "alpaca") != "alpaca":
        return ["conversations"]
    return list(DEFAULT_COLUMNS[:2] if entry.get("ranking") else DEFAULT_COLUMNS)


def find_columns(name: str, file: Path) -> set[str]:
    """The columns of the first rows; none where a list is too long to look at."""
    try:
        columns: set[str] = set()
        count = 0
        for row in itertools.islice(read_rows(file), ROWS):
            if not isinstance(row, dict):
                raise WrongData(name, f"row {count + 1} of {file} is no object")
            columns |= row.keys()
            count += 1
    except (OSError, ValueError, csv.Error) as error:
        raise WrongData(name, f"{file} cannot be read: {error}") from error
    if count == 0 and not is_long_list(file):
        raise WrongData(name, f"{file} has no rows")
    return columns


def read_rows(file: Path) -> Iterator[Any]:
    """The rows of a text file."""
    with file.open(newline="") as content:
        if file.suffix == ".txt":
            yield from ({"text": line} for line in content if line.strip())
        elif file.suffix == ".csv":
            yield from csv.DictReader(content)
        elif starts_list(file):
            yield from [] if is_long_list(file) else json.load(content)
        else:
            yield from (json.loads(line) for line in content if line.strip())


def starts_list(file: Path) -> bool:
    """Whether a JSON file is one list, and not one object a line."""
    with file.open() as content:
        return content.read(4096).lstrip().startswith("[")


def is_long_list(file: Path) -> bool:
    """Whether a file is a list that is too long to be read here."""
    is_json = file.suffix in (".json", ".jsonl")
    return is_json and file.stat().st_size > LARGEST_LIST and starts_list(file)
