#include "worker/checkpoint/background_writer.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_strided.h>
#include <pthread.h>
#include <signal.h>

#include <exception>
#include <system_error>
#include <utility>

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

// Nothing is thrown: the thread has nobody to catch it.
Status write_file(const std::string& path, const Value& value, const WriteOptions& options) {
  try {
    return write_atomically(path, value, options);
  } catch (const std::exception& error) {
    return Error{ErrorKind::kPlatform, "cannot save " + path + ": " + error.what()};
  }
}

}  // namespace

Value host_copy(const Value& value, const std::function<void()>& wait) {
  const at::NoGradGuard no_grad;
  bool from_gpu = false;
  Value copy = map_tensors<at::Tensor>(value, [&](const at::Tensor& tensor) {
    if (!tensor.defined() || tensor.layout() != c10::kStrided) return tensor;  // which the writer refuses
    const bool pinned = tensor.is_cuda();
    from_gpu = from_gpu || pinned;
    // In the order in which it is written, and with the strides that the writer would tell of it: of a dimension of
    // one element several are contiguous.
    const auto options = at::TensorOptions(tensor.scalar_type()).pinned_memory(pinned);
    at::Tensor host = tensor.is_contiguous() ? at::empty_strided(tensor.sizes(), tensor.strides(), options)
                                             : at::empty(tensor.sizes(), options);
    host.copy_(tensor.detach(), /*non_blocking=*/pinned);
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

Status BackgroundWriter::write(std::string path, const Value& value, WriteOptions options) {
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return files_.size() < kMostUnfinished; });
    if (Status earlier = take_failure(); !earlier) return earlier;
  }
  File file{std::move(path), host_copy(value, wait_), std::move(options)};
  if (!thread_.joinable()) {
    try {
      thread_ = std::thread([this] { run(); });
    } catch (const std::system_error&) {
      return write_atomically(file.path, file.value, file.options);  // a limit of processes: done without
    }
  }
  {
    const std::lock_guard lock(mutex_);
    files_.push_back(std::move(file));
  }
  changed_.notify_all();
  return ok_status();
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
    const File& file = files_.front();
    const bool skip = !failure_;
    lock.unlock();
    Status written = skip ? ok_status() : write_file(file.path, file.value, file.options);
    lock.lock();
    if (!written) failure_ = std::move(written);
    files_.pop_front();
    changed_.notify_all();
  }
}

}  // namespace ferrun::checkpoint
