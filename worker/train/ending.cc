#include "worker/train/ending.h"

#include <ATen/ops/zeros.h>

namespace ferrun::train {

std::optional<Ending> agree(ddp::ProcessGroup& group, const Status& own) {
  at::Tensor failed = at::zeros({group.world_size()}, at::kInt);
  int* const flags = failed.mutable_data_ptr<int>();
  flags[group.rank()] = own ? 0 : 1;
  group.all_reduce_sum(failed);
  int lowest = 0;
  while (lowest < group.world_size() && flags[lowest] == 0) {
    ++lowest;
  }
  if (lowest == group.world_size()) {
    return std::nullopt;
  }
  const bool mine = group.rank() == lowest;
  const std::string kind = group.broadcast_bytes(mine && own.error().kind == ErrorKind::kUsage ? "u" : "", lowest);
  Ending ending;
  ending.status = kind.empty() ? 1 : kExitUsage;
  ending.message = group.broadcast_bytes(mine ? own.error().message : "", lowest);
  ending.tell = mine;
  return ending;
}

}  // namespace ferrun::train
