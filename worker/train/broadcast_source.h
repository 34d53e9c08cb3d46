// A file of rank 0's that all ranks read together, so that only its node needs the file, and no rank holds its bytes
// beside what it makes of them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "common/result.h"
#include "worker/checkpoint/byte_source.h"
#include "worker/ddp/process_group.h"

namespace ferrun::train {

// Every rank has one and asks for the same ranges in the same order: read_at() is a collective, in which rank 0 reads
// what it was asked for and all ranks get it, or its failure. Large ranges go straight into the caller's memory; small
// ones come from a block of 64 KiB, so that a header costs no message of its own. Collectives throw.
//
// Ownership: owns rank 0's file, borrows the group. Thread rule: one thread.
class BroadcastSource final : public checkpoint::ByteSource {
 public:
  // A collective. `file`: rank 0's; not looked at on other ranks.
  BroadcastSource(std::unique_ptr<checkpoint::ByteSource> file, ddp::ProcessGroup& group);

  uint64_t size() const override { return size_; }
  Status read_at(uint64_t offset, std::span<uint8_t> into) const override;

 private:
  Status fetch(uint64_t offset, std::span<uint8_t> into) const;

  std::unique_ptr<checkpoint::ByteSource> file_;
  ddp::ProcessGroup& group_;
  uint64_t size_ = 0;
  mutable std::vector<uint8_t> block_;
  mutable uint64_t block_offset_ = 0;
};

}  // namespace ferrun::train
