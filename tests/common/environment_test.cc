#include "common/environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ferrun {
namespace {

TEST(Environment, ReadsABlockAsGetenvWould) {
  const char* block[] = {"A=1", "B=x=y", "no-equals", "=odd", "A=2", "EMPTY=", nullptr};
  const Environment environment = Environment::from_block(block);
  EXPECT_EQ(environment.get("A"), "1");
  EXPECT_EQ(environment.get("B"), "x=y");
  EXPECT_EQ(environment.get("EMPTY"), "");
  EXPECT_EQ(environment.get("no-equals"), std::nullopt);
  EXPECT_THAT(environment.to_strings(), ::testing::ElementsAre("A=1", "B=x=y", "EMPTY="));
}

TEST(Environment, SetReplacesAndEraseRemoves) {
  Environment environment;
  environment.set("RANK", "0");
  environment.set("RANK", "1");
  EXPECT_EQ(environment.get("RANK"), "1");
  environment.erase("RANK");
  EXPECT_FALSE(environment.contains("RANK"));
  EXPECT_EQ(environment.get_or("RANK", "none"), "none");
}

}  // namespace
}  // namespace ferrun
