#include "worker/ddp/replica_check.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>

#include <cstring>

namespace ferrun::ddp {
namespace {

// FNV-1a's multiplication on words of eight bytes, with a shift that lets high bits reach low ones.
constexpr uint64_t kBasis = 0xcbf29ce484222325;
constexpr uint64_t kPrime = 0x100000001b3;

uint64_t mixed(uint64_t state, uint64_t word) {
  state = (state ^ word) * kPrime;
  return state ^ (state >> 32);
}

uint64_t mixed_bytes(uint64_t state, const char* bytes, size_t size) {
  for (; size >= sizeof(uint64_t); bytes += sizeof(uint64_t), size -= sizeof(uint64_t)) {
    uint64_t word = 0;
    std::memcpy(&word, bytes, sizeof word);
    state = mixed(state, word);
  }
  uint64_t rest = 0;
  std::memcpy(&rest, bytes, size);
  return mixed(state, rest);
}

}  // namespace

uint64_t digest(const std::vector<at::Tensor>& tensors) {
  const at::NoGradGuard no_grad;
  uint64_t state = kBasis;
  for (const at::Tensor& tensor : tensors) {
    for (const int64_t size : tensor.sizes()) state = mixed(state, static_cast<uint64_t>(size));
    const at::Tensor plain = tensor.detach().cpu().contiguous();
    state = mixed_bytes(state, static_cast<const char*>(plain.const_data_ptr()), plain.nbytes());
  }
  return state;
}

std::vector<int> ranks_that_differ(const std::vector<at::Tensor>& tensors, ProcessGroup& group) {
  if (group.alone()) return {};
  int64_t own = 0;
  const uint64_t unsigned_own = digest(tensors);
  std::memcpy(&own, &unsigned_own, sizeof own);
  const std::vector<at::Tensor> all = group.all_gather(at::full({1}, own, at::kLong));
  std::vector<int> differing;
  for (size_t rank = 1; rank < all.size(); ++rank) {
    if (all[rank].item<int64_t>() != all[0].item<int64_t>()) differing.push_back(static_cast<int>(rank));
  }
  return differing;
}

}  // namespace ferrun::ddp
