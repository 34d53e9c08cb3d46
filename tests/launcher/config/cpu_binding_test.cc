#include "launcher/config/cpu_binding.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/launcher/config/host_fixture.h"

namespace ferrun {
namespace {

using enum NumaBinding;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Two sockets of two nodes of four cores of two threads; CPUs 16 and up are the second threads; two cores share a
// cache.
CpuTopology sixteen_cores() {
  CpuTopology cpus;
  for (int index = 0; index < 32; ++index) {
    const int core = index % 16;
    cpus.push_back({index, core / 4, core / 8, core, core / 2 * 2});
  }
  return cpus;
}

GpuDevice gpu_at(int node, const std::string& model = "H100") {
  return {"", "0000:0" + std::to_string(node) + ":00.0", model, node};
}

class CpuBindingTest : public ::testing::Test {
 protected:
  CpuBindingTest() { host_.cpus(sixteen_cores()); }

  // "0-3,16-19" for each worker.
  std::vector<std::string> bind(NumaBinding binding, int workers) {
    const Result<CpuBinding> bound = bind_workers(binding, host_.facts(), MigInstances::kFirst, workers);
    if (!bound) return {bound.error().message};
    std::vector<std::string> lists;
    for (const WorkerCpus& worker : bound->workers) lists.push_back(cpu_list_text(worker.cpus));
    return lists;
  }
  std::string refusal(NumaBinding binding, int workers) { return bind(binding, workers).front(); }

