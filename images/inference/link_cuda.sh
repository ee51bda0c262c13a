#!/bin/bash
# CUDA's wheels hold what runs; a linker also looks for names without a version and for a stand-in of
# the driver's library, which comes from the node. Does nothing without nvcc (CPU) or where the base
# image has a CUDA of its own.
set -euo pipefail
cuda=/opt/venv/lib/python3.11/site-packages/nvidia/cu13
[ "$(readlink -f /usr/local/cuda)" = "$cuda" ] || exit 0
ln -s libcudart.so.13 "$cuda/lib/libcudart.so"
ln -s lib "$cuda/lib64"
mkdir "$cuda/lib/stubs"
gcc -shared -Wl,-soname,libcuda.so.1 -o "$cuda/lib/stubs/libcuda.so" -x c /dev/null
