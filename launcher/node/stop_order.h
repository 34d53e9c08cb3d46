// What a signal to ferrun means: one order to stop is one order, however often and to how many processes it is sent.
//
// Slurm, systemd, container runtimes and `pkill -f` signal every process of a job, `timeout` its command and then its
// group, and at a time limit Slurm sends TERM, CONT, TERM. So sentinel and agent may each get a copy, and the workers
// one too. SIGTERM and SIGHUP never harden by repetition: the grace ends, or the scheduler's own SIGKILL. A person who
// presses Ctrl-C again, clearly later, means it. Signals that are no orders (SIGUSR1 and SIGUSR2, unless the user
// said otherwise) are for the workers, unless these have been signalled too. Pure. Owned by the node machine.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "common/time.h"
#include "launcher/node/node_events.h"

namespace ferrun {

class StopOrder {
 public:
  enum class Meaning {
    kNothing,         // a copy of what is known
    kStop,            // the first order
    kEverybodyHasIt,  // a copy that shows that the workers were signalled by the same sender
    kNow,             // somebody insists
  };

  // `orders`: the signals that stop the job.
  explicit StopOrder(std::vector<int> orders) : orders_(std::move(orders)) {}

  Meaning hear(const SignalArrived& event, TimePoint now);

  // One for the workers, of which only one copy has come: to be passed on now. 0: none is due.
  int take_due(TimePoint now);
  std::optional<TimePoint> next_deadline() const;

  // The signal of the order; 0: none yet.
  int signal() const { return first_ ? first_->signal : 0; }
  // How long to wait for the other copy before the workers are asked.
  Duration hold() const;
  bool everybody_has_it() const { return both_; }
  // When workers that still run are asked after all, of a stop with this grace: whoever hit both of ferrun's processes
  // by their name may have missed the workers. Never, where the sender is one that signals all there are.
  std::optional<Duration> ask_again(Duration grace) const;

 private:
  struct Passing {
    SignalArrived copy;
    TimePoint due;
  };

  void hear_for_workers(const SignalArrived& event, TimePoint now);

  std::vector<int> orders_;
  std::vector<Passing> passing_;
  std::optional<SignalArrived> first_;
  TimePoint since_;
  bool both_ = false;
};

}  // namespace ferrun
