#!/usr/bin/env bash
# Run by newer_compiler.sh inside the other system, which has the sources in /source.
set -euo pipefail
cd /source
. scripts/lib/build.sh
. tests/install/same.sh

g++ --version | head -n 1
same 'CMake has nothing to warn of' '' "$(cmake -B build -G Ninja --log-level=WARNING -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_UNITY_BUILD=ON -DFERRUN_WITH_TORCH=OFF -DFERRUN_BUILD_BENCH=OFF 2>&1 >/dev/null)"
cmake --build build --parallel "$(build_jobs)" --target ferrun ferrun_client common_test store_test launcher_config_test launcher_machines_test
same 'workers run' $'rank 0 of 2\nrank 1 of 2' \
  "$(build/bin/ferrun --nproc-per-node=2 --no-python sh -c 'echo "rank $RANK of $WORLD_SIZE"' | sort)"
same 'an attempt follows a failed one' $'0: attempt 1\n1: attempt 1' "$(build/bin/ferrun --nproc-per-node=2 --max-restarts=1 --no-python \
  sh -c 'if [ $TORCHELASTIC_RESTART_COUNT = 0 ]; then exit 3; fi; echo "$RANK: attempt $TORCHELASTIC_RESTART_COUNT"' 2>/dev/null | sort)"
for program in common_test store_test launcher_config_test launcher_machines_test; do
  status=0
  "build/tests/$program" --gtest_brief=1 || status=$?
  same "$program" 0 "$status"
done
printf '%d passed, 0 failed\n' "$passed"
