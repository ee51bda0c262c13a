#!/bin/bash
# Writes every lock file of the images anew from the .in files: `bash images/lock.sh [uv]`.
# Training and inference are resolved together first, so that what they share has one version.
set -euo pipefail
cd "$(dirname "$0")"
uv=${1:-uv}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

compile() {
  "$uv" pip compile --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_36 \
    --no-header --no-annotate --no-emit-index-url "$@"
}
lock() { compile --generate-hashes "$@"; }

for accelerator in cpu cuda; do
  overrides=()
  if [ "$accelerator" = cpu ]; then overrides=(--override base/cpu-overrides.txt); fi
  all="$scratch/$accelerator.txt"
  compile "${overrides[@]}" "base/$accelerator.in" "training/$accelerator.in" \
    "inference/$accelerator.in" -o "$all"
  lock "${overrides[@]}" -c "$all" "base/$accelerator.in" -o "base/$accelerator.lock"
  for image in training inference; do
    lock "${overrides[@]}" -c "$all" "base/$accelerator.in" "$image/$accelerator.in" \
      -o "$image/$accelerator.lock"
  done
  lock --no-deps "training/wheels-$accelerator.in" -o "training/wheels-$accelerator.lock"
done
lock --no-deps training/flash-attn.in -o training/flash-attn.lock
lock base/uv.in -o base/uv.lock
lock base/sbom.in -o base/sbom.lock
lock base/build.in -o base/build.lock
lock mlflow/mlflow.in -o mlflow/mlflow.lock
lock front-door/front-door.in -o front-door/front-door.lock
lock models/models.in -o models/models.lock
lock requirements-dev.in -o requirements-dev.lock
