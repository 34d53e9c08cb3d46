// Decides whether the readers of workers' output go on, wait or lose lines when the queue of one destination fills up.
//
// A destination that is only slower than the workers makes them wait for it, as it would if they wrote to it
// themselves, and loses nothing. One that does not make room within the patience is taken for stopped: its lines are
// lost until its queue has drained, so that it delays nobody for longer than the patience once. Thread rule: none, a
// value.
#pragma once

#include <cstddef>
#include <optional>

#include "common/time.h"

namespace ferrun {

class LogFlow {
 public:
  enum class Verdict { kAccept, kWait, kLose };

  struct Limits {
    size_t high = 0;  // queued bytes from which readers wait
    size_t low = 0;   // queued bytes at which they go on
    Duration patience{};
  };

  explicit LogFlow(Limits limits) : limits_(limits) {}

  // What to do with output that is ready now while `queued` bytes wait to be written.
  Verdict judge(size_t queued, TimePoint now);

  // While readers wait: when judge() has to be asked again at the latest.
  std::optional<TimePoint> next_deadline() const;

 private:
  Limits limits_;
  Verdict verdict_ = Verdict::kAccept;
  TimePoint wait_until_{};
};

}  // namespace ferrun
