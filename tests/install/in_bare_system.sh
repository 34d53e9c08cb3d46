#!/usr/bin/env bash
# Run by bare_debian.sh inside the bare system, which has /packages; removes nothing but what it installs.
set -euo pipefail
cd /root
. /packages/same.sh

files() { find / -xdev \( -path /proc -o -path /dev -o -path /tmp -o -path /var/log -o -path /var/lib/dpkg -o -path /var/cache \
  -o -path '*/__pycache__' \) -prune -o -print | sort; }

# runs FERRUN...: it starts workers, native and in Python, and hands on their status.
runs() {
  local status=0
  same "$1: workers of a program" $'rank 0 of 2\nrank 1 of 2' \
    "$("$@" --nproc-per-node=2 sh -c 'echo "rank $RANK of $WORLD_SIZE"' | sort)"
  printf 'import os, sys\nprint(os.environ["RANK"], sys.prefix)\n' >rank.py
  same "$1: a script, by the environment's Python" "0 $prefix" "$("$@" rank.py)"
  "$@" --nproc-per-node=2 sh -c 'exit 7' 2>/dev/null || status=$?
  same "$1: the failed worker's status" 7 "$status"
  rm rank.py
}

nothing_left() { same "$1: nothing is left" '' "$(diff <(printf '%s\n' "$before") <(files) | grep '^[<>]' || true)"; }

before=$(files)
prefix=/usr

# The packages: install, upgrade, remove.
walk_packages() {
  dpkg -i /packages/ferrun_*.deb /packages/libferrun-dev_*.deb >/dev/null
  runs ferrun
  same 'the manual pages are there' 'ferrun-rendezvous.7.gz ferrun.1.gz' \
    "$(find /usr/share/man -name 'ferrun*' -printf '%f\n' | sort | paste -sd ' ')"
  mkdir next
  dpkg-deb -R /packages/ferrun_*.deb next
  sed -i 's/^Version: .*/&.next/' next/DEBIAN/control
  dpkg-deb --root-owner-group -b next next.deb >/dev/null
  dpkg -i next.deb >/dev/null
  same 'the upgrade is the installed version' yes "$(dpkg-query -W -f '${Version}' ferrun | grep -q 'next$' && echo yes)"
  runs ferrun
  rm -r next next.deb
  dpkg --purge libferrun-dev ferrun >/dev/null
  nothing_left 'Debian packages'
}
# The trainer's, without the libraries and the LibTorch that it needs: it says so, and goes without a trace.
walk_worker_package() {
  local said status=0
  dpkg -i --force-depends /packages/ferrun-worker_*.deb >/dev/null 2>&1
  said=$(FERRUN_TORCH_DIR=/srv/libtorch worker --version 2>&1) || status=$?
  same 'the trainer asks for LibTorch' \
    '1: worker: no LibTorch in /srv/libtorch: name the folder that holds its lib/ by FERRUN_TORCH_DIR or in /etc/ferrun/torch' "$status: $said"
  dpkg --purge --force-depends ferrun-worker >/dev/null 2>&1
  nothing_left "the trainer's package"
}
if compgen -G '/packages/ferrun_*.deb' >/dev/null; then walk_packages; fi
if compgen -G '/packages/ferrun-worker_*.deb' >/dev/null; then walk_worker_package; fi

# The wheel, in a virtual environment.
python3 -m venv environment
prefix=/root/environment
pip=(environment/bin/python -m pip)
with_environment=$(find environment -not -path '*__pycache__*' | sort)
"${pip[@]}" install -q --no-index --disable-pip-version-check /packages/ferrun-*.whl
runs environment/bin/ferrun
runs environment/bin/python -m ferrun
same 'the client of a worker' '{0: 0, 1: 1}' "$(cat >launch.py <<'P'
from ferrun.client import context
from ferrun.run import LaunchConfig, elastic_launch
def rank():
    return context().rank
if __name__ == "__main__":
    print(elastic_launch(LaunchConfig(nproc_per_node=2), rank)())
P
environment/bin/python launch.py)"
rm launch.py
same 'completions and manual pages of the wheel' \
  'share/bash-completion/completions/ferrun share/fish/vendor_completions.d/ferrun.fish share/man/man1/ferrun.1 share/man/man7/ferrun-rendezvous.7 share/zsh/site-functions/_ferrun' \
  "$(cd environment && find share -type f -not -path '*/python-wheels/*' | sort | paste -sd ' ')"
"${pip[@]}" uninstall -q -y ferrun 2>/dev/null
same 'the wheel: nothing is left' '' "$(diff <(printf '%s\n' "$with_environment") \
  <(find environment -not -path '*__pycache__*' | sort) | grep '^[<>].*\(ferrun\|bin\)' || true)"
rm -r environment
nothing_left 'the wheel'

printf '%d passed, 0 failed\n' "$passed"
