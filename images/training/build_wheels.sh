#!/bin/bash
# Builds the source-only packages to wheels: `build_wheels.sh ACCELERATOR FLASH_ATTN OUTPUT`.
# The build sees the shared environment's torch and the pinned build tools, nothing else.
set -euo pipefail
accelerator=$1 flash_attn=$2 output=$3
if [ -z "${PIP_INDEX_URL:-}" ]; then unset PIP_INDEX_URL; fi

python3 -m venv /build/venv
/build/venv/bin/pip install --quiet --require-hashes -r /build/build.lock
export PYTHONPATH=/opt/venv/lib/python3.11/site-packages
# deepspeed: its GPU kernels are compiled at first use; the wheel itself holds none.
export DS_BUILD_OPS=0

mkdir -p "$output"
wheel() {
  /build/venv/bin/pip wheel --no-deps --no-build-isolation --require-hashes \
    --wheel-dir "$output" -r "$1"
}
wheel "/build/wheels-$accelerator.lock"
if [ "$flash_attn" = 1 ]; then
  if [ "$accelerator" != cuda ]; then
    echo "INSTALL_FLASH_ATTN=1 needs ACCELERATOR=cuda" >&2
    exit 1
  fi
  # Takes hours and about 4 GB of memory a job; wants nvcc on PATH (BASE_IMAGE with CUDA's).
  MAX_JOBS=${MAX_JOBS:-2} wheel /build/flash-attn.lock
fi
