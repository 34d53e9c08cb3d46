// The job that a seed stands for.
#pragma once

#include <optional>

#include "tests/sim/job_plan.h"

namespace ferrun::sim {

// 3 to 16 nodes for 95 of 100 seeds, 200 to 260 for the others, unless `nodes` says how many.
// With etcd agents meet by a seat in it.
JobPlan random_job(uint64_t seed, std::optional<int> nodes = std::nullopt, bool with_etcd = false);

// What it is, in a few lines: size, settings, faults.
std::string describe(const JobPlan& plan);

}  // namespace ferrun::sim
