#!/usr/bin/env bash
# tests/install/foreign_processor.sh WHEEL: the wheel for another processor, as far as qemu-user-static runs it: version,
# options, completions, what a job would be, a refusal. Workers are not started: the emulation has no PR_SET_CHILD_SUBREAPER,
# without which ferrun does not put its sentinel above a job.
set -euo pipefail
wheel=$(realpath "$1")
processor=${wheel##*_}
processor=${processor%.whl}
[[ $processor == 64 ]] && processor=x86_64
emulator=qemu-$processor-static
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
command -v "$emulator" >/dev/null || { echo "skipped: no $emulator here"; exit 77; }
case $processor in aarch64) architecture=arm64 ;; *) architecture=amd64 ;; esac

# The C library of that processor; nothing of it is installed.
mkdir -p apt/lists/partial apt/archives/partial root
apt=(apt-get -q -o "APT::Architecture=$architecture" -o "APT::Architectures=$architecture" -o Debug::NoLocking=1
  -o "Dir::State::lists=$folder/apt/lists" -o "Dir::Cache=$folder/apt" -o APT::Sandbox::User="$(id -un)")
"${apt[@]}" update >apt/log 2>&1 || true
"${apt[@]}" download libc6 >>apt/log 2>&1 || { echo "skipped: no C library for $architecture"; exit 77; }
dpkg-deb -x libc6_*.deb root
python3 -m zipfile -e "$wheel" wheel
program=$(echo wheel/ferrun-*.data/scripts/ferrun)
chmod +x "$program"
ferrun() { timeout 120 "$emulator" -L root "$program" "$@"; }

passed=0
# holds WHAT TEXT EXPECTED
holds() {
  if [[ $2 != *"$3"* ]]; then
    printf 'FAILED: %s\n  expected: %s\n  found:    %s\n' "$1" "$3" "$2"
    exit 1
  fi
  passed=$((passed + 1))
  printf 'ok: %s\n' "$1"
}

holds 'made for it' "$(readelf -h "$program")" AArch64
holds '--version' "$(ferrun --version)" "for $processor by"
holds '--help' "$(ferrun --help)" --nproc-per-node
holds 'completions' "$(cat wheel/ferrun-*.data/data/share/bash-completion/completions/ferrun)" --nproc-per-node
holds 'what it would do' "$(ferrun --dry-run --nproc-per-node=2 true)" 2
status=0
ferrun --nproc-per-node=many true 2>/dev/null || status=$?
holds 'a command line that is refused' "$status" 2
printf '%d passed, 0 failed\n' "$passed"
