// Whether a run's steps are recorded as a CUDA graph: --cuda-graph. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "worker/train/options.h"

namespace ferrun::train {

// What the answer depends on; the same on all ranks.
struct GraphTerms {
  bool on_gpu = false;
  int ranks = 1;
  int64_t batch_size = 1;   // of the job
  int64_t least_share = 1;  // pictures of a rank's batch that can be trained on
  int64_t accumulate = 1;
  int64_t read_every = 1;
  bool skips_pictures = false;
};

struct GraphDecision {
  bool use = false;
  std::string note = {};  // why not, where it was asked for; empty on a CPU, where the option changes nothing
};

// `auto` takes it on one rank: a step that cannot be recorded is then taken as any other. Several ranks would have to
// agree after the failure of one, in the middle of a reduction, so that theirs has to be asked for.
GraphDecision decide_graph(GraphChoice choice, const GraphTerms& terms);

}  // namespace ferrun::train
