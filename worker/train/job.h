// The common beginning of the commands that run on all ranks.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <variant>

#include "worker/train/commands.h"
#include "worker/train/device.h"
#include "worker/train/ending.h"

namespace ferrun::train {

// What a worker is part of and computes with.
struct Job {
  client::Context context;
  std::shared_ptr<ddp::ProcessGroup> group;
  ComputeDevice device;
  int threads = 1;
};

// Chooses the device, connects the ranks (context.group) and sets the computing threads.
std::variant<Job, Ending> open_job(CommandContext& context, DeviceChoice device, const GpuArithmetic& arithmetic,
                                   int threads, std::chrono::seconds timeout);

// The options that the model and the world size restrict: picture size and batch size.
Status check_sizes(int image_size, int64_t batch_size, int world_size);

}  // namespace ferrun::train
