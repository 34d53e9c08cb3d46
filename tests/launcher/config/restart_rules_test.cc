#include "launcher/config/restart_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

namespace ferrun {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(RestartRules, ReadCodesRangesSignalsAndMemory) {
  const auto rules = parse_exit_rules("3=stop, 40-49 = restart,SIGKILL=spend,SIGTERM=stop,oom=stop");
  ASSERT_TRUE(rules) << rules.error().message;
  EXPECT_THAT(*rules, ElementsAre(ExitRule{3, 3, false, OnExit::kStop, "3=stop"},
                                  ExitRule{40, 49, false, OnExit::kRestart, "40-49 = restart"},
                                  ExitRule{137, 137, false, OnExit::kSpend, "SIGKILL=spend"},
                                  ExitRule{143, 143, false, OnExit::kStop, "SIGTERM=stop"},
                                  ExitRule{0, 0, true, OnExit::kStop, "oom=stop"}));
  EXPECT_THAT(*parse_exit_rules(" "), IsEmpty());
}

TEST(RestartRules, SayWhatIsNoRule) {
  for (const char* text : {"3", "3=", "=stop", "3=stay", "0=stop", "256=stop", "9-3=stop", "SIGNOTHING=stop", "3-=stop",
                           "-3=stop", "3=stop,", "oom-3=stop", "3=stop=restart"}) {
    const auto rules = parse_exit_rules(text);
    ASSERT_FALSE(rules) << text;
    EXPECT_THAT(rules.error().message, HasSubstr("is no rule; expected WHAT=stop")) << text;
  }
}

RawOptions options(const std::string& name, const std::string& text) {
  RawOptions made;
  made.set(name, RawValue{text, "--" + name});
  return made;
}

TEST(RestartRules, ReadTheDelayAndItsLongest) {
  EXPECT_EQ(read_restart_policy({}, 1)->delay, 0s);
  EXPECT_EQ(read_restart_policy(options("restart-delay", "2.5"), 1)->delay, 2500ms);
  EXPECT_EQ(read_restart_policy(options("restart-delay", "2.5"), 1)->longest_delay, 300s);
  EXPECT_EQ(read_restart_policy(options("restart-delay", "2:8"), 7)->longest_delay, 8s);
  EXPECT_EQ(read_restart_policy(options("restart-delay", "2:8"), 7)->seed, 7u);
  EXPECT_EQ(read_restart_policy(options("restart-delay", "1000"), 1)->longest_delay, 1000s);
}

TEST(RestartRules, NameTheOptionAtFault) {
  for (const char* text : {"", "x", "-1", "1:x", "1:2:3", "inf"}) {
    EXPECT_EQ(read_restart_policy(options("restart-delay", text), 1).error().message,
              std::string("--restart-delay=") + text + ": expected seconds, 0 or more, or SECONDS:MAX");
  }
  EXPECT_EQ(read_restart_policy(options("restart-delay", "5:1"), 1).error().message,
            "--restart-delay=5:1: the longest delay is shorter than the first");
  EXPECT_THAT(read_restart_policy(options("on-exit", "3=stay"), 1).error().message,
              HasSubstr("--on-exit=3=stay: '3=stay' is no rule"));
}

}  // namespace
}  // namespace ferrun
