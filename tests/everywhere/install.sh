#!/bin/sh
# Installs what `npm run test:everywhere` drives beside tests/runtimes: the packages of package.json beside this file,
# and Debian's Firefox ESR and WebKitGTK. Does nothing where all of it is there.
set -eu
cd "$(dirname "$0")"

# under `npm run` the path begins with packages' commands, an old npm among them
PATH=$(printf '%s' "$PATH" | tr ':' '\n' | grep -v node_modules | paste -sd ':' -)

# a copy of the lock file marks what node_modules was installed from
if ! cmp -s package-lock.json node_modules/.installed-lock; then
  echo "installing $PWD/package.json"
  # every binary is in its package: no install script is needed
  npm ci --ignore-scripts --no-audit --no-fund
  cp package-lock.json node_modules/.installed-lock
fi

if [ -x /usr/bin/firefox-esr ] && [ -x /usr/bin/WebKitWebDriver ] && [ -x /usr/bin/Xvfb ]; then exit 0; fi
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
  echo "installing firefox-esr and webkit2gtk-driver"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
    firefox-esr webkit2gtk-driver xvfb >/dev/null
else
  echo "missing and cannot be installed here: as root, apt-get install firefox-esr webkit2gtk-driver xvfb" >&2
fi
