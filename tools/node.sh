#!/usr/bin/env bash
# Installs what tests of foreign clients run on Node into .venv/node, where npm is at hand; else says what is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

home=.venv/node
packages=(amqplib@0.10.9 @clickhouse/client@1.23.1)
[ -d "$home/node_modules/amqplib" ] && [ -d "$home/node_modules/@clickhouse/client" ] && exit 0
if ! command -v npm >/dev/null; then
  echo "node: no npm; skipped: clients on Node (as root: apt-get install npm)" >&2
  exit 0
fi
mkdir -p "$home"
echo "node: ${packages[*]} into $home" >&2
npm install --silent --no-audit --no-fund --prefix "$home" "${packages[@]}" >/dev/null ||
  echo "node: npm failed; skipped: clients on Node" >&2