  FakeHost host_;
};

TEST_F(CpuBindingTest, EachKindFollowsTheWorkersDevice) {
  host_.gpu_devices({gpu_at(3), gpu_at(0), gpu_at(0), gpu_at(0)});
  EXPECT_THAT(bind(kNode, 2), ElementsAre("12-15,28-31", "0-3,16-19"));
  EXPECT_THAT(bind(kSocket, 2), ElementsAre("8-15,24-31", "0-7,16-23"));
  EXPECT_THAT(bind(kExclusive, 4), ElementsAre("12-15,28-31", "0-1,16-17", "2,18", "3,19"))
      << "the first device of a node has the core that is left over";
  EXPECT_THAT(bind(kExclusive, 2), ElementsAre("12-15,28-31", "0-1,16-17")) << "devices without a worker have a share";
  EXPECT_THAT(bind(kCoreComplex, 4), ElementsAre("12-13,28-29", "0-1,16-17", "2-3,18-19", "0-1,16-17"))
      << "in turns where there are fewer complexes than devices";
}

TEST_F(CpuBindingTest, VisibleDevicesGiveTheOrder) {
  host_.gpu_devices({gpu_at(0), gpu_at(1), gpu_at(2), gpu_at(3)}).variable("CUDA_VISIBLE_DEVICES", "2,0");
  EXPECT_THAT(bind(kNode, 2), ElementsAre("8-11,24-27", "0-3,16-19"));
  EXPECT_EQ(bind_workers(kNode, host_.facts(), MigInstances::kFirst, 2)->workers[0].place,
            "NUMA node 2, where device 0 (0000:02:00.0) is");
}

TEST_F(CpuBindingTest, OnlyCpusThatThisProcessMayUse) {
  host_.cpus({{1, 0, 0, 1, 0}, {2, 0, 0, 2, 2}, {3, 0, 0, 3, 2}, {6, 1, 0, 6, 6}}).gpu_devices({gpu_at(0), gpu_at(1)});
  EXPECT_THAT(bind(kNode, 2), ElementsAre("1-3", "6"));
  EXPECT_THAT(bind(kCoreComplex, 1), ElementsAre("2-3")) << "the complex with most CPUs first";
  host_.gpu_devices({gpu_at(2)});
  EXPECT_EQ(
      refusal(kNode, 1),
      "this process may use no CPU of NUMA node 2, where device 0 (0000:02:00.0) is: it is confined to CPUs 1-3,6");
}

TEST_F(CpuBindingTest, RefusesWhatCannotBeShared) {
  host_.gpu_devices({gpu_at(0)});
  EXPECT_EQ(refusal(kNode, 2), "2 workers, and 1 visible device: each worker is bound next to a device of its own");
  host_.gpu_devices({gpu_at(0), gpu_at(0), gpu_at(0), gpu_at(0), gpu_at(0)});
  EXPECT_EQ(refusal(kExclusive, 1), "of NUMA node 0 this process may use 4 physical cores, too few for its 5 devices");
  EXPECT_THAT(bind(kNode, 1), ElementsAre("0-3,16-19"));
}

TEST_F(CpuBindingTest, APlaceThatIsNotKnownIsNoGuess) {
  host_.gpus({"GPU-a"});
  EXPECT_THAT(refusal(kNode, 1), HasSubstr("at which NUMA node device 0 is (/proc/driver/nvidia does not tell"));
  host_.gpu_devices({{"GPU-a", "0000:01:00.0"}});
  EXPECT_THAT(refusal(kNode, 1), HasSubstr("device 0 (0000:01:00.0) is (/sys/bus/pci/devices does not have it)"));
  host_.cpus({{0, 0, 0, 0, 0}, {1, 0, 0, 1, 0}});
  EXPECT_THAT(bind(kNode, 1), ElementsAre("0-1")) << "there is one node alone";
}

TEST_F(CpuBindingTest, TellsWhereItFollowsAGuess) {
  host_.gpu_devices({gpu_at(-1), gpu_at(1)});
  EXPECT_THAT(bind(kNode, 2), ElementsAre("0-3,16-19", "4-7,20-23"));
  EXPECT_THAT(bind_workers(kNode, host_.facts(), MigInstances::kFirst, 2)->warnings,
              ElementsAre(HasSubstr("node 0 is taken, as torchrun does")));
  host_.gpu_devices({gpu_at(0, "H100"), gpu_at(1, "A2")});
  EXPECT_THAT(bind_workers(kNode, host_.facts(), MigInstances::kFirst, 2)->warnings,
              ElementsAre(HasSubstr("CUDA_DEVICE_ORDER=PCI_BUS_ID")));
  host_.variable("CUDA_DEVICE_ORDER", "PCI_BUS_ID");
  EXPECT_THAT(bind_workers(kNode, host_.facts(), MigInstances::kFirst, 2)->warnings, IsEmpty());
}

TEST_F(CpuBindingTest, MemoryIsOfTheOnlyNodeOfAWorkersCpus) {
  host_.gpu_devices({gpu_at(3), gpu_at(0), gpu_at(1)}).node_memory({{0, 1, 2, 3}});
  const auto nodes = [&](NumaBinding binding) {
    std::vector<std::optional<int>> found;
    const auto bound = bind_workers(binding, host_.facts(), MigInstances::kFirst, 3);
    for (const WorkerCpus& worker : bound->workers) found.push_back(worker.memory_node);
    return found;
  };
  for (const NumaBinding binding : {kNode, kExclusive, kCoreComplex}) EXPECT_THAT(nodes(binding), ElementsAre(3, 0, 1));
  EXPECT_THAT(nodes(kSocket), Each(std::nullopt)) << "of two nodes";
  host_.node_memory({{0, 3}});
  EXPECT_THAT(nodes(kNode), ElementsAre(3, 0, std::nullopt)) << "node 1 has no memory for this process";
  host_.node_memory({});
  EXPECT_THAT(nodes(kNode), Each(std::nullopt));
  host_.node_memory({{0, 1, 2, 3}, true});
  EXPECT_THAT(nodes(kNode), Each(std::nullopt)) << "the user's policy stays";
  host_.gpu_devices({}).node_memory({{0, 1, 2, 3}});
  EXPECT_THAT(nodes(kExclusive), ElementsAre(0, 2, 3)) << "without devices likewise";
}

TEST_F(CpuBindingTest, TellsThatTheKernelRefusesAPolicyWhereItMatters) {
  host_.node_memory({{0, 1}, false, "Operation not permitted"});
  const auto bound = bind_workers(kNode, host_.facts(), MigInstances::kFirst, 1);
  EXPECT_THAT(bound->warnings, ElementsAre("the memory of workers is not bound, their CPUs are: the kernel refuses it "
                                           "(Operation not permitted), as containers do without CAP_SYS_NICE"));
  EXPECT_EQ(bound->workers[0].memory_node, std::nullopt);
  host_.node_memory({{0}, false, "Operation not permitted"});
  EXPECT_THAT(bind_workers(kNode, host_.facts(), MigInstances::kFirst, 1)->warnings, IsEmpty()) << "all memory is near";
}

TEST_F(CpuBindingTest, WithoutDevicesWorkersAreSpreadOverTheCores) {
  EXPECT_THAT(bind(kNode, 4), ElementsAre("0-3,16-19", "4-7,20-23", "8-11,24-27", "12-15,28-31"));
  EXPECT_THAT(bind(kSocket, 2), ElementsAre("0-7,16-23", "8-15,24-31"));
  EXPECT_THAT(bind(kExclusive, 3), ElementsAre("0-3,16-19", "8-11,24-27", "12-15,28-31"));
  EXPECT_THAT(bind(kExclusive, 8), ElementsAre("0-1,16-17", "2-3,18-19", "4-5,20-21", "6-7,22-23", "8-9,24-25",
                                               "10-11,26-27", "12-13,28-29", "14-15,30-31"));
  EXPECT_THAT(bind(kCoreComplex, 8), bind(kExclusive, 8));
  EXPECT_THAT(refusal(kExclusive, 17), HasSubstr("too few for its"));
  host_.gpus({"GPU-a"}).variable("CUDA_VISIBLE_DEVICES", "");
  EXPECT_THAT(bind(kNode, 1), ElementsAre("8-11,24-27")) << "a device that nobody sees counts as none";
}

TEST(SpreadOverCores, GivesEveryWorkerACoreOfItsOwnWhileThereAreEnough) {
  FakeHost host;
  CpuTopology cpus;  // nodes of 1, 5 and 3 cores
  for (int index = 0; index < 9; ++index) cpus.push_back({index, index < 1 ? 0 : index < 6 ? 1 : 2, 0, index, 0});
  host.cpus(cpus);
  for (int workers = 1; workers <= 9; ++workers) {
    const Result<CpuBinding> bound = bind_workers(kExclusive, host.facts(), MigInstances::kFirst, workers);
    ASSERT_TRUE(bound) << workers << ": " << bound.error().message;
    std::set<int> taken;
    for (const WorkerCpus& worker : bound->workers) {
      for (const int cpu : worker.cpus) EXPECT_TRUE(taken.insert(cpu).second) << workers << " workers, CPU " << cpu;
    }
  }
}

TEST(CpuList, IsWrittenInRanges) {
  EXPECT_EQ(cpu_list_text({0, 1, 2, 8, 10, 11}), "0-2,8,10-11");
  EXPECT_EQ(cpu_list_text({}), "");
}

}  // namespace
}  // namespace ferrun
