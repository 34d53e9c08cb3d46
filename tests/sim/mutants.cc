#include <algorithm>

#include "tests/sim/mutant.h"

namespace ferrun::sim {

const std::vector<NamedMutant>& all_mutants() {
  static const std::vector<NamedMutant> kAll = [] {
    std::vector<NamedMutant> all = coordinator_mutants();
    for (NamedMutant& mutant : node_mutants()) all.push_back(std::move(mutant));
    for (NamedMutant& mutant : hosting_mutants()) all.push_back(std::move(mutant));
    for (NamedMutant& mutant : seat_mutants()) all.push_back(std::move(mutant));
    return all;
  }();
  return kAll;
}

const NamedMutant* find_mutant(const std::string& name) {
  const auto found = std::ranges::find(all_mutants(), name, &NamedMutant::name);
  return found == all_mutants().end() ? nullptr : &*found;
}

std::unique_ptr<Mutant> make_mutant(const std::string& name) {
  const NamedMutant* const found = find_mutant(name);
  return found == nullptr ? nullptr : found->make();
}

}  // namespace ferrun::sim
