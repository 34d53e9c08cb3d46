#include "launcher/report/root_cause.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <csignal>
#include <limits>
#include <string_view>
#include <tuple>

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

// `first` is the rank whose failure was noticed first.
std::string reason_for(size_t root, size_t first, bool first_is_casualty) {
  if (root == first) return "it was the first to fail";
  const std::string other = "rank " + std::to_string(first);
  if (first_is_casualty) return other + " failed before it, but only lost its connection to a peer";
  return other + " ended in the same moment; the error files' times decide";
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

Diagnosis diagnose(const std::vector<WorkerRecord>& workers, const std::vector<WorkerEvidence>& evidence) {
  Diagnosis diagnosis;
  diagnosis.parts.resize(workers.size(), Part::kNone);
  std::vector<size_t> own;
  for (size_t rank = 0; rank < workers.size(); ++rank) {
    if (!workers[rank].failed()) continue;
    diagnosis.parts[rank] = is_victim(workers[rank], evidence[rank]) ? Part::kVictim : Part::kFailedToo;
    if (diagnosis.parts[rank] == Part::kFailedToo) own.push_back(rank);
  }
  std::ranges::stable_sort(own, {}, [&workers](size_t rank) { return workers[rank].ended_at; });
  const auto order = [&](size_t rank) {
    const double stamp = evidence[rank].error.timestamp.value_or(std::numeric_limits<double>::infinity());
    return std::tuple(is_casualty(workers[rank], evidence[rank]), workers[rank].ended_at, stamp, rank);
  };
  const size_t root = *std::ranges::min_element(own, {}, order);
  diagnosis.root_cause = static_cast<int>(root);
  diagnosis.reason = reason_for(root, own.front(), is_casualty(workers[own.front()], evidence[own.front()]));
  diagnosis.parts[root] = Part::kRootCause;
  return diagnosis;
}

}  // namespace ferrun
