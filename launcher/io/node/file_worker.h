// Does what may wait for a disk on a thread of its own, so that a file server that hangs delays nobody but those who
// need its files.
//
// The thread starts with the first work, takes no signals, and ends by itself after its worker: the end waits for
// nobody, so work owns everything that it uses. Ownership: owned by LocalJob. Thread rule: the thread that runs `io`.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <optional>

#include "common/time.h"

namespace ferrun {

class FileWorker {
 public:
  // What is left to do on the loop, with the result.
  using Then = std::function<void()>;
  using Work = std::function<Then()>;

  explicit FileWorker(boost::asio::io_context& io);
  // Waits for nothing; what is to be done on the loop is dropped.
  ~FileWorker();
  FileWorker(const FileWorker&) = delete;
  FileWorker& operator=(const FileWorker&) = delete;

  // Calls `work` on the thread, one after the other, and what it returns on the loop.
  void run(Work work);

  // Waits until all work is done; false when it is not within `most`. What is left for the loop still waits there.
  bool wait(Duration most);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace ferrun
