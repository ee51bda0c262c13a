"""Prints what W&B has kept of a run, as JSON: `read_wandb.py FOLDER`, in the training image.

Each `run-*.wandb` is a log in LevelDB's format behind seven bytes of its own; its entries are
messages that W&B's package defines. `wandb sync` sends the same ones to a server.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from wandb.proto.wandb_internal_pb2 import Record

HEADER = struct.Struct("<IHB")
BLOCK = 32 << 10
WHOLE, LAST = 1, 4


def entries(log: bytes) -> Iterator[bytes]:
    """The entries of a log, put together of their pieces; not one that was cut off at the end."""
    assert log.startswith(b":W&B")
    position, entry = HEADER.size, b""
    while position + HEADER.size <= len(log):
        room = BLOCK - position % BLOCK
        if room < HEADER.size:
            position += room
            continue
        _, length, kind = HEADER.unpack_from(log, position)
        position += HEADER.size
        entry += log[position : position + length]
        position += length
        if kind in (WHOLE, LAST) and position <= len(log):
            yield entry
            entry = b""


def read(file: Path) -> dict[str, object]:
    """A run: its project and name, and each step's loss."""
    found: dict[str, object] = {"folder": file.parent.name}
    losses = []
    for record in map(Record.FromString, entries(file.read_bytes())):
        if record.HasField("run"):
            found |= {"project": record.run.project, "name": record.run.display_name}
        items = record.history.item
        values = {item.key or "/".join(item.nested_key): item.value_json for item in items}
        if "train/loss" in values:
            step, loss = values["train/global_step"], values["train/loss"]
            losses.append({"step": json.loads(step), "loss": json.loads(loss)})
    return found | {"losses": losses}


logs = Path(sys.argv[1]).glob("wandb/offline-run-*/run-*.wandb")
print(json.dumps([read(log) for log in sorted(logs)]))
