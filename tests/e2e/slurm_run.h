// A real Slurm of three hosts in network namespaces, for the tests of one file: scripts/slurm-cluster starts it, and
// where it cannot the tests skip with its reason.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/process/process_test_support.h"

namespace ferrun::testing {

class Slurm : public ::testing::Test {
 protected:
  static void SetUpTestSuite();
  static void TearDownTestSuite();
  void SetUp() override;

  // A command at the head node, with DIR, a folder of the test.
  std::unique_ptr<Program> at_head(std::vector<std::string> words) const;
  // `srun OPTIONS ferrun FLAGS --no-python sh -c SCRIPT`.
  std::unique_ptr<Program> step(std::vector<std::string> options, const std::string& script,
                                const std::vector<std::string>& flags = {}) const;
  // `sbatch -W OPTIONS` of this script; what sbatch and the job wrote.
  std::string batch(std::vector<std::string> options, const std::string& script) const;
  // The same without waiting: the job's number. It writes to file("NAME.out"), and to it again when it is started
  // again.
  std::string submit(const std::string& name, std::vector<std::string> options, const std::string& script) const;
  bool eventually_over(const std::string& job) const;

  std::string file(const std::string& name) const { return directory.file(name); }
  // How many files of the test's folder begin with it.
  size_t files(const std::string& prefix) const;
  static std::vector<std::string> lines_of(const std::string& text);

  static std::unique_ptr<TemporaryDirectory> folder;  // the cluster's
  static std::string why_not;
  const JobMarker marker;
  const TemporaryDirectory directory;
};

}  // namespace ferrun::testing
