// The training of one epoch: what happens in a step, in the order in which a PyTorch user expects it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/result.h"
#include "worker/ddp/distributed_data_parallel.h"
#include "worker/ddp/grad_scaler.h"
#include "worker/ddp/lr_schedule.h"
#include "worker/ddp/moving_average.h"
#include "worker/ddp/optimizer.h"
#include "worker/ddp/process_group.h"
#include "worker/model/emotion_net.h"
#include "worker/train/batch_feed.h"
#include "worker/train/checkpointer.h"
#include "worker/train/evaluation.h"
#include "worker/train/progress.h"
#include "worker/train/sharded_loader.h"
#include "worker/train/step_graph.h"
#include "worker/train/step_ledger.h"
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
    int64_t accumulate = 1;   // batches in a step
    int64_t save_every = 0;   // steps between two checkpoints; 0: none within an epoch
    int64_t read_every = 1;   // steps whose loss is read at once; above 1 no step waits for its own numbers
    int64_t graph_batch = 0;  // samples of a step, of all ranks, that is recorded as a CUDA graph; 0: none is
    int64_t graph_warm_up = StepGraph::kWarmUp;  // such steps that are taken before as any other
    double clip_grad = 0.0;                      // the largest norm of a step's gradients; 0: no limit
    double label_smoothing = 0.0;
    at::Tensor class_weights = {};  // one float for each class, on the device; undefined: all alike
  };

  Trainer(const Parts& parts, const Options& options);
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  // Trains on what is left of the state's epoch. False: the ranks agreed to stop within it. A loss or a gradient that
  // is not finite is a failure that names step and learning rate, and leaves the weights as they were; under a gradient
  // scaler only when its scale has collapsed. With read_every above 1 it is noticed when the step's numbers are read.
  Result<bool> train_epoch();

 private:
  // What all ranks know of a step when it has been given to the device.
  struct Step {
    bool stop = false;                   // a rank was asked to stop
    std::optional<StepNumbers> numbers;  // where each step's are read at once
  };

  Result<Step> train_step(int64_t first_batch, int64_t batches);
  // A step's passes by the graph; `samples` are the step's, of all ranks. False: they are to be computed as any
  // other's.
  Result<bool> run_graph(const BatchFeed::Batch& batch, int64_t samples, double weight);
  // What is recorded.
  at::Tensor passes(const BatchTensors& batch, const at::Tensor& weight);
  // Puts a step's numbers into the state, or says that they are not finite.
  Status count(const StepNumbers& numbers);
  // The same for the steps that were not read yet. A collective.
  Status count_unread();
  bool reads_each_step() const { return options_.read_every <= 1; }
  // What the samples count in the mean of a step's loss: one each, or their classes' weights.
  double weight_of(const std::vector<int64_t>& labels) const;
  at::Tensor loss_of(const BatchTensors& batch, at::Tensor& logits);
  Status check_loss(const StepNumbers& numbers) const;
  Status step_optimizer();
  Error not_finite(const std::string& what, int64_t step) const;

  Parts parts_;
  Options options_;
  BatchFeed feed_;
  StepLedger ledger_;
  std::optional<StepGraph> graph_;
  std::vector<double> class_weights_;  // those of the options, on the host
};

}  // namespace ferrun::train
