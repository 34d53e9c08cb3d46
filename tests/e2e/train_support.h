// Runs the real ferrun with the real worker on tiny drawn faces, and compares what two runs left behind.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/process/process_test_support.h"

namespace ferrun::testing {

using Words = std::vector<std::string>;

class Training : public ::testing::Test {
 protected:
  // ferrun with `ranks` workers, each on one thread. The output goes to directory.file(output).
  Words job(int ranks, const std::string& output, const Words& worker_options = {},
            const Words& ferrun_options = {}) const;
  // A worker command without a launcher, from the first word on.
  static Words worker(const Words& words);

  // Runs to the end and expects success.
  std::string run(const Words& command) const;
  ProgramOptions options() const { return {.environment = {marker.variable(), "OMP_NUM_THREADS=1"}}; }

  // The living worker with this rank and restart count; waits for it.
  pid_t worker_pid(int rank, int restart_count) const;

  // The processor time that its main thread has had; 0 for one that is gone.
  static double computing_seconds(pid_t pid);

  std::string path(const std::string& output, const std::string& name) const {
    return directory.file(output) + "/" + name;
  }
  // Weights, optimizer, random states, position and numbers of two outputs are equal bit for bit, and so are
  // the best models and metrics.csv as files.
  void expect_equal_outputs(const std::string& a, const std::string& b) const;

  JobMarker marker;
  TemporaryDirectory directory;
};

// 70 faces to train on and 14 to validate, six steps an epoch for one, two and three ranks.
inline const Words kTinyRun = {"--faces",  "10", "--image-size", "32", "--batch-size", "12",
                               "--epochs", "3",  "--patience",   "0"};

}  // namespace ferrun::testing
