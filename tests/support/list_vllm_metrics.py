"""Write the names and kinds of the metrics that a vLLM wheel exports, read from its source.

usage: python3 list_vllm_metrics.py WHEEL > vllm-metrics.json
"""

from __future__ import annotations

import ast
import json
import sys
import zipfile

KINDS = {"Gauge": "gauge", "Counter": "counter", "Histogram": "histogram"}


def kind_of(function: ast.expr) -> str | None:
    """The kind of metric that a call makes: `Gauge(…)`, `self._gauge_cls(…)` and the like."""
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    for word, kind in KINDS.items():
        if name == word or name == f"_{kind}_cls":
            return kind
    return None


def metrics_of(source: str) -> dict[str, str]:
    """Metrics by name; counters end in `_total`, as prometheus_client writes them."""
    found: dict[str, str] = {}
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        kind = kind_of(node.func)
        for word in node.keywords:
            if kind is None or word.arg != "name" or not isinstance(word.value, ast.Constant):
                continue
            name = word.value.value
            if name.startswith("vllm:"):
                suffix = "_total" if kind == "counter" and not name.endswith("_total") else ""
                found[name + suffix] = kind
    return found


def main(path: str) -> None:
    """Prints the list of a wheel."""
    metrics: dict[str, str] = {}
    with zipfile.ZipFile(path) as wheel:
        for name in wheel.namelist():
            if name.startswith("vllm/") and name.endswith(".py"):
                metrics |= metrics_of(wheel.read(name).decode())
    version = path.rsplit("/", 1)[-1].split("-")[1]
    print(json.dumps({"version": version, "metrics": dict(sorted(metrics.items()))}, indent=2))


if __name__ == "__main__":
    main(sys.argv[1])
