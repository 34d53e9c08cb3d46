#include "launcher/logs/log_queue.h"

#include <algorithm>
#include <cstring>

namespace ferrun {

bool LogQueue::push(Target target, std::string_view bytes, size_t reserve) {
  if (bytes.empty()) return true;
  if (held() + sizeof(Run) + bytes.size() > capacity_ + reserve) return false;
  append_bytes(bytes);
  if (target < loss_run_.size()) loss_run_[target] = 0;
  const bool joins = !runs_.empty() && runs_.back().kind == Kind::kBytes && runs_.back().target == target;
  if (joins) {
    runs_.back().size += bytes.size();
  } else {
    runs_.push_back({Kind::kBytes, target, bytes.size(), {}, nullptr});
  }
  return true;
}

void LogQueue::push_elsewhere(Target target, const std::shared_ptr<LogSource>& source, const LogLoss& output) {
  if (output.empty()) return;
  elsewhere_ += output.bytes;
  if (target < loss_run_.size()) loss_run_[target] = 0;
  if (Run* run = run_to_join(source)) {
    run->loss.add(output);
  } else {
    runs_.push_back({Kind::kElsewhere, target, 0, output, source});
    ++places_;
  }
}

LogQueue::Run* LogQueue::run_to_join(const std::shared_ptr<LogSource>& source) {
  if (runs_.empty()) return nullptr;
  if (runs_.back().source == source) return &runs_.back();
  if (places_ < kMostPlaces) return nullptr;
  const auto found = std::find_if(runs_.rbegin(), runs_.rend(), [&](const Run& run) { return run.source == source; });
  return found == runs_.rend() ? nullptr : &*found;
}

void LogQueue::push_loss(Target target, const LogLoss& loss) {
  if (loss_run_.size() <= target) loss_run_.resize(target + 1);
  if (loss_run_[target] > popped_runs_) {
    runs_[loss_run_[target] - 1 - popped_runs_].loss.add(loss);
    return;
  }
  runs_.push_back({Kind::kLoss, target, 0, loss, nullptr});
  loss_run_[target] = popped_runs_ + runs_.size();
}

void LogQueue::push_end(Target target) { runs_.push_back({Kind::kEnd, target, 0, {}, nullptr}); }

LogQueue::Front LogQueue::front() const {
  const Run& run = runs_.front();
  Front front;
  front.kind = run.kind;
  front.target = run.target;
  front.loss = run.loss;
  front.source = run.source;
  while (front.size < run.size && front.piece_count < kMostPieces) {
    const std::string_view piece = bytes_at(front.size, run.size - front.size);
    front.pieces[front.piece_count++] = piece;
    front.size += piece.size();
  }
  return front;
}

void LogQueue::pop(size_t size) {
  Run& run = runs_.front();
  run.size -= size;
  bytes_ -= size;
  head_ += size;
  while (head_ >= kChunkSize) drop_front_chunk();
  if (run.size == 0) pop_run();
}

void LogQueue::pop_elsewhere(const LogLoss& taken) {
  Run& run = runs_.front();
  elsewhere_ -= taken.bytes;
  run.loss.bytes -= taken.bytes;
  run.loss.lines -= taken.lines;
  if (run.loss.bytes > 0) return;
  --places_;
  pop_run();
}

void LogQueue::pop_run() {
  runs_.pop_front();
  ++popped_runs_;
}

LogLoss LogQueue::count_unwritten(Target target) const {
  LogLoss unwritten;
  size_t offset = 0;
  for (const Run& run : runs_) {
    unwritten.add(run.target == target ? run.loss : LogLoss{});
    for (size_t done = 0; done < run.size;) {
      const std::string_view piece = bytes_at(offset + done, run.size - done);
      if (run.target == target) unwritten.add(piece);
      done += piece.size();
    }
    offset += run.size;
  }
  return unwritten;
}

void LogQueue::append_bytes(std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t room = chunks_.size() * kChunkSize - head_ - bytes_;
    if (room == 0) {
      const bool reuse = !spare_.empty();
      chunks_.push_back(reuse ? std::move(spare_.back()) : Chunk(new char[kChunkSize]));
      if (reuse) spare_.pop_back();
      continue;
    }
    const size_t taken = std::min(room, bytes.size());
    std::memcpy(chunks_.back().get() + kChunkSize - room, bytes.data(), taken);
    bytes_ += taken;
    bytes.remove_prefix(taken);
  }
}

void LogQueue::drop_front_chunk() {
  if (spare_.size() < kSpareChunks) spare_.push_back(std::move(chunks_.front()));
  chunks_.pop_front();
  head_ -= kChunkSize;
}

std::string_view LogQueue::bytes_at(size_t offset, size_t most) const {
  const size_t position = head_ + offset;
  const size_t in_chunk = position % kChunkSize;
  return {chunks_[position / kChunkSize].get() + in_chunk, std::min(most, kChunkSize - in_chunk)};
}

}  // namespace ferrun
