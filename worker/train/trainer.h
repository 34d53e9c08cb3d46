// The training of one epoch: what happens in a step, in the order in which a PyTorch user expects it.
#pragma once

#include <cstdint>
#include <vector>

#include "common/result.h"
#include "worker/ddp/distributed_data_parallel.h"
#include "worker/ddp/grad_scaler.h"
#include "worker/ddp/lr_schedule.h"
#include "worker/ddp/moving_average.h"
#include "worker/ddp/optimizer.h"
#include "worker/ddp/process_group.h"
#include "worker/model/emotion_net.h"
#include "worker/train/batch_tensors.h"
#include "worker/train/checkpointer.h"
#include "worker/train/evaluation.h"
#include "worker/train/progress.h"
#include "worker/train/sharded_loader.h"
#include "worker/train/training_state.h"

namespace ferrun::train {

// Every rank has one and calls the same methods in the same order. Collectives throw; see ProcessGroup::explain.
// Ownership: borrows everything. Thread rule: one thread.
class Trainer {
 public:
  struct Parts {
    ddp::DistributedDataParallel<model::EmotionNet>& network;
    ddp::Optimizer& optimizer;
    ddp::LrSchedule& schedule;
    ddp::GradScaler& scaler;
    ShardedLoader& loader;
    TrainingState& state;
    Checkpointer& checkpointer;
    ProgressDisplay& display;
    ddp::ProcessGroup& group;
    ddp::ExponentialMovingAverage* average = nullptr;  // of the network's weights; may be null
  };
  struct Options {
    Arithmetic arithmetic;
    int64_t accumulate = 1;  // batches in a step
    int64_t save_every = 0;  // steps between two checkpoints; 0: none within an epoch
    double clip_grad = 0.0;  // the largest norm of a step's gradients; 0: no limit
    double label_smoothing = 0.0;
    at::Tensor class_weights = {};  // one float for each class, on the device; undefined: all alike
  };

  Trainer(const Parts& parts, const Options& options);

  // Trains on what is left of the state's epoch. False: the ranks agreed to stop within it. A loss or a gradient that
  // is not finite is a failure that names step and learning rate, and leaves the weights as they were; under a gradient
  // scaler only when its scale has collapsed.
  Result<bool> train_epoch();

 private:
  // The sums of a step over all ranks.
  struct StepSums {
    SampleSums samples;
    bool stop = false;        // a rank was asked to stop
    int64_t not_finite = 0;   // ranks whose loss was not
    int64_t first_rank = -1;  // of them, where it is one alone
  };

  Result<StepSums> train_step(int64_t first_batch, int64_t batches);
  // What the samples count in the mean of a step's loss: one each, or their classes' weights.
  double weight_of(const std::vector<int64_t>& labels) const;
  at::Tensor loss_of(const BatchTensors& batch, at::Tensor& logits);
  Status check_loss(const StepSums& sums);
  Status step_optimizer();
  Error not_finite(const std::string& what) const;

  Parts parts_;
  Options options_;
  std::vector<double> class_weights_;  // those of the options, on the host
};

}  // namespace ferrun::train
