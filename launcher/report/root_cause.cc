#include "launcher/report/root_cause.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <csignal>
#include <string_view>

namespace ferrun {
namespace {

// How Gloo, NCCL, TCPStore and plain sockets say that the other side has gone.
constexpr std::array<std::string_view, 10> kLostPeer = {"connection reset by peer",
                                                        "connection closed by peer",
                                                        "connection refused",
                                                        "broken pipe",
                                                        "remote process exited",
                                                        "connection was likely closed",
                                                        "remote error",
                                                        "failed to recv, got 0 bytes",
                                                        "socket closed",
                                                        "connectfullmesh failed"};

std::string lower_case(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

bool tells_of_lost_peer(std::string_view text) {
  const std::string lower = lower_case(text);
  return std::ranges::any_of(kLostPeer,
                             [&lower](std::string_view phrase) { return lower.find(phrase) != std::string::npos; });
}

// A worker that lost its peer says so in its error file, or at the end of its stderr. A signal is no lost connection.
bool is_casualty(const WorkerRecord& worker, const WorkerEvidence& evidence) {
  if (worker.start_error || (worker.status->is_signal() && worker.status->signal() != SIGABRT)) return false;
  if (evidence.error.state == ErrorFile::State::kRead) return tells_of_lost_peer(evidence.error.message);
  return std::ranges::any_of(evidence.stderr_tail, tells_of_lost_peer);
}

}  // namespace

bool is_victim(const WorkerRecord& worker, const WorkerEvidence& evidence) {
  if (worker.sent_signals.empty() || !worker.status) return false;
  if (!worker.status->is_signal()) return evidence.error.state == ErrorFile::State::kAbsent;
  return std::ranges::find(worker.sent_signals, worker.status->signal()) != worker.sent_signals.end();
}

FailureKind failure_kind(const WorkerRecord& worker, const WorkerEvidence& evidence) {
  if (worker.start_error || !worker.status) return FailureKind::kNotStarted;
  if (worker.status->signal() == SIGKILL && !evidence.out_of_memory.empty()) return FailureKind::kOutOfMemory;
  if (is_casualty(worker, evidence)) return FailureKind::kLostPeer;
  return worker.status->is_signal() ? FailureKind::kSignal : FailureKind::kExit;
}

}  // namespace ferrun
