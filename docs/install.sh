#!/bin/sh
# Installs what builds the site: the packages of package.json beside this file. Does nothing where they are there.
set -eu
cd "$(dirname "$0")"

# under `npm test` the path begins with packages' commands, an old npm among them
PATH=$(printf '%s' "$PATH" | tr ':' '\n' | grep -v node_modules | paste -sd ':' -)

# a copy of the lock file marks what node_modules was installed from
if ! cmp -s package-lock.json node_modules/.installed-lock; then
  echo "installing the tools of $PWD/package.json"
  npm ci --ignore-scripts --no-audit --no-fund
  cp package-lock.json node_modules/.installed-lock
fi
