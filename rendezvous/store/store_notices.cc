#include "rendezvous/store/store_notices.h"

#include <algorithm>
#include <utility>

namespace ferrun {

std::optional<std::string> StoreNotices::warning(Kind kind, const std::string& line, TimePoint now) {
  Budget& budget = budgets_[static_cast<size_t>(kind)];
  if (budget.left == kBurst) budget.refilled = now;
  const Duration::rep intervals = (now - budget.refilled) / kInterval;
  budget.left = static_cast<int>(std::min<Duration::rep>(budget.left + intervals, kBurst));
  budget.refilled += intervals * kInterval;
  if (budget.left == 0) {
    ++budget.unsaid;
    return std::nullopt;
  }
  --budget.left;
  const size_t unsaid = std::exchange(budget.unsaid, 0);
  return unsaid == 0 ? line : line + " (and " + std::to_string(unsaid) + " more like it before)";
}

}  // namespace ferrun
