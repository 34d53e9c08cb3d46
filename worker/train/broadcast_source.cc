#include "worker/train/broadcast_source.h"

#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>

#include <algorithm>
#include <string>
#include <utility>

namespace ferrun::train {
namespace {

constexpr uint64_t kBlockBytes = uint64_t{1} << 16;

}  // namespace

BroadcastSource::BroadcastSource(std::unique_ptr<checkpoint::ByteSource> file, ddp::ProcessGroup& group)
    : file_(std::move(file)), group_(group) {
  at::Tensor size = at::full({1}, group.rank() == 0 ? static_cast<int64_t>(file_->size()) : 0, at::kLong);
  group_.broadcast(size);
  size_ = static_cast<uint64_t>(size.item<int64_t>());
}

Status BroadcastSource::read_at(uint64_t offset, std::span<uint8_t> into) const {
  if (offset > size_ || into.size() > size_ - offset) return Error{ErrorKind::kUser, "ends before its time"};
  if (into.size() >= kBlockBytes) return fetch(offset, into);
  const bool in_block = offset >= block_offset_ && offset + into.size() <= block_offset_ + block_.size();
  if (!in_block) {
    block_.resize(std::min(kBlockBytes, size_ - offset));
    block_offset_ = offset;
    if (Status fetched = fetch(offset, block_); !fetched) {
      block_.clear();
      return fetched;
    }
  }
  std::copy_n(block_.begin() + static_cast<std::ptrdiff_t>(offset - block_offset_), into.size(), into.begin());
  return ok_status();
}

Status BroadcastSource::fetch(uint64_t offset, std::span<uint8_t> into) const {
  const Status read = group_.rank() == 0 ? file_->read_at(offset, into) : ok_status();
  const std::string failure = group_.broadcast_bytes(read ? "" : read.error().message);
  if (!failure.empty()) return Error{ErrorKind::kUser, failure};
  at::Tensor bytes = at::from_blob(into.data(), {std::ssize(into)}, at::kByte);
  group_.broadcast(bytes);
  return ok_status();
}

}  // namespace ferrun::train
