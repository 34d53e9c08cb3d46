#include "worker/ddp/group_address.h"

#include <gtest/gtest.h>

namespace ferrun::ddp {
namespace {

Environment environment(std::initializer_list<std::pair<const char*, const char*>> variables) {
  Environment result;
  for (const auto& [name, value] : variables) {
    result.set(name, value);
  }
  return result;
}

TEST(GroupAddress, IsAWorldOfOneWithoutALauncher) {
  const auto address = group_address_from(Environment());
  ASSERT_TRUE(address.ok());
  EXPECT_TRUE(address->alone());
  EXPECT_EQ(address->rank, 0);
}

TEST(GroupAddress, ReadsWhatTorchrunSets) {
  const auto address = group_address_from(environment({{"RANK", "3"},
                                                       {"WORLD_SIZE", "4"},
                                                       {"MASTER_ADDR", "node0"},
                                                       {"MASTER_PORT", "23450"},
                                                       {"TORCHELASTIC_USE_AGENT_STORE", "True"}}));
  ASSERT_TRUE(address.ok());
  EXPECT_EQ(address->rank, 3);
  EXPECT_EQ(address->world_size, 4);
  EXPECT_EQ(address->master_addr, "node0");
  EXPECT_EQ(address->master_port, 23450);
  EXPECT_TRUE(address->agent_serves_store);
  EXPECT_FALSE(address->on_loopback());
}

TEST(GroupAddress, LeavesTheStoreToRankZeroUnlessTheAgentServesIt) {
  for (const char* value : {"False", "true", "1", ""}) {
    const auto address = group_address_from(environment({{"RANK", "0"},
                                                         {"WORLD_SIZE", "2"},
                                                         {"MASTER_ADDR", "127.0.0.1"},
                                                         {"MASTER_PORT", "1"},
                                                         {"TORCHELASTIC_USE_AGENT_STORE", value}}));
    ASSERT_TRUE(address.ok());
    EXPECT_FALSE(address->agent_serves_store) << value;
    EXPECT_TRUE(address->on_loopback());
  }
}

TEST(GroupAddress, NeedsNoStoreForOneRank) {
  const auto address = group_address_from(environment({{"RANK", "0"}, {"WORLD_SIZE", "1"}}));
  ASSERT_TRUE(address.ok());
  EXPECT_TRUE(address->alone());
}

TEST(GroupAddress, ConnectsAWorldOfOneThatWasAskedTo) {
  const auto address = group_address_from(environment({{"RANK", "0"},
                                                       {"WORLD_SIZE", "1"},
                                                       {"MASTER_ADDR", "127.0.0.1"},
                                                       {"MASTER_PORT", "23450"},
                                                       {"FERRUN_CONNECT_ALONE", "1"}}));
  ASSERT_TRUE(address.ok());
  EXPECT_FALSE(address->alone());
  EXPECT_EQ(address->master_port, 23450);
  const auto unasked =
      group_address_from(environment({{"RANK", "0"}, {"WORLD_SIZE", "1"}, {"FERRUN_CONNECT_ALONE", "0"}}));
  ASSERT_TRUE(unasked.ok());
  EXPECT_TRUE(unasked->alone());
}

struct Bad {
  std::initializer_list<std::pair<const char*, const char*>> variables;
  const char* named;
};

TEST(GroupAddress, NamesTheVariableThatIsWrong) {
  const Bad cases[] = {
      {{{"RANK", "0"}}, "WORLD_SIZE is not set"},
      {{{"WORLD_SIZE", "2"}}, "RANK is not set"},
      {{{"FERRUN_CONNECT_ALONE", "1"}}, "WORLD_SIZE is not set"},
      {{{"RANK", "0"}, {"WORLD_SIZE", "1"}, {"FERRUN_CONNECT_ALONE", "1"}}, "MASTER_PORT is not set"},
      {{{"RANK", "2"}, {"WORLD_SIZE", "2"}}, "RANK=2 is not a number between 0 and 1"},
      {{{"RANK", "0"}, {"WORLD_SIZE", "0"}}, "WORLD_SIZE=0 is not"},
      {{{"RANK", "x"}, {"WORLD_SIZE", "2"}}, "RANK=x is not"},
      {{{"RANK", "0"}, {"WORLD_SIZE", "2"}}, "MASTER_PORT is not set"},
      {{{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_PORT", "65536"}}, "MASTER_PORT=65536 is not"},
      {{{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_PORT", "80"}}, "MASTER_ADDR is not set"},
  };
  for (const Bad& bad : cases) {
    const auto address = group_address_from(environment(bad.variables));
    ASSERT_FALSE(address.ok()) << bad.named;
    EXPECT_EQ(address.error().kind, ErrorKind::kUsage);
    EXPECT_NE(address.error().message.find(bad.named), std::string::npos) << address.error().message;
  }
}

}  // namespace
}  // namespace ferrun::ddp
