#!/usr/bin/env bash
# Installs what tests of foreign clients run on Node into .venv/node, where npm is at hand; else says what is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

home=.venv/node
[ -d "$home/node_modules/amqplib" ] && exit 0
if ! command -v npm >/dev/null; then
  echo "node: no npm; skipped: a consumer on Node (as root: apt-get install npm)" >&2
  exit 0
fi
mkdir -p "$home"
echo "node: amqplib into $home" >&2
npm install --silent --no-audit --no-fund --prefix "$home" amqplib@0.10.9 >/dev/null ||
  echo "node: npm failed; skipped: a consumer on Node" >&2
