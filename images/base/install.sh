#!/bin/bash
# Installs lock files into $VIRTUAL_ENV (/opt/venv) with uv: every wheel is checked against its hash,
# nothing is compiled and nothing is resolved anew. `install.sh LOCK [WHEEL_FOLDER]`
set -euo pipefail

if [ -n "${PACKAGE_INDEX:-}" ]; then export UV_DEFAULT_INDEX="$PACKAGE_INDEX"; fi
export UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never

venv=${VIRTUAL_ENV:-/opt/venv}
if [ ! -d "$venv" ]; then uv venv --quiet --python /usr/bin/python3.11 "$venv"; fi
if [ -n "${2:-}" ]; then
  # Built from hash-checked sources in the builder stage.
  uv pip install --python "$venv" --no-deps --no-index "$2"/*.whl
fi
uv pip install --python "$venv" --no-deps --require-hashes --only-binary :all: -r "$1"
