#include "launcher/report/root_cause.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <csignal>
#include <string_view>

namespace ferrun {
namespace {

// How Gloo, NCCL, TCPStore, plain sockets and ferrun's worker say that the other side has gone or does not answer.
constexpr std::array<std::string_view, 18> kLostPeer = {"connection reset by peer",
                                                        "connection closed by peer",
                                                        "connection refused",
                                                        "broken pipe",
                                                        "remote process exited",
                                                        "connection was likely closed",
                                                        "remote error",
                                                        "failed to recv, got 0 bytes",
                                                        "socket closed",
                                                        "connectfullmesh failed",
                                                        "application timeout caused pair closure",
                                                        "software caused connection abort",
                                                        "timed out waiting",
                                                        "wait timeout",
                                                        "watchdog caught collective operation timeout",
                                                        "communicator was aborted",
                                                        "ncclremoteerror",
                                                        "lost the connection to another rank"};

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

bool tells_of_lost_peer(const ErrorFile& error) {
  if (error.cause != ErrorFile::Cause::kUnsaid) return error.cause == ErrorFile::Cause::kLostPeer;
  return error.state == ErrorFile::State::kRead && tells_of_lost_peer(std::string_view(error.message));
}

// "ValueError: bad label", the line behind the last traceback; empty where there is none. What libraries complain of
// while the program ends, a closed store for one, comes after it. Torch writes "[rank0]: " before each line.
std::string_view python_exception(const std::vector<std::string>& stderr_tail) {
  constexpr std::string_view kTraceback = "Traceback (most recent call last):";
  const auto newest = std::ranges::find_if(stderr_tail.rbegin(), stderr_tail.rend(), [&](const std::string& line) {
    return line.find(kTraceback) != std::string::npos;
  });
  if (newest == stderr_tail.rend()) return {};
  const std::string_view prefix = std::string_view(*newest).substr(0, newest->find(kTraceback));
  for (auto line = newest.base(); line != stderr_tail.end(); ++line) {
    if (!line->starts_with(prefix)) continue;
    const std::string_view text = std::string_view(*line).substr(prefix.size());
    if (!text.empty() && text.front() != ' ') return text;
  }
  return {};
}

bool tells_of_lost_peer(const std::vector<std::string>& stderr_tail) {
  if (const std::string_view exception = python_exception(stderr_tail); !exception.empty()) {
    return tells_of_lost_peer(exception);
  }
  return std::ranges::any_of(stderr_tail,
                             [](const std::string& line) { return tells_of_lost_peer(std::string_view(line)); });
}

// What a Python program ends with when it is asked to.
constexpr std::array<std::string_view, 3> kAskedToEnd = {"KeyboardInterrupt", "SystemExit", "SignalException"};

// The lines from the one by which C++ says that nobody caught an exception: its type, then its what().
std::vector<std::string> cpp_exception(const std::vector<std::string>& stderr_tail) {
  const auto newest = std::ranges::find_if(stderr_tail.rbegin(), stderr_tail.rend(), [](const std::string& line) {
    return line.find("terminate called after throwing an instance of") != std::string::npos;
  });
  if (newest == stderr_tail.rend()) return {};
  return {newest.base() - 1, stderr_tail.end()};
}

bool tells_of_own_exception(const std::vector<std::string>& stderr_tail) {
  if (const std::string_view exception = python_exception(stderr_tail); !exception.empty()) {
    const std::string_view type = exception.substr(0, exception.find(':'));
    const auto is_named = [type](std::string_view name) { return type.ends_with(name); };
    return !tells_of_lost_peer(exception) && std::ranges::none_of(kAskedToEnd, is_named);
  }
  const std::vector<std::string> thrown = cpp_exception(stderr_tail);
  return !thrown.empty() && !tells_of_lost_peer(thrown);
}

bool was_signalled(const WorkerRecord& worker, int signal) {
  return std::ranges::find(worker.sent_signals, signal) != worker.sent_signals.end();
}

constexpr int kExitOfPythonsException = 1;

// The exit code by which a handler passes a signal on: 128 and its number.
bool is_exit_of_a_handler(const WorkerRecord& worker) {
  return worker.status->code() > 128 && was_signalled(worker, worker.status->code() - 128);
}

// As the signals that ferrun sent bring it about.
bool is_ending_of_ferrun(const WorkerRecord& worker) {
  return !worker.status->is_signal() || was_signalled(worker, worker.status->signal());
}

// An exception that was there before ferrun's signal is no consequence of it, however the worker ended then; one that
// came later may be its handler's, which says so by its exit code.
bool is_cut_short(const WorkerRecord& worker, const WorkerEvidence& evidence) {
  if (worker.sent_signals.empty() || evidence.error.state != ErrorFile::State::kAbsent) return false;
  if (tells_of_own_exception(evidence.stderr_before_stop)) return true;
  return !worker.status->is_signal() && !is_exit_of_a_handler(worker) && tells_of_own_exception(evidence.stderr_tail);
}

// A signal is no lost connection, unless the worker has said that before.
bool is_casualty(const WorkerRecord& worker, const WorkerEvidence& evidence) {
  if (worker.start_error) return false;
  if (evidence.error.cause == ErrorFile::Cause::kLostPeer) return true;
  if (!may_have_lost_its_peer(*worker.status)) return false;
  if (evidence.error.state == ErrorFile::State::kRead) return tells_of_lost_peer(evidence.error);
  return tells_of_lost_peer(evidence.stderr_tail);
}

// It failed before ferrun's signal hit it: an interpreter may take long to end.
bool has_own_story(const ErrorFile& error) {
  return error.state == ErrorFile::State::kRead && !tells_of_lost_peer(error);
}

}  // namespace

bool may_have_lost_its_peer(const ExitStatus& status) {
  return !status.success() && (!status.is_signal() || status.signal() == SIGABRT);
}

bool is_victim(const WorkerRecord& worker, const WorkerEvidence& evidence) {
  if (worker.sent_signals.empty() || !worker.status) return false;
  if (is_cut_short(worker, evidence)) return false;
  if (!worker.status->is_signal()) return evidence.error.state == ErrorFile::State::kAbsent;
  return was_signalled(worker, worker.status->signal()) && !has_own_story(evidence.error);
}

FailureKind failure_kind(const WorkerRecord& worker, const WorkerEvidence& evidence) {
  if (worker.start_error || !worker.status) return FailureKind::kNotStarted;
  // A shell says by 137 that its command was killed; that it was one of the job's, the job's own counter says.
  const bool is_killed = worker.status->signal() == SIGKILL ||
                         (evidence.memory_of_the_job && worker.status->shell_code() == 128 + SIGKILL);
  if (is_killed && !evidence.out_of_memory.empty()) return FailureKind::kOutOfMemory;
  if (is_ending_of_ferrun(worker) && is_cut_short(worker, evidence)) return FailureKind::kCutShort;
  if (is_casualty(worker, evidence)) return FailureKind::kLostPeer;
  return own_end(worker, evidence).is_signal() ? FailureKind::kSignal : FailureKind::kExit;
}

bool was_met_on_its_way_out(const WorkerRecord& worker, const WorkerEvidence& evidence) {
  if (!worker.status || !worker.status->is_signal() || !was_signalled(worker, worker.status->signal())) return false;
  return evidence.error.state == ErrorFile::State::kRead || is_cut_short(worker, evidence);
}

ExitStatus own_end(const WorkerRecord& worker, const WorkerEvidence& evidence) {
  if (!was_met_on_its_way_out(worker, evidence) || evidence.error.is_crash()) return *worker.status;
  const bool told_by_stderr = evidence.error.state != ErrorFile::State::kRead;
  const bool by_cpp = told_by_stderr && python_exception(evidence.stderr_before_stop).empty();
  return by_cpp ? ExitStatus::signaled(SIGABRT) : ExitStatus::exited(kExitOfPythonsException);
}

}  // namespace ferrun
