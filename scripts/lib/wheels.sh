# Pinned wheels from PyPI, installed whole or not at all into the cache. Source it after common.sh.
# shellcheck shell=bash

ferrun_python=${FERRUN_PYTHON:-/usr/bin/python3}

require_python_with_wheels() {
  local machine version
  machine=$(uname -m)
  [[ $machine == x86_64 || $machine == aarch64 ]] ||
    fail "PyPI has no LibTorch for $machine (only x86_64 and aarch64)" \
      "build the launcher alone (scripts/setup --no-torch, cmake --preset no-torch), or name a LibTorch: FERRUN_TORCH_DIR=DIR"
  [[ -x $ferrun_python ]] || fail "no Python at $ferrun_python" "install python3 or set FERRUN_PYTHON"
  version=$("$ferrun_python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  case $version in
    3.11 | 3.12 | 3.13) ;;
    *) fail "$ferrun_python is Python $version; the pinned wheels are for 3.11, 3.12 and 3.13" \
      "set FERRUN_PYTHON to one of these, or name a LibTorch: FERRUN_TORCH_DIR=DIR" ;;
  esac
}

# require_space FOLDER MEBIBYTES PURPOSE
require_space() {
  local free
  free=$(($(df --output=avail -k "$1" | tail -n 1) / 1024))
  ((free >= $2)) || fail "$3 needs $2 MiB of disk space under $1, and $free MiB are free" \
    "make room, or set FERRUN_CACHE to a folder on a larger disk"
}

# install_wheels NAME MEBIBYTES: a virtual environment CACHE/NAME that holds the wheels of scripts/requirements-NAME.txt.
# Every file is compared with the sizes that the wheels list, so a truncated environment is made anew; a new one is
# built beside and renamed, so an interrupted run leaves nothing that looks finished.
install_wheels() {
  local name=$1 requirements=$ferrun_root/scripts/requirements-$1.txt need=$2 cache target partial problem
  cache=$(ferrun_cache)
  target=$cache/$name
  mkdir -p "$cache" || fail "cannot make the cache folder $cache" "set FERRUN_CACHE to a folder that you may write to"
  [[ -w $cache ]] || fail "the cache folder $cache is not writable" "set FERRUN_CACHE to a folder that you may write to"
  exec {lock}>"$cache/.$name.lock"
  if ! flock -n "$lock"; then
    say "$name: waiting for another set-up that is at work on it"
    flock "$lock"
  fi
  if problem=$("$ferrun_python" "$ferrun_root/scripts/lib/check_wheels.py" "$target" "$requirements"); then
    say "$name: complete in $target"
    exec {lock}>&-
    return
  fi
  if [[ -e $target ]]; then say "$name: $problem; installing it anew"; fi
  require_python_with_wheels
  rm -rf "$cache/.$name.partial"  # left by an interrupted run: the lock says that nobody is at work on it
  require_space "$cache" "$need" "$name"
  partial=$cache/.$name.partial
  say "$name: installing into $target (needs $need MiB while at work)"
  download_wheels "$partial" "$requirements"
  # Scripts in bin/ name their interpreter by its full path.
  grep -rlIF "$partial" "$partial/bin" "$partial/pyvenv.cfg" | xargs -r sed -i "s|$partial|$target|g"
  rm -rf "$target"
  mv "$partial" "$target"
  problem=$("$ferrun_python" "$ferrun_root/scripts/lib/check_wheels.py" "$target" "$requirements") ||
    fail "$name: incomplete after its installation: $problem"
  exec {lock}>&-
  say "$name: installed"
}

# share_wheels FROM TO: what FROM has is importable in TO, unless TO has its own.
share_wheels() {
  local from to
  from=$(echo "$(ferrun_cache)/$1"/lib/python3*/site-packages)
  to=$(echo "$(ferrun_cache)/$2"/lib/python3*/site-packages)
  printf '%s\n' "$from" >"$to/shared.pth"
}

# download_wheels FOLDER REQUIREMENTS
download_wheels() {
  local folder=$1 requirements=$2
  local -a quiet=(-q)
  if [[ -t 1 ]]; then quiet=(); fi
  "$ferrun_python" -m venv "$folder" || fail "cannot make a virtual environment" "is python3-venv installed?"
  mkdir "$folder/tmp"
  if ! TMPDIR=$folder/tmp "$folder/bin/python" -m pip install "${quiet[@]}" --disable-pip-version-check --no-cache-dir \
    --require-hashes --no-deps --only-binary=:all: -r "$requirements"; then
    rm -rf "$folder"
    fail "pip could not install $(basename "$requirements") (its own words are above)" \
      "no network? a proxy is named by https_proxy, a mirror by PIP_INDEX_URL;" \
      "without PyPI, give a LibTorch that is already there: FERRUN_TORCH_DIR=DIR (DIR holds include/ and lib/)"
  fi
  rm -rf "$folder/tmp"
}
