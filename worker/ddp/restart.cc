#include "worker/ddp/restart.h"

#include <ATen/ops/full.h>

#include "worker/checkpoint/checkpoint_folder.h"

namespace ferrun::ddp {

std::optional<std::string> resume_path(ProcessGroup& group, const std::string& folder) {
  const std::string own = group.rank() == 0 ? checkpoint::latest_checkpoint(folder).value_or("") : "";
  const std::string path = group.broadcast_bytes(own);
  return path.empty() ? std::nullopt : std::optional(path);
}

bool save_now(ProcessGroup& group) {
  at::Tensor asked = at::full({1}, client::noted_stop_signal() != 0 ? 1.0 : 0.0, at::kFloat);
  group.all_reduce_sum(asked);
  return asked.item<float>() > 0;
}

}  // namespace ferrun::ddp
