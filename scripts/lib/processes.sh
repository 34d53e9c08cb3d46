# Finding processes by their place in the tree. Source it after common.sh.
# shellcheck shell=bash

# descendants PID: every process below PID, one a line.
descendants() {
  local child
  for child in $(cat /proc/"$1"/task/*/children 2>/dev/null); do
    printf '%s\n' "$child"
    descendants "$child"
  done
}

# worker_of_rank LAUNCHER RANK: the pid of the process below LAUNCHER that was started with RANK=RANK.
worker_of_rank() {
  local pid
  for pid in $(descendants "$1"); do
    if tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | grep -qx "RANK=$2"; then
      printf '%s\n' "$pid"
      return
    fi
  done
  return 1
}
