// A program on one of the tests' hosts, its output kept and waited for. Ends with the test.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/exit_status.h"
#include "tests/net/test_network.h"

namespace ferrun::testing {

class HostProgram {
 public:
  using Variables = std::map<std::string, std::string>;

  // A hang limit, not a measure of speed.
  static constexpr std::chrono::seconds kPatience{240};

  // Starts `argv` (argv[0] is a path) on the host, in `folder`, with this process's environment and `variables`.
  HostProgram(const TestNetwork& network, int host, const std::vector<std::string>& argv, const std::string& folder,
              const Variables& variables = {});
  // Kills it, and everything below it that is left.
  ~HostProgram();
  HostProgram(const HostProgram&) = delete;
  HostProgram& operator=(const HostProgram&) = delete;

  pid_t pid() const { return pid_; }
  // Every process below it now, nearest first.
  std::vector<pid_t> descendants() const;
  void send(int signal) const;
  // To the program and all below it, as a machine that halts or loses power would.
  void send_all(int signal) const;

  // What it has printed on both streams so far.
  std::string output() const;
  // Until `text` has appeared `times` times; false, with a test failure, when it ends before or takes too long.
  bool wait_for(const std::string& text, int times = 1, std::chrono::seconds patience = kPatience);
  // Its end; a test failure and SIGKILL when it takes too long.
  ExitStatus wait(std::chrono::seconds patience = kPatience);
  bool running();

 private:
  bool ended();

  std::string label_;
  std::string output_path_;
  pid_t pid_ = 0;
  std::optional<ExitStatus> status_;
};

}  // namespace ferrun::testing
