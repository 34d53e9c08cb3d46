// The training loop: what happens in an epoch and in a step, in the order in which a PyTorch user expects it.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "worker/checkpoint/writer.h"
#include "worker/client/ferrun/client.h"
#include "worker/data/loader.h"
#include "worker/ddp/adam.h"
#include "worker/ddp/distributed_data_parallel.h"
#include "worker/ddp/distributed_sampler.h"
#include "worker/ddp/grad_scaler.h"
#include "worker/ddp/process_group.h"
#include "worker/ddp/step_lr.h"
#include "worker/model/emotion_net.h"
#include "worker/train/batch_tensors.h"
#include "worker/train/checkpoint_content.h"
#include "worker/train/ending.h"
#include "worker/train/epoch_plan.h"
#include "worker/train/evaluation.h"
#include "worker/train/options.h"
#include "worker/train/progress.h"
#include "worker/train/training_state.h"

namespace ferrun::train {

// What a worker is part of and computes with.
struct Job {
  client::Context context;
  std::shared_ptr<ddp::ProcessGroup> group;
  ComputeDevice device;
  int threads = 1;
};

// Every rank owns one and calls the same methods in the same order. Collectives throw; see ProcessGroup::explain.
class Trainer {
 public:
  Trainer(const TrainOptions& options, const Job& job, const data::Split& split, std::string output_directory);

  // Continues from a checkpoint. Failure: one line; the trainer must not run then.
  Status resume_from(const checkpoint::Value& checkpoint);
  // Trains until the last epoch, early stopping, or a stop signal (status 128 + signal, after a checkpoint).
  Ending run();

 private:
  Ending train();
  Result<bool> train_epoch();  // false: the ranks agreed to stop within it
  at::Tensor train_step(data::Batch batch, int64_t counted);
  at::Tensor loss_of(const BatchTensors& batch, at::Tensor& logits);
  Status finish_epoch(const SampleSums& validation);

  Status save_best();
  Status check_replicas();
  Status save(const char* name, bool launch, const checkpoint::WriteOptions& options = {});
  Status save_within_epoch();
  Status write_metrics();
  void show_start();
  void show_skipped();
  Ending stopped();
  RunParts parts() { return {model_, optimizer_, schedule_, scaler_, state_}; }
  RunIdentity identity() const;

  TrainOptions options_;
  Job job_;
  data::Split split_;
  std::string output_directory_;
  Arithmetic arithmetic_;
  int64_t batch_size_;  // of this rank
  ddp::DistributedSampler train_sampler_;
  ddp::DistributedSampler val_sampler_;
  data::Loader train_loader_;
  data::Loader val_loader_;
  model::EmotionNet model_;
  std::optional<ddp::DistributedDataParallel<model::EmotionNet>> network_;
  ddp::Adam optimizer_;
  ddp::StepLr schedule_;
  ddp::GradScaler scaler_;
  TrainingState state_;
  ProgressDisplay display_;
  int64_t shown_skipped_ = 0;
};

}  // namespace ferrun::train
