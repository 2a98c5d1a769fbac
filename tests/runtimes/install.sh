#!/bin/sh
# Installs what the portability tests drive: the runtimes of package.json beside this file, and Debian's Chromium.
# Does nothing where all of it is there. The packages bring a `node` of their own: never put their .bin on PATH.
set -eu
cd "$(dirname "$0")"

# under `npm test` the path begins with packages' commands, an old npm among them
PATH=$(printf '%s' "$PATH" | tr ':' '\n' | grep -v node_modules | paste -sd ':' -)

# a copy of the lock file marks what node_modules was installed from
if ! cmp -s package-lock.json node_modules/.installed-lock; then
  echo "installing the runtimes of $PWD/package.json"
  # every binary is in its package: no install script is needed
  npm ci --ignore-scripts --no-audit --no-fund
  cp package-lock.json node_modules/.installed-lock
fi

if [ ! -x /usr/bin/chromium ]; then
  if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    echo "installing chromium"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium >/dev/null
  else
    echo "chromium is missing and cannot be installed here: as root, apt-get install chromium" >&2
  fi
fi
