#include "rendezvous/job/restart_policy.h"

#include <algorithm>

namespace ferrun {
namespace {

// Beyond it every delay is the longest one.
constexpr int kMostDoublings = 40;

}  // namespace

const ExitRule* RestartPolicy::rule_for(const LocalFailure& cause) const {
  if (cause.kind == FailureKind::kLostNode || cause.kind == FailureKind::kNotStarted) return nullptr;
  const int status = cause.status.shell_code();
  const auto fits = [&](const ExitRule& rule) {
    return rule.out_of_memory ? cause.kind == FailureKind::kOutOfMemory : rule.first <= status && status <= rule.last;
  };
  const auto found = std::ranges::find_if(on_exit, fits);
  return found == on_exit.end() ? nullptr : &*found;
}

OnExit RestartPolicy::after(const LocalFailure& cause) const {
  const ExitRule* const rule = rule_for(cause);
  return rule == nullptr ? OnExit::kSpend : rule->then;
}

std::string no_restart_line(const ExitRule& rule) { return std::string(kNoRestartLabel) + "--on-exit=" + rule.text; }

bool is_final(const LocalFailure& failure) {
  return failure.kind == FailureKind::kNotStarted && failure.status.code() == kExitUsage;
}

RestartDelays::RestartDelays(const RestartPolicy& policy)
    : delay_(std::max(policy.delay, Duration::zero())),
      longest_(std::max(policy.longest_delay, policy.delay)),
      state_(policy.seed) {}

Duration RestartDelays::next(bool lasted, bool is_free) {
  if (lasted) in_a_row_ = 0;
  Duration delay = is_free ? std::max(delay_, kFreeDelay) : delay_;
  for (int times = 0; times < in_a_row_ && delay < longest_; ++times) delay *= 2;
  in_a_row_ = std::min(in_a_row_ + 1, kMostDoublings);
  delay = std::min(delay, std::max(longest_, kFreeDelay));
  return delay + std::chrono::duration_cast<Duration>(delay * (random() / 4));
}

// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
double RestartDelays::random() {
  state_ += 0x9e3779b97f4a7c15;
  uint64_t mixed = state_;
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
  mixed ^= mixed >> 31;
  return static_cast<double>(mixed >> 11) * 0x1p-53;
}

}  // namespace ferrun
