#!/bin/sh
# Installs what the tests on a GPU need: the package of package.json beside this file, which is WebGPU for Node, and a
# Vulkan driver that computes on the processor, in the folder driver. Does nothing where both are there.
# Says why and ends well where the driver cannot be had: the tests tell by driver/lavapipe.json.
set -eu
cd "$(dirname "$0")"

# under `npm test` the path begins with packages' commands, an old npm among them
PATH=$(printf '%s' "$PATH" | tr ':' '\n' | grep -v node_modules | paste -sd ':' -)

# a copy of the lock file marks what node_modules was installed from
if ! cmp -s package-lock.json node_modules/.installed-lock; then
  echo "installing $PWD/package.json"
  npm ci --ignore-scripts --no-audit --no-fund
  cp package-lock.json node_modules/.installed-lock
fi

if [ -e driver/lavapipe.json ]; then exit 0; fi

without() {
  rm -rf driver
  echo "no software driver for WebGPU: $1" >&2
  exit 0
}

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  without "as root on Debian, sh tests/webgpu/install.sh installs libvulkan1 and mesa-vulkan-drivers"
fi
echo "installing a software driver for WebGPU"
rm -rf driver
mkdir -p driver/lists/partial driver/sources
apt-get update -qq
# the loader, and the driver for the libraries that it needs
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends libvulkan1 mesa-vulkan-drivers >/dev/null ||
  without "apt-get cannot install libvulkan1 and mesa-vulkan-drivers"

# Dawn wants dynamic indices of every kind, which Mesa's driver has since version 23
installed=$(dpkg-query -W -f '${Version}' mesa-vulkan-drivers)
if dpkg --compare-versions "$installed" ge 23; then
  ln -s "$(find /usr/share/vulkan/icd.d -name 'lvp_icd*.json' | head -n 1)" driver/lavapipe.json
  exit 0
fi

# an older Debian has a newer one among its backports; it is unpacked here, so that the machine's own stays as it is
. /etc/os-release
site=$(apt-get indextargets --format '$(REPO_URI)' "Codename: $VERSION_CODENAME" | head -n 1)
cat >driver/sources/backports.sources <<SOURCE
Types: deb
URIs: ${site:-http://deb.debian.org/debian/}
Suites: $VERSION_CODENAME-backports
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCE
backports() {
  apt-get -qq -o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$PWD/sources" \
    -o "Dir::State::Lists=$PWD/lists" -o APT::Sandbox::User=root "$@"
}
cd driver
backports update || without "the backports of Debian $VERSION_CODENAME cannot be reached"
backports download mesa-vulkan-drivers || without "the backports of Debian $VERSION_CODENAME have no mesa-vulkan-drivers"
dpkg-deb -x mesa-vulkan-drivers_*.deb root
library=$(find "$PWD/root" -name libvulkan_lvp.so)
lacking=$(ldd "$library" | sed -n 's/ => not found//p')
if [ -n "$lacking" ]; then cd .. && without "Mesa's driver lacks $lacking"; fi
rm -rf lists sources ./*.deb
printf '{"file_format_version":"1.0.0","ICD":{"api_version":"1.4.305","library_path":"%s"}}\n' "$library" >lavapipe.json
