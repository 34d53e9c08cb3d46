// The invariants notice mistakes: each mutant is caught by the invariant that is meant for it within 2,000 seeds.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <ostream>

#include "tests/sim/mutant.h"
#include "tests/sim/run.h"

namespace ferrun::sim {

void PrintTo(const NamedMutant& mutant, std::ostream* out) { *out << mutant.name; }

namespace {

constexpr uint64_t kSeeds = 2000;

class Mutants : public ::testing::TestWithParam<NamedMutant> {};

TEST_P(Mutants, AreCaught) {
  const NamedMutant& mutant = GetParam();
  Totals totals;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const auto violation = run_seed(seed, {std::nullopt, nullptr, nullptr, mutant.name}, totals);
    if (!violation || violation->invariant != mutant.invariant) continue;
    std::printf("%s (%s): %s in seed %llu: %s\n", mutant.name.c_str(), mutant.mistake.c_str(), mutant.invariant.c_str(),
                static_cast<unsigned long long>(seed), violation->what.c_str());
    return;
  }
  FAIL() << mutant.name << " (" << mutant.mistake << ") is not noticed by " << mutant.invariant;
}

INSTANTIATE_TEST_SUITE_P(All, Mutants, ::testing::ValuesIn(all_mutants()), [](const auto& test) {
  std::string name = test.param.name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace ferrun::sim
