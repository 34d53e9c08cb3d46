// Several agents of one job on this machine, each a real ferrun, for the tests of this folder.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/process/process_test_support.h"

namespace ferrun::testing {

// A port that was free a moment ago.
uint16_t free_port();
// Whether somebody listens at the port, sooner or later: for programs whose output says nothing.
bool eventually_listens(uint16_t port);

class Nodes : public ::testing::Test {
 protected:
  Nodes();

  using Words = std::vector<std::string>;

  // ferrun with --nnodes, --rdzv-endpoint (of this test) and `options`; `command` is the workers'.
  std::unique_ptr<Program> agent(const std::string& nnodes, const Words& options, const Words& command,
                                 const Words& variables = {}) const;
  // ferrun with exactly these words.
  std::unique_ptr<Program> ferrun(const Words& words, const Words& variables = {},
                                  std::function<void()> in_child = {}) const;
  static Words shell(const std::string& script) { return {"sh", "-c", script}; }

  // The agent proper: the sentinel's child.
  static pid_t agent_of(const Program& program);
  // Of a pid's worker, as it wrote it by `echo $$ > NAME.$RANK`.
  bool eventually_exists(const std::string& name) const;
  void touch(const std::string& name) const;
  std::string file(const std::string& name) const { return directory.file(name); }
  // How many lines of all agents' files NAME hold.
  size_t lines_in(const std::string& name) const;
  bool eventually_lines(const std::string& name, size_t lines) const;

  std::string endpoint() const { return "127.0.0.1:" + std::to_string(port); }

  const uint16_t port;
  JobMarker marker;
  TemporaryDirectory directory;
};

// Agents whose workers write a line to `up`, "GROUP_RANK of GROUP_WORLD_SIZE, restart COUNT", and end when `go` is
// there. All say what they do.
class WaitingNodes : public Nodes {
 protected:
  std::unique_ptr<Program> waiting_agent(const std::string& nnodes, Words options = {}) const;
  // The first agent of a job, which coordinates it.
  std::unique_ptr<Program> coordinating_agent(const std::string& nnodes, Words options = {}) const;
  // `ferrun coordinator`, once it listens.
  std::unique_ptr<Program> own_coordinator(const std::string& nnodes, Words options = {}) const;
  bool eventually_up(const std::string& line) const;
  // With `go` there.
  static void expect_success(Program& program);
};

}  // namespace ferrun::testing
