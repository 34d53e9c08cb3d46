// One seed from its plan to its verdict.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "tests/sim/checker.h"
#include "tests/sim/coverage.h"
#include "tests/sim/trace.h"

namespace ferrun::sim {

struct RunOptions {
  std::optional<int> nodes;
  Trace* trace = nullptr;
  Coverage* coverage = nullptr;
  std::string mutant;  // empty: none
  bool with_etcd = false;
};

// Over many runs.
struct Totals {
  uint64_t seeds = 0;
  uint64_t steps = 0;
  uint64_t rounds = 0;
  double slowest_settling = 0;  // share of what is allowed
  std::map<std::string, uint64_t> ends;
  std::string report() const;
};

std::optional<Violation> run_seed(uint64_t seed, const RunOptions& options, Totals& totals);

}  // namespace ferrun::sim
