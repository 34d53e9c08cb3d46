#!/usr/bin/env bash
# tests/install/container_image.sh DEBS: the stage `launcher` of deploy/kubernetes/Containerfile, played in a bare Debian 12 with
# the packages in DEBS, and then run as a pod's container is: another user, a root file system that cannot be written to,
# /tmp empty, ferrun its first process. The stage `trainer` is left out: it fetches gigabytes of PyTorch.
#
# Needs root and mmdebstrap.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../../scripts/lib/common.sh"
. "$here/bare_root.sh"
. "$here/same.sh"

debs=$(realpath "$1")
need_bare_root
root=$(mktemp -d)
trap 'rm -rf --one-file-system "$root"' EXIT
bare_root bookworm "$root"

user='' folder=/ entry=''
# instruction NAME REST
instruction() {
  local source target
  case $1 in
    FROM) ;;
    COPY)
      read -r source target <<<"$2"
      mkdir -p "$root$target"
      cp "$debs"/$(basename "$source") "$root$target"
      ;;
    RUN) chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin sh -ec "$2" ;;
    USER) user=$2 ;;
    WORKDIR) folder=$2 ;;
    ENTRYPOINT) entry=$(sed 's/^\["\(.*\)"\]$/\1/' <<<"$2") ;;
    *) fail "the stage has a $1, which is not played here" ;;
  esac
}
while read -r name rest; do instruction "$name" "$rest"; done < <(
  sed -n '/ AS launcher$/,/^FROM .* AS trainer$/{/AS trainer$/!{/^[A-Z]/p}}' "$here/../../deploy/kubernetes/Containerfile")

# container ARGUMENT...: as a kubelet runs the image.
container() {
  unshare --mount --pid --fork --kill-child -- bash -ec '
    root=$1 user=$2 folder=$3 entry=$4; shift 4
    mount --bind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount -t tmpfs -o mode=1777 scratch "$root/tmp"
    mount -t tmpfs -o mode=755 devices "$root/dev"
    for device in null zero urandom; do : >"$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"; done
    mount -o remount,ro "$root/dev"
    mount -o remount,bind,ro "$root"
    exec chroot "$root" setpriv --reuid="${user%:*}" --regid="${user#*:}" --clear-groups --no-new-privs --bounding-set=-all \
      env -i PATH=/usr/local/bin:/usr/bin:/bin sh -c '\''cd "$0" && exec "$@"'\'' "$folder" "$entry" "$@"' \
    bash "$root" "$user" "$folder" "$entry" "$@"
}

same 'workers run' $'65532 rank 0 of 2\n65532 rank 1 of 2' \
  "$(container --nproc-per-node=2 sh -c 'echo "$(id -u) rank $RANK of $WORLD_SIZE"' | sort)"
same 'the root cannot be written to' refused "$(container sh -c 'touch /new 2>/dev/null || echo refused')"
status=0
container sh -c 'exit 7' 2>/dev/null || status=$?
same "the failed worker's status" 7 "$status"
same 'nothing of the package is left' '' "$(ls "$root" | grep packages || true)"
printf '%d passed, 0 failed\n' "$passed"
