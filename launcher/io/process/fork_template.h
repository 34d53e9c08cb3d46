// The agent's end of a fork template: a program that has loaded its libraries, stands at its fork point without any
// thread, and from which ranks are forked in a millisecond instead of started anew (common/fork_protocol.h).
//
// Ownership: ProcessLauncher holds one by shared_ptr; handlers on the loop hold it weakly. Thread rule: the loop's
// thread.
#pragma once

#include <sys/types.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/exit_status.h"
#include "common/io/unique_fd.h"
#include "common/result.h"
#include "launcher/io/process/child.h"
#include "launcher/io/process/spawn.h"
#include "launcher/workers/spawn_request.h"

namespace ferrun {

class ForkTemplate : public std::enable_shared_from_this<ForkTemplate> {
 public:
  struct Events {
    std::function<void(Status)> ready;  // once: at its fork point, or why it never got there
    // Once for each fork(), in order: the rank's pid, already a child of this process, or why there is none.
    std::function<void(const SpawnRequest&, Result<pid_t>)> forked;
    std::function<void(const std::string&)> lost;  // after ready: it ended, or must not be forked any more
    std::function<void(const std::string&)> note;  // before ready: what it has to say of itself, for --verbose
  };

  // Executes what is planned with the soft limit of open files that its ranks shall have. An error: no process could be
  // made; a program that cannot be executed is told by `ready`.
  static Result<std::shared_ptr<ForkTemplate>> start(boost::asio::io_context& io, const TemplatePlan& plan,
                                                     std::optional<uint64_t> open_files, Events events);
  ~ForkTemplate();  // kills it; to reap it is left to who reaps orphans

  // Whether `pid` is the template, not reaped yet.
  bool is_process(pid_t pid) const { return !ended_ && !exit_ && pid == pid_; }
  bool running() const { return ready_ && !ended_ && !exit_; }
  bool busy() const { return !pending_.empty(); }  // forks are under way

  // Asks for a rank. `out`, `err` and `extra`, if there is one, are borrowed for the call. An error means that nothing
  // was asked. A template that gives no answer for seconds is killed.
  Status fork(const SpawnRequest& request, int out, int err, int extra = -1);
  // Reaps the template if it has ended; never waits.
  void reap() {
    if (child_) child_->reap();
  }
  // Kills it: forks under way fail, and nothing else is told.
  void stop();

 private:
  ForkTemplate(boost::asio::io_context& io, std::vector<std::string> argv, Events events, const SpawnedProcess& process,
               int channel, UniqueFd archive);

  void watch(boost::asio::io_context& io);
  void take_exec_outcome();
  void wait_for_messages();
  void receive_messages();
  bool take_hello(const char* bytes, size_t size);
  bool take_reply(const char* bytes, size_t size);
  bool take_refusal(const char* bytes, size_t size);
  void be_patient();
  void lose_patience();
  void on_exit(int wait_status);
  void close();
  void fail_pending(const std::string& reason);
  void end(const std::string& how);
  std::string name() const;

  std::vector<std::string> argv_;
  Events events_;
  pid_t pid_;
  std::optional<Child> child_;
  std::optional<ExitStatus> exit_;
  boost::asio::posix::stream_descriptor exec_outcome_;
  std::optional<Error> exec_error_;
  boost::asio::posix::stream_descriptor channel_;
  UniqueFd archive_;  // from which a Python that starts imports, until it is ready
  std::chrono::seconds patience_time_;
  boost::asio::steady_timer patience_;
  struct Pending {
    uint32_t id;
    SpawnRequest request;
  };
  std::deque<Pending> pending_;
  uint32_t next_id_ = 1;
  bool ready_ = false;
  bool ended_ = false;
};

}  // namespace ferrun
