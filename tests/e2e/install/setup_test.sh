#!/usr/bin/env bash
# What scripts/setup says of a cache that is whole, truncated or half installed, and of wrong requests. Needs no network:
# the "wheels" are made here, and the folder of pip's downloads is never reached.
set -euo pipefail
root=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

# expect NAME WANTED ACTUAL
expect() {
  if [[ $3 == *"$2"* ]]; then return; fi
  printf '%s: expected "%s" in: %s\n' "$1" "$2" "$3"
  failures=$((failures + 1))
}

site=$work/env/lib/python3.11/site-packages
mkdir -p "$site/torch/lib" "$site/Some_Torch-1.2.dist-info"
printf 'library' >"$site/torch/lib/libtorch_cpu.so"
cat >"$site/Some_Torch-1.2.dist-info/RECORD" <<'RECORD'
torch/lib/libtorch_cpu.so,sha256=x,7
"../../../bin/tool",sha256=x,99
Some_Torch-1.2.dist-info/RECORD,,
RECORD
mkdir -p "$work/env/bin"
printf 'rewritten' >"$work/env/bin/tool"
printf '# comment\nsome-torch==1.2 \\\n    --hash=sha256:0\n' >"$work/requirements.txt"

check() { python3 "$root/scripts/lib/check_wheels.py" "$work/env" "$work/requirements.txt" || printf 'status %s' $?; }

[[ -z $(check) ]] || { printf 'a whole environment is refused: %s\n' "$(check)"; failures=$((failures + 1)); }
printf 'lib' >"$site/torch/lib/libtorch_cpu.so"
expect "a truncated library" "torch/lib/libtorch_cpu.so has 3 bytes instead of 7" "$(check)"
rm "$site/torch/lib/libtorch_cpu.so"
expect "a missing library" "torch/lib/libtorch_cpu.so is missing" "$(check)"
sed -i 's/==1.2/==1.3/' "$work/requirements.txt"
expect "another version" "some-torch 1.3 is missing" "$(check)"
rm -r "$site"
expect "an environment without packages" "not installed" "$(check)"

setup() { "$root/scripts/setup" "$@" 2>&1 || printf 'status %s' $?; }
expect "an unknown option" "unknown option --bogus" "$(setup --bogus)"
expect "an unknown LibTorch" "no list of wheels for LibTorch 1.0" "$(setup --torch=1.0)"
expect "the list of packages" "libboost" "$(setup --list)"
expect "a folder without LibTorch" "holds no lib/libtorch_cpu.so" "$(FERRUN_TORCH_DIR=$work setup)"
expect "a folder of find_package(Torch) without LibTorch" "Torch_DIR=/x/share/cmake/Torch: /x holds no" "$(Torch_DIR=/x/share/cmake/Torch setup)"
# What torch.utils.cmake_prefix_path names.
named=$work/named/torch
mkdir -p "$named/lib" "$named/include/ATen" "$named/share/cmake"
touch "$named/lib/libtorch_cpu.so" "$named/include/ATen/ATen.h"
PATH=$work/no_installer:$PATH
mkdir "$work/no_installer"
printf '#!/bin/sh\nprintf installed\n' >"$work/no_installer/dpkg-query"
chmod +x "$work/no_installer/dpkg-query"
expect "PyTorch's prefix" "LibTorch: $named" "$(CMAKE_PREFIX_PATH=/usr:$named/share/cmake setup)"
expect "PyTorch's CMake package" "LibTorch: $named" "$(Torch_DIR=$named/share/cmake/Torch setup)"
((failures == 0))
