// Ends what is left of an attempt when its workers are gone, by the rules of launcher/workers/sweep_plan.h. Nothing
// here waits: a process in uninterruptible sleep, frozen, traced or of another user keeps the sweep waiting, not the
// loop.
//
// Ownership: ProcessLauncher's, which knows what is the job's and when something has changed. Thread rule: the loop's
// thread.
#pragma once

#include <sys/types.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/time.h"
#include "launcher/workers/sweep_plan.h"

namespace ferrun {

struct KilledProcess {
  pid_t pid = 0;
  std::string name;  // the command; empty where /proc does not tell
};

// "python3 (pid 4711), sleep (pid 4712)"; of many the first few and how many more.
std::string process_list(const std::vector<KilledProcess>& processes);

class Sweep : public std::enable_shared_from_this<Sweep> {
 public:
  // The left-overs that had to be killed, workers not among them.
  using Done = std::function<void(const std::vector<KilledProcess>&)>;

  struct Scene {
    // Reaps what has ended; then the children of this process that must go.
    std::function<std::vector<pid_t>()> left;
    std::function<bool(pid_t)> is_worker;         // to be killed at once, and no left-over
    std::function<bool()> more_to_come;           // a fork is under way: a child may be a worker that is not known yet
    std::function<void(const std::string&)> say;  // who is waited for
    Duration say_every = std::chrono::seconds(5);
  };

  // Made by make_shared: the timer holds it weakly.
  Sweep(boost::asio::io_context& io, Scene scene);

  // `done` is called once nothing is left: at once, from within, when that is so now.
  void begin(Duration grace, Done done);
  // Something has changed: a child ended, or a fork that was under way is answered. Does nothing from within `left`.
  void look();
  bool going_on() const { return !done_.empty(); }

 private:
  LeftOver kind_of(pid_t pid);
  void kill_due(const std::vector<pid_t>& left, TimePoint now);
  void wait_for_change(const std::vector<pid_t>& left, TimePoint now);
  void say_who_is_left(const std::vector<pid_t>& left, TimePoint now);
  void finish();

  boost::asio::steady_timer timer_;
  Scene scene_;
  std::vector<Done> done_;
  std::set<pid_t> helpers_;
  SweepPlan plan_;
  TimePoint say_at_{};
  std::map<pid_t, std::string> killed_;
  bool looking_ = false;
};

}  // namespace ferrun
