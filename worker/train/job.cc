#include "worker/train/job.h"

#include <ATen/ops/full.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "worker/model/emotion_net.h"
#include "worker/train/one_device.h"

namespace ferrun::train {
namespace {

// On a thread of Gloo's: the program's own way out waits for a collective that never ends.
void end_at_once(const ddp::Failure& failure) {
  client::report_error(failure.message, client::Cause::kOwn);
  std::fprintf(stderr, "worker: %s\n", failure.message.c_str());
  std::fflush(stdout);
  _exit(1);
}

ddp::GroupOptions group_options(std::chrono::seconds timeout, const Environment& environment) {
  ddp::GroupOptions options;
  options.timeout = timeout;
  options.interface = environment.get_or("GLOO_SOCKET_IFNAME", "");
  options.on_abort = end_at_once;
  return options;
}

// Where each rank found for itself where to compute, all of them must have found the same: NCCL would wait for ever for
// a rank that has no GPU of its own. They compute in bfloat16 by default when every one of them can.
ComputeDevice agreed_device(const ComputeDevice& own, ddp::ProcessGroup& group) {
  at::Tensor ranks_with = at::full({2}, own.is_cuda() ? 1 : 0, at::kLong);
  ranks_with.mutable_data_ptr<int64_t>()[1] = own.bfloat16 ? 1 : 0;
  group.all_reduce_sum(ranks_with);
  const int64_t number = ranks_with.const_data_ptr<int64_t>()[0];
  if (number == 0 || number == group.world_size()) {
    ComputeDevice agreed = own;
    agreed.bfloat16 = ranks_with.const_data_ptr<int64_t>()[1] == group.world_size();
    return agreed;
  }
  if (group.rank() == 0) {
    std::fprintf(stderr,
                 "worker: %lld of %d ranks have a GPU of their own, so that all compute on the CPU; start one rank for "
                 "each GPU (--device cuda tells what is missing)\n",
                 static_cast<long long>(number), group.world_size());
  }
  return {};
}

}  // namespace

std::variant<Job, Ending> open_job(CommandContext& context, DeviceChoice choice, const GpuArithmetic& arithmetic,
                                   int threads, std::chrono::seconds timeout) {
  // Gloo writes to a peer that may be gone; the failed write is told, where the signal would end this rank without a
  // word. Python ignores it too.
  std::signal(SIGPIPE, SIG_IGN);
  // Before anything asks LibTorch about CUDA: it remembers the first answer.
  const Result<ComputeDevice> device =
      choose_device(choice, arithmetic, context.worker.local_rank, context.worker.local_world_size);
  if (!device) {
    Ending ending = Ending::failure(device.error());
    // One rank tells. Where a single device is named, rank 0 may have taken it, and the next one has none.
    const char* const visible = std::getenv("CUDA_VISIBLE_DEVICES");
    const bool may_have_one = visible != nullptr && names_one_device(visible);
    ending.tell = context.worker.local_rank == 0 || (may_have_one && context.worker.local_rank == 1);
    return ending;
  }
  const Environment environment = Environment::from_block(environ);
  const Result<ddp::GroupAddress> address = ddp::group_address_from(environment);
  if (!address) {
    return Ending::failure(address.error());
  }
  auto group = ddp::ProcessGroup::create(*address, group_options(timeout, environment));
  if (!group) {
    return Ending::failure(group.error());
  }
  context.group = *group;
  const ComputeDevice agreed = agreed_device(*device, **group);
  if (agreed.is_cuda()) {
    (*group)->attach_backend([&](c10d::ProcessGroup& to, const c10::intrusive_ptr<c10d::Store>& store) {
      agreed.cuda->attach_nccl(to, store, agreed.device.index(), timeout);
    });
  }
  return Job{context.worker, *group, agreed, set_compute_threads(threads, context.worker.local_world_size)};
}

Status check_sizes(int image_size, int64_t batch_size, int world_size) {
  const std::string bad_size = model::check_image_size(image_size);
  if (!bad_size.empty()) {
    return Error{ErrorKind::kUsage, "--image-size " + bad_size};
  }
  if (batch_size < world_size) {
    return Error{ErrorKind::kUsage, "--batch-size " + std::to_string(batch_size) +
                                        " is less than one picture for each of " + std::to_string(world_size) +
                                        " ranks"};
  }
  return ok_status();
}

}  // namespace ferrun::train
