#include "launcher/workers/worker_timers.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/exit_status.h"
#include "common/printable_text.h"
#include "common/text.h"

namespace ferrun {
namespace {

// Of the first bytes: enough to see what wrote it.
Error no_request(std::string_view line) {
  return {ErrorKind::kUser, "what was written to TORCHELASTIC_TIMER_FILE is no request of torch's timer client: " +
                                printable(std::string(cut_utf8(line, 100)))};
}

}  // namespace

Status WorkerTimers::take(std::string_view line) {
  const auto request = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!request.is_object()) return no_request(line);
  const auto pid = request.find("pid");
  const auto scope = request.find("scope_id");
  const auto expires = request.find("expiration_time");
  const auto signal = request.find("signal");
  const bool complete = pid != request.end() && pid->is_number_integer() && scope != request.end() &&
                        scope->is_string() && expires != request.end() && expires->is_number() &&
                        signal != request.end() && signal->is_number_integer();
  if (!complete) return no_request(line);
  std::pair key{pid->get<pid_t>(), scope->get<std::string>()};
  const double time = expires->get<double>();
  if (time < 0) {
    timers_.erase(key);
  } else {
    timers_.insert_or_assign(std::move(key), Timer{time, std::max(signal->get<int>(), 0)});
  }
  return ok_status();
}

std::optional<double> WorkerTimers::next() const {
  std::optional<double> first;
  for (const auto& [key, timer] : timers_) first = std::min(first.value_or(timer.expires), timer.expires);
  return first;
}

std::vector<WorkerTimers::Overrun> WorkerTimers::take_overruns(double now) {
  std::map<pid_t, Overrun> overruns;
  for (const auto& [key, timer] : timers_) {
    if (timer.expires > now) continue;
    const Overrun found{key.first, key.second, timer.signal, now - timer.expires};
    const auto [place, is_new] = overruns.try_emplace(key.first, found);
    Overrun& best = place->second;
    const bool better = (found.signal > 0) != (best.signal > 0) ? found.signal > 0 : found.since > best.since;
    if (!is_new && better) best = found;
  }
  std::vector<Overrun> list;
  for (const auto& [pid, overrun] : overruns) {
    list.push_back(overrun);
    forget(pid);
  }
  return list;
}

void WorkerTimers::forget(pid_t pid) {
  std::erase_if(timers_, [pid](const auto& item) { return item.first.first == pid; });
}

OverrunVerdict judge_overrun(const WorkerTimers::Overrun& overrun, std::optional<TimedWorker> owner, bool starting) {
  using Action = OverrunVerdict::Action;
  if (!owner) return {starting ? Action::kLookAgain : Action::kNone, "", ""};
  const std::string what = "timer '" + printable(overrun.scope) + "'";
  const std::string who =
      "rank " + std::to_string(owner->rank) + " (pid " + std::to_string(overrun.pid) + ") overran its " + what;
  if (overrun.signal == 0) return {Action::kNone, who + ", which asks for no signal", ""};
  const std::string signal = signal_name(overrun.signal);
  return {overrun.pid == owner->pid ? Action::kSignalGroup : Action::kSignalProcess, who + ": ending it with " + signal,
          "it overran its " + what + " and was sent " + signal};
}

}  // namespace ferrun
