#include "worker/data/pixel_buffer.h"

#include <new>
#include <tuple>

namespace ferrun::data {

PixelBuffer::~PixelBuffer() {
  if (home_) home_->give_back(memory_, capacity_);
}

void PixelBuffer::swap(PixelBuffer& other) noexcept {
  std::swap(memory_, other.memory_);
  std::swap(size_, other.size_);
  std::swap(capacity_, other.capacity_);
  std::swap(home_, other.home_);
}

PixelPool::~PixelPool() {
  for (const auto& [memory, capacity] : spare_) release(memory);
}

PixelBuffer PixelPool::take(size_t size, size_t value_bytes) {
  PixelBuffer buffer;
  buffer.home_ = shared_from_this();
  buffer.size_ = size;
  {
    const std::lock_guard lock(mutex_);
    if (!spare_.empty()) {
      std::tie(buffer.memory_, buffer.capacity_) = spare_.back();
      spare_.pop_back();
    }
  }
  if (buffer.capacity_ < size * value_bytes) {
    release(std::exchange(buffer.memory_, nullptr));  // first, so that both are never there at once
    buffer.capacity_ = 0;
    buffer.memory_ = allocate(size * value_bytes);
    buffer.capacity_ = size * value_bytes;
  }
  return buffer;
}

void* PixelPool::allocate(size_t bytes) { return memory_ ? memory_->allocate(bytes) : ::operator new(bytes); }

void PixelPool::release(void* memory) noexcept {
  if (memory == nullptr) return;
  memory_ ? memory_->release(memory) : ::operator delete(memory);
}

void PixelPool::give_back(void* memory, size_t capacity) {
  if (memory == nullptr) return;
  const std::lock_guard lock(mutex_);
  spare_.emplace_back(memory, capacity);
}

}  // namespace ferrun::data
