#!/usr/bin/env bash
# tests/install/with_torch.sh WHEEL PEER: the wheel beside torch in one environment; there `ferrun` takes torchrun's place
# word for word. PEER is the folder of the Python peer, whose packages the environment sees without a copy.
set -euo pipefail
wheel=$(realpath "$1")
peer=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

[[ -x $peer/bin/python ]] || { echo "skipped: no Python with torch in $peer"; exit 77; }
"$peer/bin/python" -m venv environment
echo "$peer"/lib/python3*/site-packages >"$(echo environment/lib/python3*/site-packages)/peer.pth"
environment/bin/python -m pip install -q --no-index --no-deps --disable-pip-version-check "$wheel"

cat >train.py <<'P'
import os
import torch
import torch.distributed as dist

dist.init_process_group("gloo")
total = torch.tensor([float(dist.get_rank() + 1)])
dist.all_reduce(total)
# In one write: the ranks share a pipe.
os.write(1, f"rank {dist.get_rank()} of {dist.get_world_size()} sum {total.item()} threads {os.environ['OMP_NUM_THREADS']}\n".encode())
dist.destroy_process_group()
P
printf 'def main():\n    import train\n' >job.py

# The lines as people write them, with the one word replaced; torchrun stands for its module, which is in PEER.
torchrun() { environment/bin/python -m torch.distributed.run "$@"; }
ferrun() { environment/bin/ferrun "$@"; }
passed=0
for line in 'LAUNCHER --standalone --nproc_per_node=2 train.py' \
  'LAUNCHER --nproc-per-node 2 --rdzv-backend c10d --rdzv-endpoint localhost:0 -m train'; do
  expected=$(eval "${line/LAUNCHER/torchrun}" 2>/dev/null | sort)
  found=$(eval "${line/LAUNCHER/ferrun}" 2>/dev/null | sort)
  if [[ -z $expected || $expected != "$found" ]]; then
    printf 'FAILED: %s\n torchrun: %s\n ferrun:   %s\n' "$line" "$expected" "$found"
    exit 1
  fi
  passed=$((passed + 1))
  printf 'ok: %s\n' "${line/LAUNCHER/s/torchrun/ferrun/}"
done

# A program that launches by torch's own configuration.
cat >launch.py <<'P'
import sys
from torch.distributed.launcher.api import LaunchConfig
if sys.argv[1] == "torch":
    from torch.distributed.launcher.api import elastic_launch
else:
    from ferrun.run import elastic_launch

def rank(offset):
    import os
    return int(os.environ["RANK"]) + offset

if __name__ == "__main__":
    config = LaunchConfig(min_nodes=1, max_nodes=1, nproc_per_node=2, run_id="job", rdzv_backend="c10d",
                          rdzv_endpoint="localhost:0", max_restarts=0)
    print(dict(sorted(elastic_launch(config, rank)(10).items())))  # torch gives them in the order of their ends
P
for launcher in torch ferrun; do
  [[ $(environment/bin/python launch.py "$launcher" 2>/dev/null) == '{0: 10, 1: 11}' ]] ||
    { echo "FAILED: elastic_launch of $launcher"; environment/bin/python launch.py "$launcher"; exit 1; }
done
passed=$((passed + 1))
echo "ok: torch's LaunchConfig in ferrun's elastic_launch"
printf '%d passed, 0 failed\n' "$passed"
