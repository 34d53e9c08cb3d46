// The bounded queue between the event loop and a thread that writes output: bytes and losses, in order, by destination.
//
// Bytes lie in fixed chunks that are used again, so a flood neither allocates nor moves what is queued; adjacent
// bytes for one destination merge. Output that lies elsewhere has its place in the order too, but no bytes here. A
// refused push leaves the queue unchanged, and the caller records the loss, which keeps its place in the order. Losses
// merge too, so a destination that never drains costs one entry, not one for each line. Thread rule: not safe; the
// owner locks. Views from front() stay valid until pop(), also while others push.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string_view>
#include <vector>

#include "launcher/logs/log_loss.h"
#include "launcher/logs/log_source.h"

namespace ferrun {

class LogQueue {
 public:
  using Target = size_t;

  enum class Kind { kBytes, kElsewhere, kLoss, kEnd };

  static constexpr size_t kMostPieces = 4;

  // The next thing to be done; of bytes, at most kMostPieces chunks.
  struct Front {
    Kind kind = Kind::kBytes;
    Target target = 0;
    std::array<std::string_view, kMostPieces> pieces;
    size_t piece_count = 0;
    size_t size = 0;  // bytes in all pieces
    LogLoss loss;     // of kElsewhere: what is lost when it cannot be fetched
    std::shared_ptr<LogSource> source;
  };

  explicit LogQueue(size_t capacity) : capacity_(capacity) {}

  // Appends `bytes`; false when they would take the queue above its capacity plus `reserve`.
  bool push(Target target, std::string_view bytes, size_t reserve = 0);
  // Appends output that `source` will give. Where many streams take turns, more than kMostPlaces times, output joins
  // what its source has in the queue: in order within its stream alone.
  void push_elsewhere(Target target, const std::shared_ptr<LogSource>& source, const LogLoss& output);
  // Records that output for `target` was lost at this place.
  void push_loss(Target target, const LogLoss& loss);
  // Nothing more will come for `target`.
  void push_end(Target target);

  bool empty() const { return runs_.empty(); }
  // Queued bytes and what their order costs, in memory.
  size_t held() const { return bytes_ + runs_.size() * sizeof(Run); }
  // And those that lie elsewhere.
  size_t queued() const { return held() + elsewhere_; }

  // Requires !empty().
  Front front() const;
  // Removes `size` bytes of the front, or the whole front when it is a loss or an end.
  void pop(size_t size);
  // Removes `taken` from a front that lies elsewhere.
  void pop_elsewhere(const LogLoss& taken);

  // What is queued for `target`, counted as lost: for a destination that is given up.
  LogLoss count_unwritten(Target target) const;

 private:
  static constexpr size_t kChunkSize = 64 << 10;
  static constexpr size_t kSpareChunks = 8;
  static constexpr size_t kMostPlaces = 1024;
  using Chunk = std::unique_ptr<char[]>;

  struct Run {
    Kind kind;
    Target target;
    size_t size;  // bytes in memory
    LogLoss loss;
    std::shared_ptr<LogSource> source;
  };

  Run* run_to_join(const std::shared_ptr<LogSource>& source);
  void pop_run();

  void append_bytes(std::string_view bytes);
  void drop_front_chunk();
  std::string_view bytes_at(size_t offset, size_t most) const;

  size_t capacity_;
  size_t bytes_ = 0;
  size_t elsewhere_ = 0;
  size_t places_ = 0;  // runs that lie elsewhere
  size_t head_ = 0;    // first used byte of the first chunk
  std::deque<Chunk> chunks_;
  std::vector<Chunk> spare_;
  std::deque<Run> runs_;
  uint64_t popped_runs_ = 0;
  std::vector<uint64_t> loss_run_;  // per target: 1 + number of the run that collects its losses, 0 for none
};

}  // namespace ferrun
