// What /sys tells of the CPUs of real machines, and what is made of it where it tells less.
#include "launcher/io/probe/cpu_topology.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/io/probe/usable_cores.h"
#include "tests/launcher/io/machine_tree.h"
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

TEST(CpuList, HasNumbersAndRanges) {
  EXPECT_THAT(parse_cpu_list("0-2,8,10-11\n"), ElementsAre(0, 1, 2, 8, 10, 11));
  EXPECT_THAT(parse_cpu_list("5"), ElementsAre(5));
  EXPECT_THAT(parse_cpu_list("\n"), IsEmpty());
  EXPECT_THAT(parse_cpu_list("x,3-,-1,4"), ElementsAre(4));
  EXPECT_THAT(parse_cpu_list("0-99999999999,1"), ElementsAre(1));
}

}  // namespace
}  // namespace ferrun
