// Memory for one batch's pixels, and the pool that it goes back to. A batch at 224² is tens of megabytes: fresh pages
// for each would cost more time than decoding part of it. Thread rule: a buffer belongs to one thread at a time; the
// pool may be used from any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace ferrun::data {

class PixelPool;

// Where a pool's memory comes from, when not from the heap: a GPU copies without the host's help from page-locked
// memory alone. Thread rule: any thread.
class PixelMemory {
 public:
  virtual ~PixelMemory() = default;
  virtual void* allocate(size_t bytes) = 0;  // throws std::bad_alloc; aligned for a float
  virtual void release(void* memory) noexcept = 0;
};

// Move-only; its values are undefined until written. Holds floats or bytes, as its owner knows; with floats it behaves
// like the std::vector<float> that it could be.
class PixelBuffer {
 public:
  PixelBuffer() = default;
  PixelBuffer(PixelBuffer&& other) noexcept { swap(other); }
  PixelBuffer& operator=(PixelBuffer&& other) noexcept {
    PixelBuffer(std::move(other)).swap(*this);
    return *this;
  }
  ~PixelBuffer();

  float* data() { return static_cast<float*>(memory_); }
  const float* data() const { return static_cast<const float*>(memory_); }
  uint8_t* bytes() { return static_cast<uint8_t*>(memory_); }
  const uint8_t* bytes() const { return static_cast<const uint8_t*>(memory_); }
  size_t size() const { return size_; }  // values
  bool empty() const { return size_ == 0; }
  float* begin() { return data(); }
  float* end() { return data() + size_; }
  const float* begin() const { return data(); }
  const float* end() const { return data() + size_; }
  float& operator[](size_t i) { return data()[i]; }
  float operator[](size_t i) const { return data()[i]; }

  // Forgets the values behind the first `size`; `size` is at most size().
  void truncate(size_t size) { size_ = size; }

 private:
  friend class PixelPool;
  void swap(PixelBuffer& other) noexcept;

  void* memory_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;              // bytes
  std::shared_ptr<PixelPool> home_;  // that memory_ belongs to
};

class PixelPool : public std::enable_shared_from_this<PixelPool> {
 public:
  // Without `memory`: the heap's.
  explicit PixelPool(std::shared_ptr<PixelMemory> memory = nullptr) : memory_(std::move(memory)) {}
  ~PixelPool();
  PixelPool(const PixelPool&) = delete;
  PixelPool& operator=(const PixelPool&) = delete;

  // A buffer of `size` values of so many bytes: one that came back, if it is large enough, else a new one.
  PixelBuffer take(size_t size, size_t value_bytes = sizeof(float));

 private:
  friend class PixelBuffer;
  void* allocate(size_t bytes);
  void release(void* memory) noexcept;
  void give_back(void* memory, size_t capacity);

  const std::shared_ptr<PixelMemory> memory_;
  std::mutex mutex_;
  std::vector<std::pair<void*, size_t>> spare_;
};

}  // namespace ferrun::data
