// What has to be known of a round while it runs: who has finished, and whether somebody new may disturb it. Pure; owned
// by the coordinator machine, for all rounds: joins may disturb the job only so often, whichever round runs.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "common/time.h"
#include "rendezvous/job/ids.h"

namespace ferrun {

class RunningRound {
 public:
  struct Limits {
    size_t max_nodes = 1;
    Duration scale_interval{};
  };
  explicit RunningRound(Limits limits) : limits_(limits) {}

  // A round is prepared or found: what was known of an older one is forgotten.
  void begin(size_t nodes);
  // One worker has: from now on the round is completed by those who are in it.
  void note_success() { any_success_ = true; }
  void note_finished(int node_rank);
  bool has_finished(int node_rank) const { return finished_[static_cast<size_t>(node_rank)]; }
  // No node can be added.
  bool is_full() const { return finished_.size() >= limits_.max_nodes; }

  enum class Step {
    kRun,
    kSuccess,  // everybody has finished
    kScale,    // it is to be stopped for those who have joined
  };
  // `joined` are ready and not in the round; 0 while nobody may be taken in. Deadlines up to `judged` are over. A step
  // that scales begins the interval anew.
  Step step(size_t joined, TimePoint now, TimePoint judged);
  bool wants_to_scale(size_t joined) const { return joined > 0 && !any_success_ && !is_full(); }
  // When joins may disturb the round; none where they may at once.
  std::optional<TimePoint> scale_at() const { return scale_at_; }

  // Why one who has joined is not taken in; empty where nothing stands in its way.
  std::string spare_words(const RoundId& round, TimePoint now) const;

 private:
  Limits limits_;
  std::vector<bool> finished_;  // by node rank
  size_t finished_count_ = 0;
  bool any_success_ = false;
  std::optional<TimePoint> scale_at_;
};

}  // namespace ferrun
