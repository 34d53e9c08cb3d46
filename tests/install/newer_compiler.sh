#!/usr/bin/env bash
# tests/install/newer_compiler.sh [SUITE]: the launcher, a warning being an error, by the g++ of a Debian that is newer than
# this machine's (trixie by default, whose g++ is 14) and with that Debian's libraries, in a root file system of its own. There it runs
# workers, and the tests of its parts pass.
#
# Needs root, mmdebstrap and, for the root file system's first making, the network; it is kept in the cache, and so is what
# was compiled.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../../scripts/lib/common.sh"
. "$here/../../scripts/lib/packages.sh"
. "$here/bare_root.sh"

suite=${1:-trixie}
need_bare_root
root=$(mktemp -d)
trap 'rm -rf --one-file-system "$root"' EXIT
root_with build "$suite" "$root" $(build_packages "$suite")
mkdir -p "$root/source" "$root/compiled" "$(ferrun_cache)/compiled-$suite"
git -C "$ferrun_root" archive HEAD | tar -C "$root/source" -x
unshare --mount --pid --fork --kill-child -- bash -ec '
  mount -t proc proc "$0/proc"
  mount -t sysfs sysfs "$0/sys"
  mount -t tmpfs tmpfs "$0/dev"
  for device in null zero full urandom random; do touch "$0/dev/$device"; mount --bind "/dev/$device" "$0/dev/$device"; done
  ln -s /proc/self/fd "$0/dev/fd"
  mkdir "$0/dev/shm" "$0/dev/pts"
  mount -t tmpfs -o mode=1777 tmpfs "$0/dev/shm"
  mount -t devpts -o newinstance,ptmxmode=666 devpts "$0/dev/pts"
  ln -s pts/ptmx "$0/dev/ptmx"
  mount --bind "$1" "$0/compiled"
  exec chroot "$0" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root CCACHE_DIR=/compiled \
    bash /source/tests/install/in_newer_system.sh' "$root" "$(ferrun_cache)/compiled-$suite"
