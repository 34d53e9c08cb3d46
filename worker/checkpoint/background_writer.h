// Writes checkpoints on a thread of its own, from copies, so that who goes on training waits for the copy alone.
//
// Files are written one after another, in the order in which they were given: what is there after a kill is what a
// writer that never left its thread could have left. Ownership: its thread and the copies, of which the last one's
// memory stays for the next: new memory costs more than the copying. Thread rule: one thread uses it; the destructor
// finishes what was given.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/result.h"
#include "worker/checkpoint/value.h"
#include "worker/checkpoint/writer.h"

namespace ferrun::checkpoint {

// The value with copies of its tensors in the host's memory, page-locked for those that come from a GPU. `wait`, which
// may be empty, returns when the devices have done all that was asked of them; it is called where a GPU copies. Tensors
// of `spare`, an earlier copy that nobody else uses, are written over where they fit.
Value host_copy(const Value& value, const std::function<void()>& wait, Value spare = {});

// Returns when nothing is left to be copied of what any writer of the process was given by write_later(): for code that
// changes a module's tensors. Any thread.
void wait_for_copies();

class BackgroundWriter {
 public:
  // `wait`: see host_copy.
  explicit BackgroundWriter(std::function<void()> wait = {}) : wait_(std::move(wait)) {}
  ~BackgroundWriter();
  BackgroundWriter(const BackgroundWriter&) = delete;
  BackgroundWriter& operator=(const BackgroundWriter&) = delete;

  // Copies, and has write_atomically() done meanwhile; waits first while two files are unfinished. `then` is called
  // when the file is in place, on the writer's thread, and its failure counts as the file's. Failure: that of an
  // earlier file, and this one is not written.
  Status write(std::string path, const Value& value, WriteOptions options = {}, std::function<Status()> then = {});
  // The same, but what `may_wait` says yes to is copied on the writer's thread: nobody may change it before the
  // returned wait has returned, which any thread may call, once the writer is gone as well. Large tensors on the CPU
  // alone are left for it, and none while an earlier file is unfinished.
  using MayWait = std::function<bool(const at::Tensor&)>;
  Result<std::function<void()>> write_later(std::string path, const Value& value, const MayWait& may_wait,
                                            WriteOptions options = {}, std::function<Status()> then = {});
  // Waits until all files are in place. Failure: the first that was not told yet.
  Status finish();

 private:
  struct File {
    std::string path;
    Value value;
    WriteOptions options;
    std::function<Status()> then;
    // What is still to be copied, and whither.
    std::vector<std::pair<at::Tensor, at::Tensor>> copies;
    std::shared_ptr<std::promise<void>> copied;
  };

  Status begin(Value& spare, bool& idle);
  Status enqueue(File file);
  static void copy(File& file);
  static Status write_file(const File& file);
  void run();
  Status take_failure();

  const std::function<void()> wait_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<File> files_;  // the first is in work; guarded, as is what follows
  Value spare_;
  Status failure_ = ok_status();
  bool stopping_ = false;
  std::thread thread_;  // started with the first file
};

}  // namespace ferrun::checkpoint
