#!/usr/bin/env bash
# Looks the packages of the lock files up in the databases of known faults: npm's for the program, PyPI's for the images.
# Ends with 1 where one of the program is high or critical, or one of an image is known at all. What a database did not
# answer for is a warning: it was not looked up.
set -euo pipefail
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0

npm audit --omit=dev --json > "$scratch/found.json" 2> "$scratch/log" || true
node_modules/.bin/node --require ./scripts/typescript.cjs scripts/auditReport.ts npm package-lock.json "$scratch/found.json" || failed=1

python3 -m venv "$scratch/venv"
if ! "$scratch/venv/bin/pip" install --quiet --require-hashes --requirement scripts/audit.lock; then
  echo "warning: pip-audit cannot be had: no lock file of an image was looked up"
  exit "$failed"
fi
for lock in images/{training,inference}/{cpu,cuda}.lock images/mlflow/mlflow.lock images/models/models.lock; do
  "$scratch/venv/bin/pip-audit" --disable-pip --progress-spinner=off --format=json \
    --requirement "$lock" > "$scratch/found.json" 2> "$scratch/log" || true
  node_modules/.bin/node --require ./scripts/typescript.cjs scripts/auditReport.ts pip "$lock" "$scratch/found.json" || failed=1
done
exit "$failed"
