#!/usr/bin/env bash
# Writes the lock files: requirements.lock (all extras) and requirements-dev.lock (the tools, on top of it).
# Neither names an index: whoever installs uses the one they trust, and the hashes decide.
set -euo pipefail
cd "$(dirname "$0")/.."

compile() {
  .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --no-header --no-emit-index-url --no-emit-find-links "$@"
}

compile pyproject.toml --all-extras --output-file requirements.lock
compile --group dev --constraints requirements.lock --output-file requirements-dev.lock
