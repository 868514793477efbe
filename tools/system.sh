#!/usr/bin/env bash
# Installs the servers and programs that the tests use from Debian's packages, where this machine lets us.
# Where it does not, says what the tests will skip. The servers are installed, never started: tests start their own.
set -euo pipefail

declare -A package=(
  [rabbitmq-server]=rabbitmq-server [redis-server]=redis-server [postgres]=postgresql [chromium]=chromium [strace]=strace
  [npm]=npm
)
declare -A skipped=(
  [rabbitmq-server]="everything over a real RabbitMQ"
  [redis-server]="shared state on a real Redis"
  [postgres]="the supply chain on PostgreSQL"
  [chromium]="the dashboard in a browser"
  [strace]="disk faults"
  [npm]="a consumer on Node"
)

present() {
  [ -x "/usr/sbin/$1" ] || command -v "$1" >/dev/null || compgen -G "/usr/lib/postgresql/*/bin/$1" >/dev/null
}

missing=()
for program in "${!package[@]}"; do
  present "$program" || missing+=("$program")
done
[ ${#missing[@]} -gt 0 ] || exit 0

forbid_starting() {
  # Package scripts ask this file before they start a service (Debian policy 9.3.3).
  [ -e /usr/sbin/policy-rc.d ] && return
  trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
  chmod 755 /usr/sbin/policy-rc.d
}

install_packages() {
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  forbid_starting
  names=()
  for program in "${missing[@]}"; do names+=("${package[$program]}"); done
  echo "system: installing ${names[*]}" >&2
  install_packages "${names[@]}" || echo "system: apt-get failed" >&2
fi

for program in "${missing[@]}"; do
  present "$program" ||
    echo "system: no $program; skipped: ${skipped[$program]} (as root: apt-get install ${package[$program]})" >&2
done
