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

Sweep::Sweep(asio::io_context& io, Scene scene) : timer_(io), scene_(std::move(scene)) {}

void Sweep::begin(Duration grace, Done done) {
  plan_.begin(grace, going_on(), monotonic_now());
  say_at_ = plan_.all_at() + scene_.say_every;
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

// A helper once known stays one: a process that waits for its own child shows no arguments.
LeftOver Sweep::kind_of(pid_t pid) {
  if (scene_.is_worker(pid)) return LeftOver::kWorker;
  if (helpers_.contains(pid)) return LeftOver::kHelper;
  if (!cleans_up(command_line_of(pid))) return LeftOver::kOther;
  helpers_.insert(pid);
  return LeftOver::kHelper;
}

void Sweep::kill_due(const std::vector<pid_t>& left, TimePoint now) {
  const bool unknown_may_be_workers = scene_.more_to_come();
  std::vector<std::pair<pid_t, LeftOver>> known;
  for (const pid_t pid : left) known.emplace_back(pid, kind_of(pid));  // all of them while they can be read
  for (const auto& [pid, kind] : known) {
    const bool worker = kind == LeftOver::kWorker;
    if ((!worker && unknown_may_be_workers) || !plan_.is_due(kind, now)) continue;
    if (!worker) killed_.try_emplace(pid, name_of(pid));
    kill(pid, SIGKILL);
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
  const TimePoint next = plan_.next_look(std::ranges::any_of(left, scene_.is_worker), now);
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
