#include "tests/sim/run.h"

#include <algorithm>

#include "tests/sim/random_job.h"
#include "tests/sim/world.h"

namespace ferrun::sim {

std::optional<Violation> run_seed(uint64_t seed, const RunOptions& options, Totals& totals) {
  const NamedMutant* const named = find_mutant(options.mutant);
  const JobPlan plan = random_job(seed, options.nodes, options.with_etcd || (named != nullptr && named->with_etcd));
  Trace silent;
  const std::unique_ptr<Mutant> mutant = named == nullptr ? nullptr : named->make();
  World world(plan, seed, options.trace == nullptr ? silent : *options.trace, options.coverage, mutant.get());
  const std::optional<Violation> violation = world.run();
  ++totals.seeds;
  totals.steps += world.steps();
  totals.rounds += world.rounds();
  totals.slowest_settling = std::max(totals.slowest_settling, world.settled_share());
  ++totals.ends[world.ending()];
  return violation;
}

std::string Totals::report() const {
  std::string text = std::to_string(seeds) + " jobs, " + std::to_string(rounds) + " rounds, " + std::to_string(steps) +
                     " steps; the slowest to settle took " + std::to_string(static_cast<int>(slowest_settling * 100)) +
                     " % of the time allowed\n";
  for (const auto& [end, times] : ends) text += "  " + end + ": " + std::to_string(times) + "\n";
  return text;
}

}  // namespace ferrun::sim
