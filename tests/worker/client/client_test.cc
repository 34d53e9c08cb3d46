#include "ferrun/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <sstream>

#include "ferrun/client_c.h"
#include "tests/temporary_directory.h"
#include "worker/client/json_string.h"

namespace ferrun::client {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr const char* kVariables[] = {"RANK",
                                      "LOCAL_RANK",
                                      "WORLD_SIZE",
                                      "LOCAL_WORLD_SIZE",
                                      "GROUP_RANK",
                                      "TORCHELASTIC_RESTART_COUNT",
                                      "TORCHELASTIC_MAX_RESTARTS",
                                      "TORCHELASTIC_RUN_ID",
                                      "TORCHELASTIC_ERROR_FILE",
                                      "FERRUN_LAUNCH_ID",
                                      "FERRUN_LAUNCH_DIR",
                                      "FERRUN_SHUTDOWN_TIMEOUT"};

class ClientTest : public ::testing::Test {
 protected:
  ClientTest() {
    for (const char* name : kVariables) unsetenv(name);
  }
  ~ClientTest() override {
    for (const char* name : kVariables) unsetenv(name);
  }
  static void set(const char* name, const std::string& value) { setenv(name, value.c_str(), 1); }
  static void set_world(const std::string& rank, const std::string& size) {
    set("RANK", rank);
    set("WORLD_SIZE", size);
  }
  static std::string complaint() {
    try {
      context_from_environment();
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "none";
  }
  std::string content(const std::filesystem::path& file) const {
    std::ostringstream text;
    text << std::ifstream(file, std::ios::binary).rdbuf();
    return text.str();
  }
  const testing::TemporaryDirectory directory;
  const std::filesystem::path& folder = directory.path();
};

TEST_F(ClientTest, WithoutALauncherTheWorldIsOne) {
  const Context context = context_from_environment();
  EXPECT_EQ(context.rank, 0);
  EXPECT_EQ(context.world_size, 1);
  EXPECT_EQ(context.local_world_size, 1);
  EXPECT_EQ(context.launch_id, "");
  EXPECT_EQ(context.launch_dir, "");
  EXPECT_EQ(context.run_id, "");
  EXPECT_FALSE(context.error_file.has_value());
}

TEST_F(ClientTest, ReadsEveryField) {
  set_world("5", "8");
  set("LOCAL_RANK", "1");
  set("LOCAL_WORLD_SIZE", "4");
  set("GROUP_RANK", "1");
  set("TORCHELASTIC_RESTART_COUNT", "2");
  set("TORCHELASTIC_MAX_RESTARTS", "3");
  set("TORCHELASTIC_RUN_ID", "run7");
  set("FERRUN_LAUNCH_ID", "run7-x");
  set("FERRUN_LAUNCH_DIR", "/logs/launch");
  set("TORCHELASTIC_ERROR_FILE", "/logs/error.json");
  const Context context = context_from_environment();
  EXPECT_EQ(context.rank, 5);
  EXPECT_EQ(context.local_rank, 1);
  EXPECT_EQ(context.world_size, 8);
  EXPECT_EQ(context.local_world_size, 4);
  EXPECT_EQ(context.group_rank, 1);
  EXPECT_EQ(context.restart_count, 2);
  EXPECT_EQ(context.max_restarts, 3);
  EXPECT_EQ(context.run_id, "run7");
  EXPECT_EQ(context.launch_id, "run7-x");
  EXPECT_EQ(context.launch_dir, "/logs/launch");
  EXPECT_EQ(context.error_file, "/logs/error.json");
}

TEST_F(ClientTest, NamesTheVariableThatIsWrong) {
  set_world("x", "2");
  EXPECT_EQ(complaint(), "RANK=x is not a number");
  set_world("1 ", "2");
  EXPECT_EQ(complaint(), "RANK=1  is not a number");
  set_world("99999999999", "2");
  EXPECT_EQ(complaint(), "RANK=99999999999 is not a number");
  set_world("-1", "2");
  EXPECT_EQ(complaint(), "RANK=-1 is negative");
  set_world("2", "2");
  EXPECT_EQ(complaint(), "RANK=2 is outside the world of WORLD_SIZE=2");
  set_world("0", "0");
  EXPECT_THAT(complaint(), HasSubstr("WORLD_SIZE=0"));
  set_world("1", "2");
  set("LOCAL_WORLD_SIZE", "2");
  set("LOCAL_RANK", "2");
  EXPECT_EQ(complaint(), "LOCAL_RANK=2 is outside the world of LOCAL_WORLD_SIZE=2");
  set("LOCAL_RANK", "1");
  set("LOCAL_WORLD_SIZE", "4");
  EXPECT_EQ(complaint(), "LOCAL_WORLD_SIZE=4 is larger than WORLD_SIZE=2");
}

TEST_F(ClientTest, ARankWithoutAWorldIsRefused) {
  set("RANK", "3");
  EXPECT_EQ(complaint(), "RANK=3 is outside the world of WORLD_SIZE=1");
}

// Under torchrun every worker is the agent's child, so that all of them make the same id; another launch makes another.
TEST_F(ClientTest, UnderTorchrunTheLaunchIdNamesTheAgentProcess) {
  set("TORCHELASTIC_RUN_ID", "none");
  const std::string id = context_from_environment().launch_id;
  EXPECT_THAT(id, StartsWith("none-" + std::to_string(getppid()) + "-"));
  const std::string start = id.substr(id.rfind('-') + 1);
  EXPECT_FALSE(start.empty());
  EXPECT_EQ(start.find_first_not_of("0123456789"), std::string::npos) << id;
  EXPECT_EQ(context_from_environment().launch_id, id);
}

TEST_F(ClientTest, WritesTheErrorFileThatTorchelasticReads) {
  const std::filesystem::path file = folder / "error.json";
  set("TORCHELASTIC_ERROR_FILE", file);
  const std::time_t before = std::time(nullptr);
  ASSERT_TRUE(report_error("loss is \"nan\"\nat step 3, file \xff.jpg"));
  const auto json = nlohmann::json::parse(content(file));
  EXPECT_EQ(json["message"], "loss is \"nan\"\nat step 3, file \xEF\xBF\xBD.jpg");
  EXPECT_GE(json["timestamp"].get<std::time_t>(), before);
  EXPECT_LE(json["timestamp"].get<std::time_t>(), std::time(nullptr));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1) << "a draft was left";
}

TEST_F(ClientTest, TheLatestErrorReplacesAnEarlierOne) {
  const std::filesystem::path file = folder / "error.json";
  set("TORCHELASTIC_ERROR_FILE", file);
  ASSERT_TRUE(report_error("first, which is longer"));
  ASSERT_TRUE(report_error("second"));
  EXPECT_EQ(nlohmann::json::parse(content(file))["message"], "second");
}

TEST_F(ClientTest, SaysWhoseFailureItIsBesideWhatOthersRead) {
  const std::filesystem::path file = folder / "error.json";
  set("TORCHELASTIC_ERROR_FILE", file);
  ASSERT_TRUE(report_error("connection refused by the file server", Cause::kOwn));
  EXPECT_EQ(nlohmann::json::parse(content(file))["ferrun"]["kind"], "own");
  EXPECT_EQ(nlohmann::json::parse(content(file))["message"], "connection refused by the file server");
  EXPECT_EQ(ferrun_report_lost_peer("rank 1 is gone"), 1);
  EXPECT_EQ(nlohmann::json::parse(content(file))["ferrun"]["kind"], "lost_peer");
  EXPECT_EQ(ferrun_report_own_error("bad label"), 1);
  EXPECT_EQ(nlohmann::json::parse(content(file))["ferrun"]["kind"], "own");
  ASSERT_TRUE(report_error("who knows"));
  EXPECT_FALSE(nlohmann::json::parse(content(file)).contains("ferrun"));
}

TEST_F(ClientTest, ReportsNothingWithoutAnErrorFile) {
  EXPECT_FALSE(report_error("lost"));
  set("TORCHELASTIC_ERROR_FILE", "");  // ferrun with --log-dir=/dev/null
  EXPECT_FALSE(report_error("lost"));
  set("TORCHELASTIC_ERROR_FILE", folder / "missing" / "error.json");
  EXPECT_FALSE(report_error("lost"));
}

TEST_F(ClientTest, CFunctionsSayTheSame) {
  set_world("1", "2");
  set("FERRUN_LAUNCH_ID", "id-1");
  EXPECT_EQ(ferrun_rank(), 1);
  EXPECT_EQ(ferrun_world_size(), 2);
  EXPECT_EQ(ferrun_local_rank(), 0);
  EXPECT_EQ(ferrun_restart_count(), 0);
  EXPECT_STREQ(ferrun_launch_id(), "id-1");
  EXPECT_STREQ(ferrun_launch_dir(), "");
  set("FERRUN_LAUNCH_DIR", "/logs/launch");
  EXPECT_STREQ(ferrun_launch_dir(), "/logs/launch");
  EXPECT_STREQ(ferrun_environment_error(), "");
  set_world("7", "2");
  EXPECT_EQ(ferrun_rank(), -1);
  EXPECT_STREQ(ferrun_environment_error(), "RANK=7 is outside the world of WORLD_SIZE=2");
  set("TORCHELASTIC_ERROR_FILE", folder / "error.json");
  EXPECT_EQ(ferrun_report_error("from C"), 1);
  EXPECT_EQ(nlohmann::json::parse(content(folder / "error.json"))["message"], "from C");
}

TEST(JsonString, EscapesWhatJsonAsksFor) {
  EXPECT_EQ(json_string(""), "\"\"");
  EXPECT_EQ(json_string("a\"b\\c"), "\"a\\\"b\\\\c\"");
  EXPECT_EQ(json_string("\n\r\t\x01\x1f\x7f"), "\"\\n\\r\\t\\u0001\\u001f\\u007f\"");
  EXPECT_EQ(json_string(std::string("a\0b", 3)), "\"a\\u0000b\"");
  EXPECT_EQ(json_string("h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x99\x82"), "\"h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x99\x82\"");
}

// Every pair and triple of bytes around the edges of UTF-8: a strict parser must accept the result, and
// valid text must come back unchanged.
TEST(JsonString, AlwaysGivesValidJson) {
  const std::string edges =
      "\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0\xc1\xc2\xdf\xe0\xe1\xed\xee\xef\xf0\xf1\xf4\xf5\xff"
      "A\"";
  for (const char first : edges) {
    for (const char second : edges) {
      for (const char third : edges) {
        for (const char fourth : edges) {
          const std::string text = {first, second, third, fourth};
          const auto parsed = nlohmann::json::parse(json_string(text), nullptr, false);
          ASSERT_TRUE(parsed.is_string()) << ::testing::PrintToString(text);
          const auto strictly_valid = nlohmann::json::parse("\"" + text + "\"", nullptr, false).is_string();
          ASSERT_TRUE(!strictly_valid || parsed.get<std::string>() == text) << ::testing::PrintToString(text);
        }
      }
    }
  }
}

// In a process of its own, whose signals are its alone.
int of_a_signalled_process(const char* timeout, const std::function<int()>& ask) {
  const pid_t child = fork();
  if (child == 0) {
    if (timeout != nullptr) setenv("FERRUN_SHUTDOWN_TIMEOUT", timeout, 1);
    note_stop_signals();
    if (noted_stop_signal() != 0 || time_to_stop()) _exit(200);
    raise(SIGTERM);
    raise(SIGINT);
    if (noted_stop_signal() != SIGTERM || ferrun_noted_stop_signal() != SIGTERM) _exit(201);
    _exit(ask());
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

TEST_F(ClientTest, AStopIsNotedWithTheTimeThatIsLeft) {
  EXPECT_EQ(of_a_signalled_process("1000000",
                                   [] {
                                     const auto left = time_to_stop();
                                     const bool sound =
                                         left && left->count() > 100000000 && left->count() <= 1000000000;
                                     return sound && ferrun_milliseconds_to_stop() > 100000000 ? 7 : 8;
                                   }),
            7);
  EXPECT_EQ(of_a_signalled_process("0", [] { return time_to_stop() == std::chrono::milliseconds(0) ? 7 : 8; }), 7);
  for (const char* none : {static_cast<const char*>(nullptr), "", "soon", "-3", "99999999999999999999"}) {
    EXPECT_EQ(
        of_a_signalled_process(none, [] { return time_to_stop() || ferrun_milliseconds_to_stop() != -1 ? 8 : 7; }), 7);
  }
}

}  // namespace
}  // namespace ferrun::client
