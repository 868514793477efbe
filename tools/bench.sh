#!/usr/bin/env bash
# Runs every benchmark of benchmarks/, one after the other; each ends with one line of JSON.
set -euo pipefail
cd "$(dirname "$0")/.."

shopt -s nullglob
files=($(grep -l "^def main" benchmarks/[a-z]*.py))
[ ${#files[@]} -gt 0 ] || echo "bench: benchmarks/ holds none" >&2
for file in "${files[@]}"; do
  name=$(basename "$file" .py)
  echo "== $name" >&2
  .venv/bin/python -m "benchmarks.$name" "$@"
done
