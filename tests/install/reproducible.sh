#!/usr/bin/env bash
# tests/install/reproducible.sh: two builds of the commit's Debian packages, in two folders, the second one without the compiler's
# cache and, as root, both without a network, are equal byte for byte, and no folder's name is in them.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
SOURCE_DATE_EPOCH=$(git -C "$here" log -1 --format=%ct)
export SOURCE_DATE_EPOCH

offline=()
if ((EUID == 0)); then offline=(unshare --net); fi

# build SUBFOLDER NAME=VALUE...: with these variables.
build() {
  local where=$folder/$1/source
  shift
  mkdir -p "$where"
  git -C "$here" archive HEAD | tar -C "$where" -x
  "${offline[@]}" env "$@" "$where/packaging/deb" --out="$where/../out" >"$where/../log" 2>&1 || { tail -n 20 "$where/../log"; exit 1; }
}

build one FERRUN=0
build a-longer-name/two "${FERRUN_SECOND_BUILD:-CCACHE_DISABLE=1}"
for package in "$folder"/one/out/*.deb; do
  cmp "$package" "$folder/a-longer-name/two/out/$(basename "$package")"
  dpkg-deb -x "$package" "$folder/content"
  if grep -rlF "$folder" "$folder/content"; then
    echo "FAILED: these name the folder of their build"
    exit 1
  fi
  printf 'equal: %s %s\n' "$(sha256sum <"$package" | cut -c1-16)" "$(basename "$package")"
done
