// Between rounds: whether the next one may begin, since when enough nodes are there, and why the last one could not
// start. Pure; owned by the coordinator machine.
#pragma once

#include <optional>
#include <string>

#include "common/time.h"
#include "rendezvous/coordinator/round_decision.h"

namespace ferrun {

class RoundGathering {
 public:
  struct Limits {
    int min_nodes = 1;
    int max_nodes = 1;
    Duration last_call{};  // once min_nodes are there, for others to come
  };
  explicit RoundGathering(Limits limits) : limits_(limits) {}

  // Whether a round may begin. The limits and the last call are this part's; the caller knows the rest of `nodes`.
  bool step(Gathering nodes, TimePoint now, TimePoint judged);
  // A round may begin, but for something that nodes have no part in.
  void wait_for(std::string what, std::optional<TimePoint> until = std::nullopt);
  // No round begins before: --restart-delay after a failure.
  void hold_back(TimePoint until) { held_until_ = until; }
  void note_start();
  void note_failed_start(const std::string& reason) { last_failure_ = reason; }

  // As the last step, or what had to be waited for, left it: why a round begins or not; when time alone changes that.
  const std::string& why() const { return decision_.why; }
  std::optional<TimePoint> deadline() const { return decision_.until; }
  // The decision as it would be now.
  RoundDecision look(Gathering nodes, TimePoint judged) const { return decide_round(complete(nodes), judged); }
  // "; the last round could not start: node1 ..."; empty once one has.
  std::string failed_start_words() const;

 private:
  Gathering& complete(Gathering& nodes) const;

  Limits limits_;
  RoundDecision decision_;
  std::optional<TimePoint> last_call_end_;
  std::optional<TimePoint> held_until_;
  std::string last_failure_;
};

}  // namespace ferrun
