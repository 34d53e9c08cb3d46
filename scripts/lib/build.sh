# Configure and build a preset. Source it after common.sh.
# shellcheck shell=bash

# As many compilers at once as there are cores, but at most one for every 1.5 GiB of memory: a file that includes
# LibTorch's headers takes that much.
build_jobs() {
  local cores memory
  cores=$(nproc)
  memory=$(($(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo) / 1536 / 1024))
  if ((memory < 1)); then memory=1; fi
  printf '%s\n' "$((cores < memory ? cores : memory))"
}

# build_preset NAME [TARGET...]: everything, or these targets alone.
build_preset() {
  local preset=$1
  shift
  local -a targets=()
  if (($#)); then targets=(--target "$@"); fi
  say "building the preset $preset"
  cmake --preset "$preset" --log-level=WARNING || fail "cmake --preset $preset failed (its words are above)"
  cmake --build --preset "$preset" --parallel "$(build_jobs)" "${targets[@]}" ||
    fail "the build of preset $preset failed (the compiler's words are above)"
}
