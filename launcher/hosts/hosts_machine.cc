#include "launcher/hosts/hosts_machine.h"

#include <algorithm>
#include <csignal>

namespace ferrun {
namespace {

constexpr int kSshFailed = 255;  // by ssh(1), when it is ssh itself that failed
constexpr int kShellFoundNothing = 127;

}  // namespace

HostsMachine::HostsMachine(Config config) : config_(std::move(config)), phases_(config_.hosts.size(), Phase::kCalled) {}

void HostsMachine::step(const HostsEvent& event) {
  if (done_) return;
  std::visit([this](const auto& each) { on(each); }, event);
}

void HostsMachine::on(const HostAnswered& event) {
  if (phases_[event.host] != Phase::kCalled) return;
  phases_[event.host] = Phase::kAnswered;
  // It was called before the order to stop came.
  if (given_up_) effects_.emplace_back(SignalHost{event.host, SIGTERM});
  if (stop_signal_ != 0) effects_.emplace_back(SignalHost{event.host, stop_signal_});
}

void HostsMachine::on(const HostEnded& event) {
  const Phase before = phases_[event.host];
  if (before == Phase::kCalled) {
    never_came(event);
  } else if (before == Phase::kAnswered) {
    came_and_ended(event);
  }
  finish_if_over();
}

void HostsMachine::on(const StopAsked& event) {
  if (stop_signal_ == 0) stop_signal_ = event.signal;
  stop_all(event.signal);
  finish_if_over();
}

void HostsMachine::never_came(const HostEnded& event) {
  phases_[event.host] = Phase::kNeverCame;
  if (stop_signal_ != 0 || given_up_) return;
  const HostsMachine::Host& host = config_.hosts[event.host];
  std::string line = host.name;
  if (event.status == ExitStatus::exited(kShellFoundNothing)) {
    line += " has no ferrun, neither where this one lies nor in its PATH";
  } else if (host.by_ssh && event.status == ExitStatus::exited(kSshFailed)) {
    line += " cannot be reached";
  } else {
    line += ": ferrun could not be started there, " + event.status.describe();
  }
  if (!event.words.empty()) line += ": " + event.words;
  const size_t left = phases_.size() - count(Phase::kNeverCame);
  if (event.host == 0) {
    line += "; the nodes meet there, so the job ends";
  } else if (left < config_.least) {
    line += "; " + std::to_string(left) + " of the " + std::to_string(config_.least) +
            " hosts that the job needs are left, so it ends (--nnodes=MIN:MAX goes on with fewer)";
  } else {
    line += "; the job goes on without it";
    effects_.emplace_back(SayOfHosts{false, std::move(line)});
    return;
  }
  effects_.emplace_back(SayOfHosts{true, std::move(line)});
  given_up_ = true;
  stop_all(SIGTERM);
}

// An agent never ends with 255 (see host_agent.h), so that is ssh's own word.
void HostsMachine::came_and_ended(const HostEnded& event) {
  phases_[event.host] = Phase::kEnded;
  const HostsMachine::Host& host = config_.hosts[event.host];
  if (host.by_ssh && (event.status == ExitStatus::exited(kSshFailed) || event.status.is_signal())) {
    std::string line = "lost the connection to " + host.name + ", where everything is stopped";
    if (!event.words.empty()) line += ": " + event.words;
    effects_.emplace_back(SayOfHosts{false, std::move(line)});
    return;
  }
  if (event.status.success()) {
    succeeded_ = true;
  } else if (!failure_) {
    failure_ = event.status.shell_code();
  }
}

void HostsMachine::stop_all(int signal) {
  for (size_t host = 0; host < phases_.size(); ++host) {
    if (phases_[host] == Phase::kAnswered) effects_.emplace_back(SignalHost{host, signal});
    if (phases_[host] == Phase::kCalled) effects_.emplace_back(HangUpOnHost{host});
  }
}

void HostsMachine::finish_if_over() {
  if (count(Phase::kCalled) + count(Phase::kAnswered) > 0) return;
  done_ = true;
  int status = 0;
  if (given_up_) {
    status = kExitRendezvous;
  } else if (failure_) {
    status = *failure_;
  } else if (stop_signal_ != 0 && !succeeded_) {
    status = 128 + stop_signal_;
  } else if (!succeeded_) {
    status = kExitRendezvous;  // all connections were lost
  }
  effects_.emplace_back(HostsDone{status});
}

size_t HostsMachine::count(Phase phase) const { return static_cast<size_t>(std::ranges::count(phases_, phase)); }

}  // namespace ferrun
