// Which nodes are kept out for a while, because they come and go and disturb the job each time. Pure.
//
// Owned by the coordinator machine. Nodes are known by a name that outlives their agents: host name and first
// advertised address.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>

#include "common/time.h"

namespace ferrun {

struct FlapLimits {
  Duration window{};     // in which losses count
  int losses = 3;        // of one node within the window: it is barred, and again at each further one
  Duration first_bar{};  // then twice as long each time, until a window has passed without a loss
  Duration longest_bar{};
};

class FlapPolicy {
 public:
  explicit FlapPolicy(FlapLimits limits) : limits_(limits) {}

  // The node was lost without a goodbye. Returns for how long it is barred, if it is.
  std::optional<Duration> lost(const std::string& node, TimePoint now);
  // Bars it at once, for another reason.
  Duration bar(const std::string& node, TimePoint now);
  // How much longer it is kept out; none when it may take part.
  std::optional<Duration> barred(const std::string& node, TimePoint now) const;

 private:
  struct Record {
    std::deque<TimePoint> losses;  // within the window, oldest first
    int bars = 0;                  // in a row
    TimePoint barred_until{};
    TimePoint last{};  // loss or bar
  };
  Record& record(const std::string& node, TimePoint now);
  // Those of which nothing has been heard for a window are forgotten.
  void prune(TimePoint now);

  FlapLimits limits_;
  std::map<std::string, Record> records_;
  TimePoint prune_at_{};
};

}  // namespace ferrun
