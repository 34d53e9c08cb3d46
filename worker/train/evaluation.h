// Loss, accuracy and confusions of a model on a data set, on all ranks together.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "common/result.h"
#include "worker/ddp/process_group.h"
#include "worker/model/emotion_net.h"
#include "worker/train/device.h"
#include "worker/train/metrics.h"
#include "worker/train/sharded_loader.h"

namespace ferrun::train {

// How a forward pass is computed.
struct Arithmetic {
  ComputeDevice device;
  std::optional<c10::ScalarType> autocast;  // nothing: full precision
  bool channels_last = true;
};

// One batch's numbers where they were computed, as doubles in one tensor, which nobody waits for: the sum of its
// samples' cross entropies, the hits, the samples. `logits` may have more rows than there are targets; without targets
// all are 0.
at::Tensor batch_numbers(const at::Tensor& logits, const at::Tensor& targets);

// model->forward(pixels) in evaluation mode on the CPU, without gradients. `threads` threads take a part of the
// pictures each, through the whole network, which costs less than all of them meeting at the end of each layer. Fewer
// pictures than threads are left for LibTorch's own threads. One thread calls; LibTorch's number of threads must be
// `threads`.
at::Tensor forward_in_parts(model::EmotionNet& model, const at::Tensor& pixels, int threads);

struct Evaluation {
  SampleSums sums;
  // Row by row: of the samples of class `row`, how many were taken for class `column`.
  std::vector<int64_t> confusion;
  bool stopped = false;  // a rank was asked to stop, and the rest was left out
};

// Sets the model to evaluation and leaves it so. Every rank evaluates its share; the sums of all ranks come back, in
// which every sample counts once. `what` is for the ranks' activity ("validation"). Fails on a picture that cannot be
// read, and when none could be. Collectives throw. The loader gives what BatchFeed::for_device says.
Result<Evaluation> evaluate(model::EmotionNet& model, ShardedLoader& loader, const Arithmetic& arithmetic,
                            ddp::ProcessGroup& group, const char* what);

}  // namespace ferrun::train
