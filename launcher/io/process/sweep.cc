#include "launcher/io/process/sweep.h"

#include <algorithm>
#include <csignal>
#include <string_view>
#include <utility>

#include "common/io/clock.h"
#include "launcher/io/process/descendants.h"

namespace ferrun {

namespace asio = boost::asio;

namespace {

// SIGKILL again, for one that was not permitted to be signalled while it had another user's id.
constexpr std::chrono::milliseconds kAgain{100};

std::string text_of(pid_t pid, const std::string& name) {
  const std::string number = "pid " + std::to_string(pid);
  return name.empty() ? number : name + " (" + number + ")";
}

}  // namespace

std::string process_list(const std::vector<KilledProcess>& processes) {
  constexpr size_t kShown = 8;
  std::string text;
  for (size_t at = 0; at < std::min(processes.size(), kShown); ++at) {
    text += (at == 0 ? "" : ", ") + text_of(processes[at].pid, processes[at].name);
  }
  if (processes.size() > kShown) text += " and " + std::to_string(processes.size() - kShown) + " more";
  return text;
}

bool cleans_up(const std::string& command_line) {
  const std::string_view line = command_line;
  const std::string_view program = line.substr(0, line.find('\0'));
  if (program.substr(program.rfind('/') + 1) == "torch_shm_manager") return true;
  // python -c 'from multiprocessing.resource_tracker import main;main(7)'; joblib's has a module path of its own
  return line.find("resource_tracker import main") != std::string_view::npos;
}

Sweep::Sweep(asio::io_context& io, Scene scene) : timer_(io), scene_(std::move(scene)) {}

void Sweep::begin(Duration grace, Done done) {
  const TimePoint now = monotonic_now();
  const TimePoint others_at = now + grace / 2;
  const TimePoint all_at = now + grace;
  const bool joined = going_on();
  kill_others_at_ = joined ? std::min(kill_others_at_, others_at) : others_at;
  kill_all_at_ = joined ? std::min(kill_all_at_, all_at) : all_at;
  say_at_ = kill_all_at_ + scene_.say_every;
  done_.push_back(std::move(done));
  look();
}

void Sweep::look() {
  if (!going_on() || std::exchange(looking_, true)) return;
  const std::vector<pid_t> left = scene_.left();
  looking_ = false;
  if (left.empty() && !scene_.more_to_come()) return finish();
  const TimePoint now = monotonic_now();
  kill_due(left, now);
  say_who_is_left(left, now);
  wait_for_change(left, now);
}

// Once known it stays known: a process that waits for its own child shows no arguments.
bool Sweep::is_helper(pid_t pid) {
  if (helpers_.contains(pid)) return true;
  if (!cleans_up(command_line_of(pid))) return false;
  helpers_.insert(pid);
  return true;
}

void Sweep::kill_due(const std::vector<pid_t>& left, TimePoint now) {
  const bool unknown_may_be_workers = scene_.more_to_come();
  for (const pid_t pid : left) is_helper(pid);  // while it can be read
  for (const pid_t pid : left) {
    if (scene_.is_worker(pid)) {
      kill(pid, SIGKILL);
    } else if (unknown_may_be_workers) {
      continue;
    } else if (now >= kill_all_at_ || (now >= kill_others_at_ && !is_helper(pid))) {
      killed_.try_emplace(pid, name_of(pid));
      kill(pid, SIGKILL);
    }
  }
}

void Sweep::say_who_is_left(const std::vector<pid_t>& left, TimePoint now) {
  if (now < say_at_) return;
  say_at_ = now + scene_.say_every;
  std::vector<KilledProcess> named;
  named.reserve(left.size());
  for (const pid_t pid : left) named.push_back({pid, name_of(pid)});
  if (named.empty()) return;
  scene_.say("waiting for " + process_list(named) +
             ", which SIGKILL has not ended: in uninterruptible sleep (a hung "
             "file system or device), frozen, held by a debugger, or of another user");
}

// Every end of a child is a reason to look again, so time alone matters here.
void Sweep::wait_for_change(const std::vector<pid_t>& left, TimePoint now) {
  const bool signalled = now >= kill_all_at_ || std::ranges::any_of(left, scene_.is_worker);
  const TimePoint next = signalled ? now + kAgain : now < kill_others_at_ ? kill_others_at_ : kill_all_at_;
  timer_.expires_at(asio::steady_timer::time_point(next.time_since_epoch()));
  timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (self && !error) self->look();
  });
}

void Sweep::finish() {
  timer_.cancel();
  helpers_.clear();
  std::vector<KilledProcess> killed;
  killed.reserve(killed_.size());
  for (const auto& [pid, name] : std::exchange(killed_, {})) killed.push_back({pid, name});
  for (const Done& done : std::exchange(done_, {})) done(killed);
}

}  // namespace ferrun
