#include <signal.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "ferrun/client.h"
#include "ferrun/client_c.h"

namespace ferrun::client {
namespace {

std::atomic<int> noted_signal{0};
std::atomic<int64_t> noted_at{0};
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<int64_t>::is_always_lock_free,
              "a signal handler may not lock");

int64_t now_ms() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1000000;
}

void note(int signal) {
  int none = 0;
  const int64_t at = now_ms();
  if (noted_signal.compare_exchange_strong(none, signal)) noted_at.store(at);
}

}  // namespace

void note_stop_signals() {
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) {
    struct sigaction action = {};
    if (sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN) continue;
    action = {};
    action.sa_handler = note;
    action.sa_flags = SA_RESTART;
    if (signal == SIGINT) {
      action.sa_flags |= static_cast<int>(SA_RESETHAND);
    }
    sigaction(signal, &action, nullptr);
  }
}

int noted_stop_signal() { return noted_signal.load(); }

std::optional<std::chrono::milliseconds> time_to_stop() {
  const char* const text = std::getenv("FERRUN_SHUTDOWN_TIMEOUT");
  const int64_t at = noted_at.load();
  if (text == nullptr || at == 0) return std::nullopt;
  int64_t seconds = 0;
  const char* const end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, seconds);
  constexpr int64_t kMostSeconds = 1000000000;
  if (error != std::errc() || stop != end || seconds < 0 || seconds > kMostSeconds) return std::nullopt;
  return std::chrono::milliseconds(std::max<int64_t>(0, at + seconds * 1000 - now_ms()));
}

}  // namespace ferrun::client

void ferrun_note_stop_signals() { ferrun::client::note_stop_signals(); }
int ferrun_noted_stop_signal() { return ferrun::client::noted_stop_signal(); }
int ferrun_milliseconds_to_stop() {
  const auto left = ferrun::client::time_to_stop();
  return left ? static_cast<int>(std::min<int64_t>(left->count(), INT32_MAX)) : -1;
}
