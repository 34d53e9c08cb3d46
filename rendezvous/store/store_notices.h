// Which of the store's lines a person has to see. Pure.
//
// A worker whose connection is refused or closed hangs or fails elsewhere, so the reason is a warning; but whoever
// scans the port must not be able to fill the log. Of each kind a few lines are warnings, and then one in a while.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>

#include "common/time.h"

namespace ferrun {

class StoreNotices {
 public:
  enum class Kind { kAddress, kConnection, kListener };

  static constexpr int kBurst = 5;
  static constexpr Duration kInterval = std::chrono::minutes(1);

  // The line as it is to be warned of, with the number of those of its kind that were not; none when it is not. Called
  // with a time that never goes back.
  std::optional<std::string> warning(Kind kind, const std::string& line, TimePoint now);

 private:
  static constexpr size_t kKinds = 3;
  struct Budget {
    int left = kBurst;
    TimePoint refilled{};  // counts while the budget is not full
    size_t unsaid = 0;
  };
  std::array<Budget, kKinds> budgets_;
};

}  // namespace ferrun
