#!/usr/bin/env bash
# Installs each peer of benchmarks/peers/*.txt (requirement files) into an environment of its own, .venv/peers/<name>,
# so that no peer decides what another, or Fusebox, runs on. A benchmark skips by name the peers it does not find.
set -euo pipefail
cd "$(dirname "$0")/.."

shopt -s nullglob
files=(benchmarks/peers/*.txt)
[ ${#files[@]} -gt 0 ] || echo "peers: benchmarks/peers/ names none" >&2
for file in "${files[@]}"; do
  home=.venv/peers/$(basename "$file" .txt)
  [ -x "$home/bin/python" ] || .venv/bin/python -m venv "$home"
  echo "peers: $file into $home" >&2
  "$home/bin/pip" install --quiet -r "$file"
done
