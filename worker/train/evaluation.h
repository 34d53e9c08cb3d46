// Loss and accuracy of a model on a data set, on all ranks together.
#pragma once

#include <optional>

#include "common/result.h"
#include "worker/data/loader.h"
#include "worker/ddp/distributed_sampler.h"
#include "worker/ddp/process_group.h"
#include "worker/model/emotion_net.h"
#include "worker/train/device.h"
#include "worker/train/metrics.h"

namespace ferrun::train {

// How a forward pass is computed.
struct Arithmetic {
  ComputeDevice device;
  std::optional<c10::ScalarType> autocast;  // nothing: full precision
  bool channels_last = true;
};

// The sums over one batch: cross entropy and hits of its first `counted` samples, as a tensor of four doubles on the
// CPU: loss, correct, count, and 0 for the caller's use.
at::Tensor batch_sums(const at::Tensor& logits, const at::Tensor& targets, int64_t counted);
SampleSums to_sums(const at::Tensor& sums);

// Sets the model to evaluation and leaves it so. Every rank evaluates its part; the sums of all ranks come back, in
// which every sample counts once. Fails on a picture that cannot be read. Collectives throw.
Result<SampleSums> evaluate(model::EmotionNet& model, data::Loader& loader, const ddp::DistributedSampler& sampler,
                            int64_t batch_size, const Arithmetic& arithmetic, ddp::ProcessGroup& group);

}  // namespace ferrun::train
