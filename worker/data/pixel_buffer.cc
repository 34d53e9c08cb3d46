#include "worker/data/pixel_buffer.h"

#include <tuple>

namespace ferrun::data {

PixelBuffer::~PixelBuffer() {
  if (home_) home_->give_back(std::move(memory_), capacity_);
}

void PixelBuffer::swap(PixelBuffer& other) noexcept {
  std::swap(memory_, other.memory_);
  std::swap(size_, other.size_);
  std::swap(capacity_, other.capacity_);
  std::swap(home_, other.home_);
}

PixelBuffer PixelPool::take(size_t size) {
  PixelBuffer buffer;
  buffer.home_ = shared_from_this();
  buffer.size_ = size;
  {
    const std::lock_guard lock(mutex_);
    if (!spare_.empty()) {
      std::tie(buffer.memory_, buffer.capacity_) = std::move(spare_.back());
      spare_.pop_back();
    }
  }
  if (buffer.capacity_ < size) {
    buffer.memory_.reset();  // first, so that both are never there at once
    buffer.memory_.reset(new float[size]);
    buffer.capacity_ = size;
  }
  return buffer;
}

void PixelPool::give_back(std::unique_ptr<float[]> memory, size_t capacity) {
  if (memory == nullptr) return;
  const std::lock_guard lock(mutex_);
  spare_.emplace_back(std::move(memory), capacity);
}

}  // namespace ferrun::data
