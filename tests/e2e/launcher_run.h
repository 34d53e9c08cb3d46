// Runs the real ferrun as a user would, for the tests of this folder.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "common/exit_status.h"
#include "tests/temporary_directory.h"

namespace ferrun {

// A folder of its own below the test's temporary folder, removed at the end.
class ScratchFolder {
 public:
  const std::filesystem::path& path() const { return directory_.path(); }
  std::filesystem::path write(const std::string& name, const std::string& text, bool executable = false) const;
  // Every file below, relative to the folder, sorted.
  std::vector<std::string> files() const;
  std::string read(const std::filesystem::path& relative) const;
  // The first file whose path ends so; a test without one fails.
  std::string read_one(const std::string& ending) const;

 private:
  const testing::TemporaryDirectory directory_;
};

struct Finished {
  ExitStatus status = ExitStatus::exited(0);
  std::string out;
  std::string err;
  int code() const { return status.shell_code(); }
};

// ferrun on its way. Its environment is PATH, TMPDIR (the scratch folder) and what the test adds; its folder is the
// scratch folder. A run that takes longer than its patience is killed and fails the test.
class RunningFerrun {
 public:
  using Variables = std::map<std::string, std::string>;

  static constexpr std::chrono::seconds kPatience{180};

  RunningFerrun(const ScratchFolder& folder, const std::vector<std::string>& arguments, const Variables& variables = {},
                std::chrono::seconds patience = kPatience);
  ~RunningFerrun();
  RunningFerrun(const RunningFerrun&) = delete;
  RunningFerrun& operator=(const RunningFerrun&) = delete;

  pid_t pid() const { return pid_; }
  void send(int signal) const;
  // Until `text` has appeared `times` times on stdout; a failure of the test when ferrun ends before.
  void wait_for(const std::string& text, int times = 1);
  Finished finish();

 private:
  bool read_some();

  pid_t pid_ = -1;
  int out_ = -1;
  int err_ = -1;
  std::chrono::steady_clock::time_point give_up_;
  std::string out_text_;
  std::string err_text_;
};

// The whole run at once.
Finished ferrun(const ScratchFolder& folder, const std::vector<std::string>& arguments,
                const RunningFerrun::Variables& variables = {},
                std::chrono::seconds patience = RunningFerrun::kPatience);

std::vector<std::string> split_lines(const std::string& text);
// `lines` sorted: workers write in no particular order.
std::vector<std::string> sorted_lines(const std::string& text);

}  // namespace ferrun
