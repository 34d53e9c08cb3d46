// What rank 0 shows while it trains: a bar on a terminal, plain lines otherwise, and a line for each epoch. Other ranks
// show nothing.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "worker/train/metrics.h"

namespace ferrun::train {

struct StepReport {
  int64_t epoch = 1;  // counted from 1
  int64_t epochs = 1;
  int64_t step = 0;  // done in this epoch
  int64_t steps = 1;
  SampleSums sums;  // of the epoch so far, all ranks
  double images_per_second = 0.0;
  double seconds_left = 0.0;  // of the epoch
};

// "epoch 3/120 [=====>    ] 12/55  333 images/s  loss 1.8231  acc 0.281  ETA 0:07"; the bar fills what `width` leaves.
std::string bar_line(const StepReport& report, int width);
std::string plain_line(const StepReport& report);
// "1:02:07", "0:07".
std::string clock_text(double seconds);

class ProgressDisplay {
 public:
  using Clock = std::chrono::steady_clock;

  // A display that is off shows nothing at all (ranks other than 0).
  ProgressDisplay(bool on, int64_t epochs);

  void say(const std::string& line);
  // `samples_before`: samples of this epoch that an earlier process trained on.
  void begin_epoch(int64_t epoch, int64_t steps, double samples_before);
  void step_done(int64_t step, const SampleSums& sums);
  // Shows the epoch's line; clears the bar.
  void epoch_done(const EpochMetrics& metrics, bool best);

 private:
  double images_per_second(const SampleSums& sums) const;
  void clear_bar();

  bool on_;
  bool terminal_;
  int64_t epochs_;
  int64_t epoch_ = 1;
  int64_t steps_ = 1;
  int64_t first_step_ = -1;
  double samples_before_ = 0.0;
  double training_rate_ = 0.0;
  Clock::time_point begun_;
  Clock::time_point shown_;
};

}  // namespace ferrun::train
