#include "worker/train/job.h"

#include <unistd.h>

#include "worker/model/emotion_net.h"

namespace ferrun::train {
namespace {

ddp::GroupOptions group_options(const ComputeDevice& device, std::chrono::seconds timeout,
                                const Environment& environment) {
  ddp::GroupOptions options;
  options.timeout = timeout;
  options.interface = environment.get_or("GLOO_SOCKET_IFNAME", "");
  if (device.is_cuda()) {
    options.attach = [device, timeout](c10d::ProcessGroup& group, const c10::intrusive_ptr<c10d::Store>& store) {
      device.cuda->attach_nccl(group, store, device.device.index(), timeout);
    };
  }
  return options;
}

}  // namespace

std::variant<Job, Ending> open_job(CommandContext& context, DeviceChoice choice, int threads,
                                   std::chrono::seconds timeout) {
  // Before anything asks LibTorch about CUDA: it remembers the first answer.
  const Result<ComputeDevice> device = choose_device(choice, context.worker.local_rank);
  if (!device) {
    Ending ending = Ending::failure(device.error());
    ending.tell = context.worker.rank == 0;
    return ending;
  }
  const Environment environment = Environment::from_block(environ);
  const Result<ddp::GroupAddress> address = ddp::group_address_from(environment);
  if (!address) {
    return Ending::failure(address.error());
  }
  auto group = ddp::ProcessGroup::create(*address, group_options(*device, timeout, environment));
  if (!group) {
    return Ending::failure(group.error());
  }
  context.group = *group;
  return Job{context.worker, *group, *device, set_compute_threads(threads, context.worker.local_world_size)};
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
