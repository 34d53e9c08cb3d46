// An endpoint's name that changes while agents look for their coordinator: a real name, in an /etc/hosts that these
// agents alone see.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "tests/e2e/nodes_run.h"

namespace ferrun::testing {
namespace {

using ::testing::HasSubstr;

constexpr const char* kName = "ferrun-test-endpoint";
// Of a documentation network: no machine has it.
constexpr const char* kStale = "203.0.113.7";
constexpr const char* kRight = "127.0.0.1  ";  // as long, so that one write changes the whole line

bool write_to(const char* path, const std::string& text) {
  const int file = open(path, O_WRONLY | O_CLOEXEC);
  const bool written = file >= 0 && write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  if (file >= 0) close(file);
  return written;
}

// Whoever is not root needs a user namespace for it, and stays who it is.
bool have_own_mounts() {
  if (unshare(CLONE_NEWNS) == 0) return true;
  const std::string user = std::to_string(getuid());
  const std::string group = std::to_string(getgid());
  return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 && write_to("/proc/self/setgroups", "deny") &&
         write_to("/proc/self/uid_map", user + " " + user + " 1") &&
         write_to("/proc/self/gid_map", group + " " + group + " 1");
}

bool put_in_place_of_etc_hosts(const std::string& file) {
  return have_own_mounts() && mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         mount(file.c_str(), "/etc/hosts", nullptr, MS_BIND, nullptr) == 0;
}

bool is_allowed(const std::string& file) {
  const pid_t child = fork();
  if (child == 0) _exit(put_in_place_of_etc_hosts(file) ? 0 : 1);
  int status = 0;
  return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

class NodesName : public Nodes {
 protected:
  void SetUp() override {
    point_to(kStale);
    if (!is_allowed(hosts())) GTEST_SKIP() << "no mount namespace with an /etc/hosts of its own may be made here";
  }
  std::string hosts() const { return file("hosts"); }
  // In place: the file is what the agents have mounted. Lookers-up find the old line or the new one.
  void point_to(const std::string& address) const {
    const int file = open(hosts().c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    const std::string line = address + " " + kName + "\n";
    EXPECT_EQ(write(file, line.data(), line.size()), static_cast<ssize_t>(line.size()));
    close(file);
  }
  std::unique_ptr<Program> agent_by_name() const {
    const Words words = {"--nnodes=2", std::string("--rdzv-endpoint=") + kName + ":" + std::to_string(port),
                         "--verbose",  "sh",
                         "-c",         "echo $RANK"};
    return ferrun(words, {}, [its_hosts = hosts()] {
      if (!put_in_place_of_etc_hosts(its_hosts)) _exit(99);
    });
  }
};

// The join timeout is far beyond the patience of the test: an agent that stayed with what the name was once would be
// looking for a coordinator at itself, or at nobody, for that long.
TEST_F(NodesName, AnAgentThatFoundAStaleAddressHostsOnceTheNameIsItsOwn) {
  const auto first = agent_by_name();
  const auto second = agent_by_name();
  ASSERT_TRUE(first->wait_for_output("another one coordinates it")) << first->err();
  ASSERT_TRUE(second->wait_for_output("another one coordinates it")) << second->err();
  point_to(kRight);
  EXPECT_EQ(first->wait(), ExitStatus::exited(0)) << first->err();
  EXPECT_EQ(second->wait(), ExitStatus::exited(0)) << second->err();
  EXPECT_THAT(first->err() + second->err(), HasSubstr("this agent coordinates the job"));
  EXPECT_THAT(first->err(), HasSubstr(kStale));
}

}  // namespace
}  // namespace ferrun::testing
