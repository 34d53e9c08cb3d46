#!/usr/bin/env bash
# tests/install/bare_debian.sh DEBS|none WHEEL [SUITE]: walks the ways of installing ferrun in a bare Debian (bookworm, which is
# 12, by default) that has nothing but its essential packages and Python: the Debian packages (install, upgrade, remove) and
# the wheel in a virtual environment, each run and taken away again, with nothing left.
#
# DEBS is a folder with the packages for that Debian, WHEEL the wheel's file. Needs root, mmdebstrap and, for the root file system's first
# making, the network; it is kept in the cache.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../../scripts/lib/common.sh"
. "$here/bare_root.sh"

debs=$1
wheel=$(realpath "$2")
suite=${3:-bookworm}
need_bare_root
root=$(mktemp -d)
trap 'rm -rf --one-file-system "$root"' EXIT
bare_root "$suite" "$root"
mkdir -p "$root/packages"
if [[ $debs != none ]]; then cp "$debs"/*.deb "$root/packages/"; fi
cp "$wheel" "$root/packages/"
cp "$here/in_bare_system.sh" "$here/same.sh" "$root/packages/"
# A process namespace of its own: what a failed test leaves running ends with it.
unshare --mount --pid --fork --kill-child -- bash -ec "
  mount -t proc proc '$root/proc'
  mount -t tmpfs tmpfs '$root/dev'
  for device in null zero full urandom random; do touch '$root/dev/'\$device; mount --bind /dev/\$device '$root/dev/'\$device; done
  ln -s /proc/self/fd '$root/dev/fd'
  exec chroot '$root' /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
    bash /packages/in_bare_system.sh"
