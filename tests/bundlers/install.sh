#!/bin/sh
# Installs what the bundler tests drive: the bundlers and package checkers of package.json beside this file; with
# `next` also Next.js, which is as large as all of them. Does nothing where they are there.
set -eu
cd "$(dirname "$0")"

# under `npm test` the path begins with packages' commands, an old npm among them
PATH=$(printf '%s' "$PATH" | tr ':' '\n' | grep -v node_modules | paste -sd ':' -)

# a copy of the lock file marks what node_modules was installed from
install() (
  cd "$1"
  if ! cmp -s package-lock.json node_modules/.installed-lock; then
    echo "installing the tools of $PWD/package.json"
    # every binary is in its package: no install script is needed
    npm ci --ignore-scripts --no-audit --no-fund
    cp package-lock.json node_modules/.installed-lock
  fi
)

install .
if [ "${1:-}" = next ]; then install next; fi
