# Shared by the scripts of this folder, within a bare system too: what each of them checks and counts.
# shellcheck shell=bash

passed=0
# same WHAT EXPECTED FOUND
same() {
  if [[ $2 != "$3" ]]; then
    printf 'FAILED: %s\n  expected: %s\n  found:    %s\n' "$1" "$2" "$3"
    exit 1
  fi
  passed=$((passed + 1))
  printf 'ok: %s\n' "$1"
}
