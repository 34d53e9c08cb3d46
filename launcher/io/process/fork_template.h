// The agent's end of a fork template: a program that has loaded its libraries, stands at its fork point without any
// thread, and from which ranks are forked in a millisecond instead of started anew (common/fork_protocol.h).
//
// Ownership: ProcessLauncher holds one by shared_ptr; handlers on the loop hold it weakly. Thread rule: the loop's
// thread.
#pragma once

#include <sys/types.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/environment.h"
#include "common/exit_status.h"
#include "common/result.h"
#include "launcher/workers/spawn_request.h"

namespace ferrun {

class ForkTemplate : public std::enable_shared_from_this<ForkTemplate> {
 public:
  struct Events {
    std::function<void(Status)> ready;  // once: at its fork point, or why it never got there
    // Once for each fork(), in order: the rank's pid, already a child of this process, or why there is none.
    std::function<void(const SpawnRequest&, Result<pid_t>)> forked;
    std::function<void(const std::string&)> lost;  // after ready: it ended
  };

  // Executes `argv` with `environment`; the errors of spawn_process.
  static Result<std::shared_ptr<ForkTemplate>> start(boost::asio::io_context& io, const std::vector<std::string>& argv,
                                                     const Environment& environment, Events events);
  ~ForkTemplate();  // kills and reaps it

  // Whether `pid` is the template, not reaped yet.
  bool is_process(pid_t pid) const { return !ended_ && pid == pid_; }
  bool running() const { return ready_ && !ended_; }
  bool busy() const { return !pending_.empty(); }  // forks are under way

  // Asks for a rank. `out` and `err` are borrowed for the call. An error means that nothing was asked.
  Status fork(const SpawnRequest& request, int out, int err);
  // Returns when no fork is under way: the answers are awaited, and a template that gives none within seconds is
  // killed.
  void settle();

 private:
  ForkTemplate(boost::asio::io_context& io, std::vector<std::string> argv, Events events, pid_t pid, int pidfd,
               int channel);

  void watch();
  void wait_for_messages();
  void receive_messages();
  bool take_hello(const char* bytes, size_t size);
  bool take_reply(const char* bytes, size_t size);
  void on_exit();
  void end(const std::string& how);
  void kill_and_reap();
  std::string name() const;

  std::vector<std::string> argv_;
  Events events_;
  pid_t pid_;
  boost::asio::posix::stream_descriptor pidfd_;
  boost::asio::posix::stream_descriptor channel_;
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
