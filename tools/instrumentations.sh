#!/usr/bin/env bash
# Installs the GenAI instrumentations and SDKs of tests/instrumentations into an environment of their own,
# .venv/instrumentations: what they ask for and what Fusebox is locked to do not go together.
set -euo pipefail
cd "$(dirname "$0")/.."

home=.venv/instrumentations wanted=tests/instrumentations/requirements.txt
cmp -s "$wanted" "$home/installed.txt" && exit 0
echo "instrumentations: $wanted into $home" >&2
.venv/bin/python -m venv --clear "$home"
if .venv/bin/uv pip install --quiet --python "$home/bin/python" -r "$wanted" || "$home/bin/pip" install --quiet -r "$wanted"; then
  cp "$wanted" "$home/installed.txt"
else
  echo "instrumentations: not installed; skipped: agents that only speak OpenTelemetry" >&2
fi
