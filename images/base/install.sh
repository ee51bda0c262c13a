#!/bin/bash
# Installs lock files into $VIRTUAL_ENV (/opt/venv) with uv: every wheel is checked against its hash,
# nothing is compiled and nothing is resolved anew. `install.sh LOCK [WHEEL_FOLDER]`
set -euo pipefail

if [ -n "${PACKAGE_INDEX:-}" ]; then export UV_DEFAULT_INDEX="$PACKAGE_INDEX"; fi
export UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
# The build's cache mount, wherever the image's own caches are: else every wheel is in the layer twice.
export UV_CACHE_DIR=/root/.cache/uv
# A pod cannot write to its image: without bytecode each process would compile all that it imports.
export UV_COMPILE_BYTECODE=1 PYC_INVALIDATION_MODE=UNCHECKED_HASH

venv=${VIRTUAL_ENV:-/opt/venv}
if [ ! -d "$venv" ]; then uv venv --quiet --python /usr/bin/python3.11 "$venv"; fi
if [ -n "${2:-}" ]; then
  # Built from hash-checked sources in the builder stage.
  uv pip install --python "$venv" --no-deps --no-index "$2"/*.whl
fi
uv pip install --python "$venv" --no-deps --require-hashes --only-binary :all: -r "$1"
