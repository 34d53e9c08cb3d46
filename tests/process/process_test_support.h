// For tests of real processes: programs started as children of the test, whose whole offspring is recognised by a
// marker in its environment, however it was orphaned or changed its session.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/exit_status.h"
#include "tests/temporary_directory.h"

namespace ferrun::testing {

inline constexpr std::chrono::seconds kHangLimit{180};  // far above what any step takes on a loaded machine

// Whether `condition` held before the limit ran out. Looks every few milliseconds.
bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds limit = kHangLimit);

// A variable whose value no other process on this machine carries.
class JobMarker {
 public:
  JobMarker();
  // Kills what a failed test left behind.
  ~JobMarker();
  JobMarker(const JobMarker&) = delete;
  JobMarker& operator=(const JobMarker&) = delete;

  const std::string& variable() const { return variable_; }  // "FERRUN_TEST_JOB=…"
  // The living processes that carry it (zombies carry nothing), by /proc/*/environ.
  std::vector<pid_t> processes() const;

 private:
  std::string variable_;
};

struct ProgramOptions {
  std::vector<std::string> environment = {};  // "NAME=value", added to the test's own
  bool own_group = false;                     // a process group of its own, as a shell gives to each job
  std::function<void()> in_child = {};        // the last thing before exec
};

// A running child of the test. Its stdout and stderr are collected through pipes while the test waits.
class Program {
 public:
  explicit Program(const std::vector<std::string>& argv, const ProgramOptions& options = {});
  ~Program();  // kills it when it is still running
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  pid_t pid() const { return pid_; }
  void signal(int number) const;
  // Reads its output until it has ended and every holder of its pipes has closed them; fails the test after the limit.
  ExitStatus wait();
  // Reads until `text` has appeared on stdout or stderr; false at the limit or the output's end.
  bool wait_for_output(const std::string& text);
  // Whether it has appeared there by now.
  bool has_said(const std::string& text);
  const std::string& out() const { return out_; }
  const std::string& err() const { return err_; }

 private:
  bool read_some(std::chrono::milliseconds patience);  // false: both streams are at their end
  pid_t pid_ = 0;
  std::optional<ExitStatus> status_;
  int out_fd_ = -1;
  int err_fd_ = -1;
  std::string out_;
  std::string err_;
};

// The command that makes a program the first process of a PID namespace, by root's right or by a user namespace; empty
// where neither is permitted.
std::vector<std::string> container_command();

// The command that runs a program where /proc is empty; empty where that cannot be arranged.
std::vector<std::string> command_without_proc();

std::vector<pid_t> children_of_process(pid_t pid);
// The number in a file that a probe wrote by its action `pid`; waits for it.
pid_t pid_from_file(const std::string& path);
bool process_exists(pid_t pid);  // a zombie exists
// Whether `pid` is a zombie whose other threads are gone too, and so can be reaped: the thread that ends first waits
// for them.
bool is_whole_zombie(pid_t pid);
// The state letter of /proc/PID/stat ('R', 'S', 'T' stopped, 'Z' zombie), or 0.
char process_state(pid_t pid);
std::string read_file(const std::string& path);

}  // namespace ferrun::testing
