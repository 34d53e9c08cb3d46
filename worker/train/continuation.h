// How the options of a continued run come about: what was given counts, what was not is as it was.
#pragma once

#include <string>
#include <vector>

#include "common/result.h"
#include "worker/checkpoint/value.h"
#include "worker/train/options.h"

namespace ferrun::train {

// As the command line and the checkpoint spell them.
const char* name_of(ScheduleChoice schedule);
const char* name_of(OptimizerChoice optimizer);

struct Continuation {
  TrainOptions options;
  // The learning rate or its schedule were given and differ: the schedule is the new one from its beginning on, at the
  // checkpoint's epoch.
  bool new_schedule = false;
  // Entries of the optimizer's parameter group that were given, by PyTorch's names.
  checkpoint::Dict hyperparameters;
  // What was given and does not count, for a person.
  std::vector<std::string> notes = {};
};

// `asked` with what `checkpoint` says of options that were not given; what Python's does not say in words its
// optimizer's and its schedule's state tell. An option out of any range: one line.
Result<Continuation> continue_options(const TrainOptions& asked, const checkpoint::Value& checkpoint);

}  // namespace ferrun::train
