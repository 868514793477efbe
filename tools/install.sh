#!/usr/bin/env bash
# Makes .venv (once) and installs the named lock files and the project itself into it.
# uv does it in seconds; where uv cannot be had, plain pip does the same more slowly.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.venv
export UV_NO_PROGRESS=1 PIP_DISABLE_PIP_VERSION_CHECK=1

find_python() {
  local name
  for name in ${PYTHON:-} python3.11 python3.12 python3.13 python3; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$name"
      return
    fi
  done
  echo "install: Python 3.11 or newer is needed; install it or name it with PYTHON=/path/to/python" >&2
  return 1
}

make_venv() {
  local python
  python=$(find_python)
  # Debian's python3 comes without ensurepip unless python3-venv is installed; then its pip fills the new environment.
  if ! "$python" -m venv "$venv" 2>/dev/null; then
    "$python" -m venv --clear --without-pip "$venv"
    "$python" -m pip --python "$venv/bin/python" install --quiet pip
  fi
}

install_locked() {
  local arguments=() lock
  for lock in "$@"; do arguments+=(-r "$lock"); done
  if "$venv/bin/uv" --version >/dev/null 2>&1 || "$venv/bin/pip" install --quiet uv; then
    "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --require-hashes "${arguments[@]}" &&
      "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --no-deps --editable .
  else
    "$venv/bin/pip" install --quiet --require-hashes "${arguments[@]}" &&
      "$venv/bin/pip" install --quiet --no-deps --editable .
  fi
}

[ -x "$venv/bin/pip" ] || make_venv
echo "install: $* into $venv" >&2
install_locked "$@"
