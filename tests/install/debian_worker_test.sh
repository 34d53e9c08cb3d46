#!/usr/bin/env bash
# tests/install/debian_worker_test.sh: /usr/bin/worker of the Debian package, which finds LibTorch for the program.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/same.sh"
template=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/packaging/worker/worker.sh.in
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
unset FERRUN_TORCH_DIR LD_LIBRARY_PATH

mkdir -p wheel/lib archive/lib old/lib empty
touch wheel/lib/libtorch_cpu.so archive/lib/libtorch_cpu.so old/lib/libtorch_cpu.so
printf "from typing import Optional\n\n__version__ = '2.11.0+cu130'\ndebug = False\n" >wheel/version.py
echo '2.11.1+cpu' >archive/build-version
echo '2.1.0' >old/build-version
printf '#!/bin/sh\necho "$LD_LIBRARY_PATH: $*"\n' >program
sed "s|@TORCH_MINOR@|2.11|; s|@TORCH_DIR@|$folder/wheel|; s|/usr/lib/ferrun/worker|$folder/program|; s|/etc/ferrun/torch|$folder/torch|g" \
  "$template" >worker
chmod +x program worker

# refusal: what worker says, and its status.
refusal() {
  local status=0
  ./worker 2>&1 || status=$?
  echo "$status"
}

same 'the one that it was built with' "$folder/wheel/lib: a b" "$(./worker a b)"
echo "$folder/archive" >torch
same 'the one of this machine' "$folder/archive/lib: " "$(./worker)"
same 'the one of this call' "$folder/wheel/lib: " "$(FERRUN_TORCH_DIR=$folder/wheel ./worker)"
same 'what was in the path of libraries stays' "$folder/archive/lib:/mine: " "$(LD_LIBRARY_PATH=/mine ./worker)"
echo "$folder/old" >torch
same 'another version' "worker: this program is for LibTorch 2.11, and $folder/old is 2.1"$'\n1' "$(refusal)"
echo "$folder/empty" >torch
same 'none' "worker: no LibTorch in $folder/empty: name the folder that holds its lib/ by FERRUN_TORCH_DIR or in $folder/torch"$'\n1' "$(refusal)"
