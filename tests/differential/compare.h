// What torchrun and ferrun made of a row, held against the intended differences.
#pragma once

#include <string>
#include <vector>

#include "tests/differential/play.h"
#include "tests/differential/table.h"

namespace ferrun::differential {

// An aspect in which the two differ; a value that one of them does not have is null.
struct Divergence {
  std::string aspect;
  nlohmann::json theirs;
  nlohmann::json ours;
  std::string difference;  // the intended one that covers it; empty when none does
};

std::vector<Divergence> compare(const Row& row, const std::vector<Difference>& differences, const Seen& theirs,
                                const Seen& ours);

// The pins of the row whose aspect does not differ, or not so.
std::vector<std::string> idle_pins(const Row& row, const std::vector<Divergence>& found);

// docs/differences-from-torchrun.md. `recorded` is what torchrun answered, by the rows' names; ferrun's side of the
// examples is what the pins and rules of the table say.
std::string differences_page(const Table& table, const nlohmann::json& recorded);

}  // namespace ferrun::differential
