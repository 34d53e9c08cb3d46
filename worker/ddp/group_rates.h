// Learning rates, or momentums, of an optimizer's parameter groups.
#pragma once

#include <initializer_list>
#include <utility>
#include <vector>

namespace ferrun::ddp {

// A number for each parameter group; a single one for an optimizer with one group.
class GroupRates : public std::vector<double> {
 public:
  GroupRates(double one) : std::vector<double>{one} {}                              // NOLINT: one group's
  GroupRates(std::vector<double> rates) : std::vector<double>(std::move(rates)) {}  // NOLINT
  GroupRates(std::initializer_list<double> rates) : std::vector<double>(rates) {}   // NOLINT
};

}  // namespace ferrun::ddp
