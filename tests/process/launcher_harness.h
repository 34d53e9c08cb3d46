// A ProcessLauncher on a loop of its own, with what it reported, for tests. The probes' output goes to files.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "launcher/io/process/process_launcher.h"
#include "tests/process/process_test_support.h"

namespace ferrun::testing {

struct Exit {
  int attempt;
  int local_rank;
  pid_t pid;
  ExitStatus status;
};

class LauncherHarness {
 public:
  explicit LauncherHarness(std::optional<uint64_t> open_files = std::nullopt);

  // A request for a probe: the test's own environment with the job marker, RANK and LOCAL_RANK set.
  SpawnRequest request(const std::vector<std::string>& actions, int local_rank = 0, int attempt = 0) const;
  SpawnRequest fork_request(const std::vector<std::string>& actions, int local_rank = 0, int attempt = 0) const;

  // Starts the probe with its stdout and stderr in output_file(rank); fails the test when it cannot be started.
  pid_t start(const SpawnRequest& request);
  Result<pid_t> try_start(const SpawnRequest& request, WorkerStdio stdio);
  // Sweeps and runs the loop until that is done.
  std::vector<KilledProcess> sweep(Duration grace = Duration::zero());
  Status start_template(const SpawnRequest& request);  // until it is ready or lost
  void fork(const SpawnRequest& request);              // asks; the pid or error arrives in `forked`
  // Runs the loop until `condition` holds; false at the hang limit.
  bool run_until(const std::function<bool()>& condition);
  bool run_until_exits(size_t count);
  // Starts one probe and runs it to its end.
  ExitStatus run(const std::vector<std::string>& actions);

  std::string output(int local_rank = 0) const { return read_file(output_file(local_rank)); }
  std::string output_file(int local_rank) const { return directory.file("out" + std::to_string(local_rank)); }

  JobMarker marker;
  TemporaryDirectory directory;
  boost::asio::io_context io;
  std::vector<Exit> exits;
  std::vector<std::string> lost_templates;
  std::vector<std::string> said;
  std::map<int, Result<pid_t>> forked;  // by local rank
  std::vector<int> forked_order;
  ProcessLauncher launcher;

 private:
  int open_output(int local_rank) const;
};

}  // namespace ferrun::testing
