#!/usr/bin/env bash
# tests/install/worker_with_torch.sh WORKER_WHEEL WHEEL PEER: the trainer's wheel takes the torch of its environment, wherever
# that lies, and refuses one of another minor version, or none, by name. PEER is the folder of the Python peer, whose torch
# the environments see without a copy.
set -euo pipefail
worker_wheel=$(realpath "$1")
wheel=$(realpath "$2")
peer=$3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
[[ -x $peer/bin/python ]] || { echo "skipped: no Python with torch in $peer"; exit 77; }
passed=0

# holds WHAT TEXT EXPECTED: the text has the expected words in it.
holds() {
  if [[ $2 != *"$3"* ]]; then
    printf 'FAILED: %s\n  expected: %s\n  found:    %s\n' "$1" "$3" "$2"
    exit 1
  fi
  passed=$((passed + 1))
  printf 'ok: %s\n' "$1"
}

# refused WHAT EXPECTED: worker ends with status 1 and one line.
refused() {
  local status=0 said
  said=$(environment/bin/worker --version 2>&1) || status=$?
  holds "$1" "$said, status $status" "$2"
  holds "$1, in one line with status 1" "$(wc -l <<<"$said") $status" '1 1'
}

"$peer/bin/python" -m venv environment
site=$(echo environment/lib/python3*/site-packages)
peer_site=$(echo "$peer"/lib/python3*/site-packages)
mkdir files
cp "$worker_wheel" "$wheel" files/
environment/bin/python -m pip install -q --no-index --find-links=files --disable-pip-version-check 'ferrun[worker]'
version=$(sed -n 's/^Version: //p' "$site"/ferrun-*.dist-info/METADATA)
minor=$(sed -n 's/^TORCH = "\(.*\)"/\1/p' "$site/ferrun_worker/build.py")

refused 'no torch' "pip install 'torch==$minor.*'"
mkdir -p "$site/torch/lib"
touch "$site/torch/lib/libtorch_cpu.so" "$site/torch/__init__.py"
echo "__version__ = '2.3.1+cpu'" >"$site/torch/version.py"
refused 'another torch' "this ferrun-worker is for torch $minor, and $folder/$site/torch is 2.3.1+cpu"
holds 'the one for that torch, by name' "$(environment/bin/worker 2>&1)" "'ferrun-worker==$version+torch2.3'"
rm -r "$site/torch"

echo "$peer_site" >"$site/peer.pth"
holds 'torch elsewhere on the path' "$(environment/bin/worker --version)" "worker "
rm "$site/peer.pth"
ln -s "$peer_site/torch" "$peer_site/nvidia" "$site/"
holds 'torch beside it' "$(environment/bin/python -m ferrun_worker --version)" "worker "
holds 'nothing in the environment is needed then' "$(env -i "$site/ferrun_worker/bin/worker" --version)" "worker "

export PATH=$folder/environment/bin:$PATH OMP_NUM_THREADS=1
train=(--faces=40 --image-size=32 --epochs=1 --batch-size=32)
holds 'two workers train' "$(ferrun --nproc-per-node=2 worker "${train[@]}" --output-dir=one 2>&1)" '2 ranks on cpu'
holds 'their files' "$(ls one)" best_model.pt
holds 'the plots, with the fonts that came along' "$(head -c 8 one/accuracy_and_loss.png | tail -c 7)" PNG
holds 'forked from a template' \
  "$(ferrun --nproc-per-node=2 --start-method=forkserver worker "${train[@]}" --output-dir=two 2>&1)" '2 ranks on cpu'
holds 'it predicts' "$(worker predict --checkpoint one/best_model.pt "$(find . -name '*.png' | head -n 1)")" 'angry 0.'
environment/bin/python -m pip uninstall -q -y ferrun ferrun-worker 2>/dev/null
holds 'uninstalled' "$(find environment -name '*ferrun*' -o -name worker | wc -l)" 0
printf '%d passed, 0 failed\n' "$passed"
