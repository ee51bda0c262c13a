#!/usr/bin/env bash
# Looks the packages of the lock files up in the databases of known faults: npm's for the program, PyPI's for the images.
# Ends with 1 where one of the program is high or critical, or one of an image is known at all. A database that does
# not answer is a warning: nothing was looked up then.
set -euo pipefail
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0

npm audit --omit=dev --json > "$scratch/npm.json" 2> "$scratch/npm.log" || true
node - "$scratch/npm.json" <<'END' || failed=1
const text = require("node:fs").readFileSync(process.argv[2], "utf8");
const { metadata, vulnerabilities = {} } = JSON.parse(text || "{}");
if (metadata === undefined) {
  console.log("warning: npm's database did not answer: package-lock.json was not looked up");
} else {
  for (const { name, severity, range } of Object.values(vulnerabilities)) {
    console.log(`package-lock.json: ${name} ${range}: ${severity}`);
  }
  const { high, critical } = metadata.vulnerabilities;
  process.exit(high + critical > 0 ? 1 : 0);
}
END

python3 -m venv "$scratch/venv"
if ! "$scratch/venv/bin/pip" install --quiet --require-hashes --requirement scripts/audit.lock; then
  echo "warning: PyPI did not answer: the images' lock files were not looked up"
  exit "$failed"
fi
for lock in images/*/cpu.lock images/*/cuda.lock images/mlflow/mlflow.lock images/models/models.lock; do
  if "$scratch/venv/bin/pip-audit" --disable-pip --progress-spinner=off --requirement "$lock" \
    > "$scratch/found" 2> "$scratch/log"; then
    continue
  fi
  if [ -s "$scratch/found" ]; then
    echo "$lock:"
    cat "$scratch/found"
    failed=1
  else
    echo "warning: $lock was not looked up: $(tail -n 1 "$scratch/log")"
  fi
done
exit "$failed"
