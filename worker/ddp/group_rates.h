// Learning rates, or momentums, of an optimizer's parameter groups.
#pragma once

#include <c10/util/Exception.h>

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

// One number counts for all groups. Throws c10::Error where there is another number of them than of groups.
inline GroupRates for_groups(GroupRates numbers, size_t groups, const char* what) {
  if (numbers.size() == 1) numbers.resize(groups, numbers.front());
  TORCH_CHECK(numbers.size() == groups, what, " is given for ", numbers.size(), " of ", groups, " parameter groups");
  return numbers;
}

}  // namespace ferrun::ddp
