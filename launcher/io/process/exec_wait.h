// A process between fork and exec. Tells from the loop whether its program runs, or why it cannot be executed.
//
// Ownership: ProcessLauncher holds one by shared_ptr; handlers on the loop hold it weakly. Thread rule: the loop's
// thread.
#pragma once

#include <sys/types.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/result.h"
#include "launcher/io/process/child.h"
#include "launcher/io/process/spawn.h"

namespace ferrun {

class ExecWait : public std::enable_shared_from_this<ExecWait> {
 public:
  struct Outcome {
    bool running = false;  // to be watched from now on
    bool over = false;     // nothing more is told
    // It could not be executed. Told when it is reaped; or `late`, when it counted as running already, at once.
    std::optional<Error> error{};
    bool late = false;
  };
  using Told = std::function<void(const Outcome&)>;

  // `process` was spawned with Mode::kSure; the pipe is taken over.
  ExecWait(boost::asio::io_context& io, std::string program, std::vector<int> cpus, const SpawnedProcess& process);

  pid_t pid() const { return pid_; }
  // `told` is called once or twice: a program that takes a second counts as running, and what comes of it is told then.
  void begin(Told told);

 private:
  void read_outcome();

  boost::asio::io_context& io_;
  const std::string program_;
  const std::vector<int> cpus_;
  const pid_t pid_;
  boost::asio::posix::stream_descriptor pipe_;
  boost::asio::steady_timer patience_;
  bool counts_as_running_ = false;
  std::optional<Child> failed_;
  Told told_;
};

}  // namespace ferrun
