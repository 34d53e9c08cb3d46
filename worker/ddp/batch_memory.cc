#include "worker/ddp/batch_memory.h"

#include <ATen/ops/empty.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/Storage.h>

#include <utility>

namespace ferrun::ddp {
namespace {

constexpr size_t kWorthKeeping = size_t{1} << 20;  // bytes; the C library keeps smaller ones itself

}  // namespace

struct BatchMemory::Lease {
  std::shared_ptr<BatchMemory> home;
  Piece piece;

  static void end(void* lease) {
    const std::unique_ptr<Lease> ended(static_cast<Lease*>(lease));
    ended->home->give_back(std::move(ended->piece));
  }
};

at::Tensor BatchMemory::empty(at::IntArrayRef sizes, at::ScalarType type) {
  const size_t bytes = static_cast<size_t>(c10::multiply_integers(sizes)) * c10::elementSize(type);
  if (bytes < kWorthKeeping) return at::empty(sizes, at::TensorOptions(type));
  auto lease = std::make_unique<Lease>(shared_from_this(), take(bytes));
  void* const memory = lease->piece.data.get();
  at::DataPtr data(memory, lease.release(), &Lease::end, at::kCPU);
  c10::Storage storage(c10::Storage::use_byte_size_t(), bytes, std::move(data), c10::GetCPUAllocator(),
                       /*resizable=*/true);
  return at::empty({0}, at::TensorOptions(type)).set_(std::move(storage), 0, sizes);
}

BatchMemory::Piece BatchMemory::take(size_t bytes) {
  {
    const std::lock_guard lock(mutex_);
    for (auto piece = spare_.begin(); piece != spare_.end(); ++piece) {
      if (piece->bytes < bytes || piece->bytes / 2 > bytes) continue;
      Piece taken = std::move(*piece);
      spare_.erase(piece);
      return taken;
    }
  }
  return {c10::GetCPUAllocator()->allocate(bytes), bytes};
}

void BatchMemory::give_back(Piece piece) {
  Piece dropped;  // declared before the lock: released behind it
  const std::lock_guard lock(mutex_);
  spare_.push_front(std::move(piece));
  if (spare_.size() <= most_spare_) return;
  dropped = std::move(spare_.back());
  spare_.pop_back();
}

}  // namespace ferrun::ddp
