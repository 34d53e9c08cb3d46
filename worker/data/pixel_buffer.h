// Memory for one batch's floats, and the pool that it goes back to. A batch at 224² is tens of megabytes: fresh pages
// for each would cost more time than decoding part of it. Thread rule: a buffer belongs to one thread at a time; the
// pool may be used from any.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace ferrun::data {

class PixelPool;

// Move-only; its values are undefined until written. Behaves like the std::vector<float> that it could be.
class PixelBuffer {
 public:
  PixelBuffer() = default;
  PixelBuffer(PixelBuffer&& other) noexcept { swap(other); }
  PixelBuffer& operator=(PixelBuffer&& other) noexcept {
    PixelBuffer(std::move(other)).swap(*this);
    return *this;
  }
  ~PixelBuffer();

  float* data() { return memory_.get(); }
  const float* data() const { return memory_.get(); }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  float* begin() { return data(); }
  float* end() { return data() + size_; }
  const float* begin() const { return data(); }
  const float* end() const { return data() + size_; }
  float& operator[](size_t i) { return memory_[i]; }
  float operator[](size_t i) const { return memory_[i]; }

  // Forgets the values behind the first `size`; `size` is at most size().
  void truncate(size_t size) { size_ = size; }

 private:
  friend class PixelPool;
  void swap(PixelBuffer& other) noexcept;

  std::unique_ptr<float[]> memory_;
  size_t size_ = 0;
  size_t capacity_ = 0;
  std::shared_ptr<PixelPool> home_;
};

class PixelPool : public std::enable_shared_from_this<PixelPool> {
 public:
  // A buffer of `size` floats: one that came back, if it is large enough, else a new one.
  PixelBuffer take(size_t size);

 private:
  friend class PixelBuffer;
  void give_back(std::unique_ptr<float[]> memory, size_t capacity);

  std::mutex mutex_;
  std::vector<std::pair<std::unique_ptr<float[]>, size_t>> spare_;
};

}  // namespace ferrun::data
