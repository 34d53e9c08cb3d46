# Shared by the scripts of this folder: messages, the repository's root and the cache. Source it, do not run it.
# shellcheck shell=bash

ferrun_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
ferrun_script=$(basename "$0")

say() { printf '%s: %s\n' "$ferrun_script" "$*"; }

# fail MESSAGE...: one line on stderr for each argument, then the end.
fail() {
  printf '%s: error: %s\n' "$ferrun_script" "$1" >&2
  shift
  if (($#)); then printf '  %s\n' "$@" >&2; fi
  exit 1
}

# The folder that outlives build trees: LibTorch and the Python peer.
ferrun_cache() {
  if [[ -n ${FERRUN_CACHE:-} ]]; then
    printf '%s\n' "$FERRUN_CACHE"
  elif [[ -n ${XDG_CACHE_HOME:-} ]]; then
    printf '%s\n' "$XDG_CACHE_HOME/ferrun"
  else
    printf '%s\n' "${HOME:?HOME is not set: set FERRUN_CACHE to the folder for downloads}/.cache/ferrun"
  fi
}

# print_usage: the comment block at the head of the running script, without its '#' signs.
print_usage() {
  local script=$ferrun_root/scripts/$ferrun_script
  if [[ ! -e $script ]]; then script=$ferrun_root/packaging/$ferrun_script; fi
  sed -n '2,/^[^#]/{/^#/!q;s/^# \{0,1\}//;p}' "$script"
}
