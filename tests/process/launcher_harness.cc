#include "tests/process/launcher_harness.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <optional>

namespace ferrun::testing {

LauncherHarness::LauncherHarness(std::optional<uint64_t> open_files)
    : launcher(io,
               {.exited =
                    [this](int attempt, int local_rank, pid_t pid, ExitStatus status) {
                      exits.push_back({attempt, local_rank, pid, status});
                    },
                .template_lost = [this](const std::string& reason) { lost_templates.push_back(reason); },
                .say = [this](const std::string& line) { said.push_back(line); }},
               open_files) {}

SpawnRequest LauncherHarness::request(const std::vector<std::string>& actions, int local_rank, int attempt) const {
  SpawnRequest request;
  request.local_rank = local_rank;
  request.attempt = attempt;
  request.argv = {FERRUN_TEST_BIN_DIR "/probe_worker"};
  request.argv.insert(request.argv.end(), actions.begin(), actions.end());
  request.environment = Environment::from_block(environ);
  const size_t equals = marker.variable().find('=');
  request.environment.set(marker.variable().substr(0, equals), marker.variable().substr(equals + 1));
  request.environment.set("RANK", std::to_string(local_rank));
  request.environment.set("LOCAL_RANK", std::to_string(local_rank));
  request.environment.set("TORCHELASTIC_RESTART_COUNT", std::to_string(attempt));
  // A probe built with a sanitizer must show the signals that it was given, not the sanitizer's handlers.
  for (const char* options : {"ASAN_OPTIONS", "TSAN_OPTIONS"}) {
    request.environment.set(options, "handle_segv=0:handle_sigbus=0:handle_sigfpe=0");
  }
  return request;
}

SpawnRequest LauncherHarness::fork_request(const std::vector<std::string>& actions, int local_rank, int attempt) const {
  SpawnRequest made = request(actions, local_rank, attempt);
  made.argv[0] = FERRUN_TEST_BIN_DIR "/fork_probe_worker";
  return made;
}

int LauncherHarness::open_output(int local_rank) const {
  return open(output_file(local_rank).c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

pid_t LauncherHarness::start(const SpawnRequest& request) {
  const int fd = open_output(request.local_rank);
  const Result<pid_t> started = try_start(request, {fd, fd});
  close(fd);
  if (!started) {
    ADD_FAILURE() << started.error().message;
    return 0;
  }
  return *started;
}

Result<pid_t> LauncherHarness::try_start(const SpawnRequest& request, WorkerStdio stdio) {
  std::optional<Result<pid_t>> outcome;
  launcher.start(request, stdio, [&](const Result<pid_t>& pid) { outcome = pid; });
  if (!run_until([&] { return outcome.has_value(); })) return Error{ErrorKind::kInternal, "no answer to a start"};
  return *outcome;
}

std::vector<KilledProcess> LauncherHarness::sweep(Duration grace) {
  std::optional<std::vector<KilledProcess>> killed;
  launcher.sweep(grace, [&](const std::vector<KilledProcess>& processes) { killed = processes; });
  if (!run_until([&] { return killed.has_value(); })) ADD_FAILURE() << "the sweep did not end";
  return killed.value_or(std::vector<KilledProcess>());
}

Status LauncherHarness::start_template(const SpawnRequest& request) {
  std::optional<Status> state;
  launcher.start_template({request.argv, request.environment}, [&](const Status& status) { state = status; });
  if (!run_until([&] { return state.has_value(); }))
    return Error{ErrorKind::kInternal, "the template neither came nor ended"};
  return *state;
}

void LauncherHarness::fork(const SpawnRequest& request) {
  const int fd = open_output(request.local_rank);
  launcher.fork_from_template(request, {fd, fd}, [this, rank = request.local_rank](const Result<pid_t>& pid) {
    forked.insert_or_assign(rank, pid);
    forked_order.push_back(rank);
  });
  close(fd);
}

bool LauncherHarness::run_until(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + kHangLimit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    io.restart();
    io.run_one_for(std::chrono::milliseconds(20));
  }
  return true;
}

bool LauncherHarness::run_until_exits(size_t count) {
  return run_until([&] { return exits.size() >= count; });
}

ExitStatus LauncherHarness::run(const std::vector<std::string>& actions) {
  const size_t before = exits.size();
  start(request(actions));
  if (!run_until_exits(before + 1)) {
    ADD_FAILURE() << "the probe did not end";
    return ExitStatus::exited(-1);
  }
  return exits.back().status;
}

}  // namespace ferrun::testing
