#include "worker/checkpoint/background_writer.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_strided.h>
#include <pthread.h>
#include <signal.h>

#include <exception>
#include <system_error>
#include <utility>
#include <vector>

namespace ferrun::checkpoint {
namespace {

constexpr size_t kMostUnfinished = 2;

// Signals are the training's business: here they would only interrupt a write.
void block_signals() {
  sigset_t signals;
  sigfillset(&signals);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP}) sigdelset(&signals, fault);
  pthread_sigmask(SIG_SETMASK, &signals, nullptr);
}

// A tensor's copy is in the order in which it is written, and has the strides that the writer would tell of it: of a
// dimension of one element several are contiguous.
bool can_hold(const at::Tensor& spare, const at::Tensor& tensor) {
  return spare.defined() && spare.scalar_type() == tensor.scalar_type() && spare.sizes() == tensor.sizes() &&
         spare.is_pinned() == tensor.is_cuda() &&
         (tensor.is_contiguous() ? spare.strides() == tensor.strides() : spare.is_contiguous());
}

at::Tensor memory_for(const at::Tensor& tensor) {
  const auto options = at::TensorOptions(tensor.scalar_type()).pinned_memory(tensor.is_cuda());
  return tensor.is_contiguous() ? at::empty_strided(tensor.sizes(), tensor.strides(), options)
                                : at::empty(tensor.sizes(), options);
}

}  // namespace

Value host_copy(const Value& value, const std::function<void()>& wait, Value spare) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> spares;  // in the order of the tensors, which is the same from one save to the next
  for_each_tensor(spare, [&](const at::Tensor& tensor) { spares.push_back(tensor); });
  bool from_gpu = false;
  size_t next = 0;
  Value copy = map_tensors<at::Tensor>(value, [&](const at::Tensor& tensor) {
    const size_t index = next++;
    if (!tensor.defined() || tensor.layout() != c10::kStrided) return tensor;  // which the writer refuses
    from_gpu = from_gpu || tensor.is_cuda();
    const bool fits = index < spares.size() && can_hold(spares[index], tensor);
    at::Tensor host = fits ? spares[index] : memory_for(tensor);
    host.copy_(tensor.detach(), /*non_blocking=*/tensor.is_cuda());
    return host;
  });
  if (from_gpu && wait) wait();
  return copy;
}

BackgroundWriter::~BackgroundWriter() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Status BackgroundWriter::write(std::string path, const Value& value, WriteOptions options,
                               std::function<Status()> then) {
  Value spare;
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return files_.size() < kMostUnfinished; });
    if (Status earlier = take_failure(); !earlier) return earlier;
    std::swap(spare, spare_);
  }
  File file{std::move(path), host_copy(value, wait_, std::move(spare)), std::move(options), std::move(then)};
  if (!thread_.joinable()) {
    try {
      thread_ = std::thread([this] { run(); });
    } catch (const std::system_error&) {
      return write_file(file);  // a limit of processes: done without
    }
  }
  {
    const std::lock_guard lock(mutex_);
    files_.push_back(std::move(file));
  }
  changed_.notify_all();
  return ok_status();
}

// Nothing is thrown: the thread has nobody to catch it.
Status BackgroundWriter::write_file(const File& file) {
  try {
    Status written = write_atomically(file.path, file.value, file.options);
    return written && file.then ? file.then() : written;
  } catch (const std::exception& error) {
    return Error{ErrorKind::kPlatform, "cannot save " + file.path + ": " + error.what()};
  }
}

Status BackgroundWriter::finish() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return files_.empty(); });
  return take_failure();
}

Status BackgroundWriter::take_failure() { return std::exchange(failure_, ok_status()); }

// After a failure nothing more is written: a later file could say that an earlier one is there.
void BackgroundWriter::run() {
  block_signals();
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stopping_ || !files_.empty(); });
    if (files_.empty()) return;
    File& file = files_.front();
    const bool skip = !failure_;
    lock.unlock();
    Status written = skip ? ok_status() : write_file(file);
    lock.lock();
    if (!written) failure_ = std::move(written);
    spare_ = std::move(file.value);
    files_.pop_front();
    changed_.notify_all();
  }
}

}  // namespace ferrun::checkpoint
