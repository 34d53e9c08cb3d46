// The options of a training run, as its parts take them.
#pragma once

#include <ATen/core/Tensor.h>

#include "common/result.h"
#include "worker/data/dataset.h"
#include "worker/ddp/grad_scaler.h"
#include "worker/ddp/lr_schedule.h"
#include "worker/ddp/optimizer.h"
#include "worker/ddp/process_group.h"
#include "worker/train/early_stopping.h"
#include "worker/train/evaluation.h"
#include "worker/train/graph_decision.h"
#include "worker/train/job.h"
#include "worker/train/options.h"
#include "worker/train/sharded_loader.h"

namespace ferrun::train {

// Without shuffling. Loaders made with copies of one result share the memory in which pictures are decoded.
ShardedLoaderOptions loader_options(const TrainOptions& options, const Job& job);
// Threads that read pictures, as --num-workers says.
int loader_threads(int requested, const Job& job);
// What --cache and --read-every come to on this device.
int64_t cache_bytes(const DataOptions& options, const ComputeDevice& device);
int64_t read_every(const TrainOptions& options, const ComputeDevice& device);
// What --cuda-graph comes to in this run.
GraphDecision graph_decision(const TrainOptions& options, const Job& job);

// The given one, or PyTorch's default for the optimizer.
double weight_decay(const TrainOptions& options);
ddp::OptimizerOptions optimizer_options(const TrainOptions& options);
ddp::LrScheduleOptions schedule_options(const TrainOptions& options);
ddp::GradScalerOptions scaler_options(const Arithmetic& arithmetic);
EarlyStopping early_stopping(const TrainOptions& options);

// A float for each class, by which the loss of its samples counts; undefined where all count alike. Failure: a class
// without pictures, which has no weight.
Result<at::Tensor> class_weights(const TrainOptions& options, const data::Dataset& pictures, c10::Device device);

}  // namespace ferrun::train
