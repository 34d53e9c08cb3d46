#include "launcher/config/hostlist.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ferrun {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> hosts(const std::string& text) {
  const Result<std::vector<std::string>> expanded = expand_hostlist(text);
  return expanded ? *expanded : std::vector{"refused: " + expanded.error().message};
}

// The answers are those of `scontrol show hostnames`, Slurm 22.05.
TEST(Hostlist, IsExpandedAsSlurmExpandsIt) {
  EXPECT_THAT(hosts("n1"), ElementsAre("n1"));
  EXPECT_THAT(hosts("n[1-2]"), ElementsAre("n1", "n2"));
  EXPECT_THAT(hosts("n[1,3]"), ElementsAre("n1", "n3"));
  EXPECT_THAT(hosts("n[001-003,7]"), ElementsAre("n001", "n002", "n003", "n7"));
  EXPECT_THAT(hosts("n[08-11]"), ElementsAre("n08", "n09", "n10", "n11"));
  EXPECT_THAT(hosts("r[1-2]n[1-2]"), ElementsAre("r1n1", "r1n2", "r2n1", "r2n2"));
  EXPECT_THAT(hosts("a1,b[2-3],c"), ElementsAre("a1", "b2", "b3", "c"));
  EXPECT_THAT(hosts("gpu-a-07.cluster"), ElementsAre("gpu-a-07.cluster"));
}

TEST(Hostlist, WhatSlurmCannotHaveWrittenIsRefused) {
  EXPECT_THAT(hosts("gpu-a[1-2]-ib0"), ElementsAre(HasSubstr("behind the last bracket")));
  for (const char* text :
       {"", "n[", "n]", "n[1", "n[]", "n[a]", "n[3-1]", "n[1-]", "a,,b", "n[1-2],", "n[-3]", "n[1 2]"}) {
    EXPECT_THAT(hosts(text), ElementsAre(HasSubstr("refused"))) << text;
  }
}

TEST(Hostlist, ALongListIsRefusedBeforeItTakesMemory) {
  for (const char* text : {"n[1-999999999]", "n[0-99999999999999999]", "a[1-2000]b[1-2000]", "a[1-900000],b[1-900000]",
                           "n[1-99999999999999999999]"}) {
    EXPECT_THAT(hosts(text), ElementsAre(HasSubstr("refused"))) << text;
  }
}

TEST(TasksPerNode, AreExpanded) {
  EXPECT_THAT(*expand_tasks_per_node("1"), ElementsAre(1));
  EXPECT_THAT(*expand_tasks_per_node("2(x3),1"), ElementsAre(2, 2, 2, 1));
  for (const char* text : {"", "x", "2(x0)", "2(x", "2(x3", "2()", "-1", "2(x99999999)"}) {
    EXPECT_FALSE(expand_tasks_per_node(text)) << text;
  }
}

}  // namespace
}  // namespace ferrun
