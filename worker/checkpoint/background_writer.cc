#include "worker/checkpoint/background_writer.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_strided.h>
#include <pthread.h>
#include <signal.h>

#include <chrono>
#include <cstring>
#include <exception>
#include <system_error>
#include <utility>
#include <vector>

namespace ferrun::checkpoint {
namespace {

constexpr size_t kMostUnfinished = 2;
constexpr size_t kLeastToWait = 65536;

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

// Host memory for each tensor of a value, and the copying that it takes.
class Snapshot {
 public:
  explicit Snapshot(const Value& spare) {
    // In the order of the tensors, which is the same from one save to the next.
    for_each_tensor(spare, [&](const at::Tensor& tensor) { spares_.push_back(tensor); });
  }

  // `copy(to, from)` copies now or notes it.
  template <typename Copy>
  Value of(const Value& value, Copy&& copy) {
    return map_tensors<at::Tensor>(value, [&](const at::Tensor& tensor) {
      const size_t index = next_++;
      if (!tensor.defined() || tensor.layout() != c10::kStrided || tensor.is_meta() || tensor.is_quantized()) {
        return tensor;  // which the writer refuses
      }
      const bool fits = index < spares_.size() && can_hold(spares_[index], tensor);
      at::Tensor host = fits ? spares_[index] : memory_for(tensor);
      copy(host, tensor);
      return host;
    });
  }

 private:
  std::vector<at::Tensor> spares_;
  size_t next_ = 0;
};

void copy_to_host(const at::Tensor& host, const at::Tensor& tensor) {
  at::Tensor(host).copy_(tensor.detach(), /*non_blocking=*/tensor.is_cuda());
}

// Of all writers, that which may not be done yet.
struct PendingCopies {
  std::mutex mutex;
  std::vector<std::shared_future<void>> futures;

  void add(const std::shared_future<void>& copied) {
    const std::lock_guard lock(mutex);
    std::erase_if(futures,
                  [](const auto& one) { return one.wait_for(std::chrono::seconds(0)) == std::future_status::ready; });
    futures.push_back(copied);
  }
  std::vector<std::shared_future<void>> all() {
    const std::lock_guard lock(mutex);
    return futures;
  }
};

PendingCopies& pending_copies() {
  static PendingCopies pending;
  return pending;
}

}  // namespace

void wait_for_copies() {
  for (const auto& copied : pending_copies().all()) copied.wait();
}

Value host_copy(const Value& value, const std::function<void()>& wait, Value spare) {
  const at::NoGradGuard no_grad;
  bool from_gpu = false;
  Value copy = Snapshot(spare).of(value, [&](const at::Tensor& host, const at::Tensor& tensor) {
    from_gpu = from_gpu || tensor.is_cuda();
    copy_to_host(host, tensor);
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

// Waits for a place; takes the memory of an earlier copy.
Status BackgroundWriter::begin(Value& spare, bool& idle) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return files_.size() < kMostUnfinished; });
  if (Status earlier = take_failure(); !earlier) return earlier;
  std::swap(spare, spare_);
  idle = files_.empty();
  return ok_status();
}

Status BackgroundWriter::enqueue(File file) {
  if (!thread_.joinable()) {
    try {
      thread_ = std::thread([this] { run(); });
    } catch (const std::system_error&) {
      copy(file);
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

Status BackgroundWriter::write(std::string path, const Value& value, WriteOptions options,
                               std::function<Status()> then) {
  Value spare;
  bool idle = false;
  if (Status begun = begin(spare, idle); !begun) return begun;
  File file{std::move(path), host_copy(value, wait_, std::move(spare)), std::move(options), std::move(then), {}, {}};
  return enqueue(std::move(file));
}

Result<std::function<void()>> BackgroundWriter::write_later(std::string path, const Value& value,
                                                            const MayWait& may_wait, WriteOptions options,
                                                            std::function<Status()> then) {
  const at::NoGradGuard no_grad;
  Value spare;
  bool idle = false, from_gpu = false;
  if (Status begun = begin(spare, idle); !begun) return begun.error();
  File file{std::move(path), {}, std::move(options), std::move(then), {}, std::make_shared<std::promise<void>>()};
  file.value = Snapshot(spare).of(value, [&](const at::Tensor& host, const at::Tensor& tensor) {
    const bool large = tensor.nbytes() >= kLeastToWait && tensor.is_cpu() && tensor.is_contiguous() &&
                       !tensor.is_conj() && !tensor.is_neg();
    if (idle && large && may_wait(tensor)) return void(file.copies.emplace_back(host, tensor.detach()));
    from_gpu = from_gpu || tensor.is_cuda();
    copy_to_host(host, tensor);
  });
  if (from_gpu && wait_) wait_();
  const std::shared_future<void> copied = file.copied->get_future().share();
  if (!file.copies.empty()) pending_copies().add(copied);
  if (Status queued = enqueue(std::move(file)); !queued) return queued.error();
  return std::function<void()>([copied] { copied.wait(); });
}

// Without LibTorch's operators, which would bring threads of their own to a machine that trains.
void BackgroundWriter::copy(File& file) {
  for (const auto& [to, from] : std::exchange(file.copies, {})) {
    std::memcpy(to.mutable_data_ptr(), from.const_data_ptr(), from.nbytes());
  }
  if (file.copied) std::exchange(file.copied, nullptr)->set_value();
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
    copy(file);
    Status written = skip ? ok_status() : write_file(file);
    lock.lock();
    if (!written) failure_ = std::move(written);
    spare_ = std::move(file.value);
    files_.pop_front();
    changed_.notify_all();
  }
}

}  // namespace ferrun::checkpoint
