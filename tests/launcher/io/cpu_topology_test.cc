// What /sys tells of the CPUs of real machines, and what is made of it where it tells less.
#include "launcher/io/probe/cpu_topology.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <thread>

#include "launcher/io/probe/node_memory.h"
#include "launcher/io/probe/usable_cores.h"
#include "tests/launcher/io/machine_tree.h"
#include "tests/process/denied_calls.h"
#include "tests/temporary_directory.h"

namespace ferrun {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(CpuTopology, OfTwoSocketsWithFourNodesEach) {
  const testing::TemporaryDirectory folder;
  const testing::Machine machine = testing::real_machines()[0];
  testing::write_machine(machine, folder.path());
  EXPECT_THAT(read_cpu_topology(folder.path(), {0, 5, 15, 16, 133, 255}),
              ElementsAre(Cpu{0, 0, 0, 0, 0}, Cpu{5, 0, 0, 5, 4}, Cpu{15, 0, 0, 15, 12}, Cpu{16, 1, 0, 16, 16},
                          Cpu{133, 0, 0, 5, 4}, Cpu{255, 7, 1, 127, 124}));
}

TEST(CpuTopology, WhereTheKernelTellsNothingThereIsOneNodeAndOneCache) {
  const testing::TemporaryDirectory folder;
  EXPECT_THAT(read_cpu_topology(folder.path(), {2, 3}), ElementsAre(Cpu{2, 0, 0, 2, 2}, Cpu{3, 0, 0, 3, 2}));
}

TEST(CpuTopology, OfThisMachineHasEveryCpuThatMayBeUsed) {
  const std::vector<int> allowed = allowed_cpus();
  ASSERT_FALSE(allowed.empty());
  const CpuTopology topology = read_cpu_topology("/", allowed);
  ASSERT_EQ(topology.size(), allowed.size());
  for (size_t at = 0; at < allowed.size(); ++at) EXPECT_EQ(topology[at].index, allowed[at]);
}

TEST(NodeMemory, IsOfTheNodesThatTheCpusetAllows) {
  const testing::TemporaryDirectory folder;
  testing::write_machine(testing::real_machines()[0], folder.path());
  EXPECT_THAT(read_node_memory(folder.path()).nodes, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
  std::filesystem::create_directories(folder.path() / "proc/self");
  std::ofstream(folder.path() / "proc/self/status")
      << "Name:\tferrun\nMems_allowed:\t22\nMems_allowed_list:\t1,5-6,9\n";
  EXPECT_THAT(read_node_memory(folder.path()).nodes, ElementsAre(1, 5, 6));
}

TEST(NodeMemory, SaysWhetherThisProcessHasAPolicyAndMaySetOne) {
  const auto in_thread = [](int policy) {
    NodeMemory memory;
    std::thread([&] {
      const unsigned long node = 1;
      if (syscall(SYS_set_mempolicy, policy, policy == MPOL_DEFAULT ? nullptr : &node, 65UL) == 0) {
        memory = read_node_memory("/");
      } else {
        memory.refusal = "not here";
      }
    }).join();
    return memory;
  };
  if (in_thread(MPOL_DEFAULT).refusal == "not here") GTEST_SKIP() << "the kernel takes no memory policies here";
  EXPECT_FALSE(in_thread(MPOL_DEFAULT).has_policy);
  EXPECT_EQ(in_thread(MPOL_DEFAULT).refusal, "");
  EXPECT_TRUE(in_thread(MPOL_INTERLEAVE).has_policy);
}

TEST(NodeMemory, TellsWhatTheKernelSaysWhereItRefuses) {
  NodeMemory memory;
  bool denied = false;
  std::thread([&] {
    denied = testing::deny_calls({SYS_set_mempolicy}, EPERM);  // of this thread alone
    memory = read_node_memory("/");
  }).join();
  if (!denied) GTEST_SKIP() << "no seccomp filter can be set here";
  EXPECT_EQ(memory.refusal, "Operation not permitted");
  EXPECT_FALSE(memory.has_policy);
}

TEST(CpuList, HasNumbersAndRanges) {
  EXPECT_THAT(parse_cpu_list("0-2,8,10-11\n"), ElementsAre(0, 1, 2, 8, 10, 11));
  EXPECT_THAT(parse_cpu_list("5"), ElementsAre(5));
  EXPECT_THAT(parse_cpu_list("\n"), IsEmpty());
  EXPECT_THAT(parse_cpu_list("x,3-,-1,4"), ElementsAre(4));
  EXPECT_THAT(parse_cpu_list("0-99999999999,1"), ElementsAre(1));
}

}  // namespace
}  // namespace ferrun
