# Shared by the scripts of this folder that need a bare Debian. Source it after scripts/lib/common.sh.
# shellcheck shell=bash

# need_bare_root: ends with 77 where none can be made.
need_bare_root() {
  ((EUID == 0)) || { echo "skipped: needs root for a root file system of its own"; exit 77; }
  command -v mmdebstrap >/dev/null || { echo "skipped: no mmdebstrap here"; exit 77; }
}

# bare_root SUITE FOLDER: nothing but the essential packages and Python; kept in the cache.
bare_root() { root_with bare "$1" "$2" python3 python3-venv; }

# root_with NAME SUITE FOLDER PACKAGE...: the essential packages and these; kept in the cache as NAME-SUITE.tar.
root_with() {
  local suite=$2 folder=$3 base
  base=$(ferrun_cache)/$1-$suite.tar
  shift 3
  if [[ ! -s $base ]]; then
    mkdir -p "$(ferrun_cache)"
    say "making $base"
    mmdebstrap --quiet --format=tar --variant=minbase --include="$(IFS=,; printf '%s' "$*")" "$suite" "$base.partial"
    mv "$base.partial" "$base"
  fi
  tar -C "$folder" -xf "$base" --exclude='./dev/*'
}
