// What an agent of several reads and leaves on its machine: the runtime folder, the status socket, the kernel's
// counters.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <filesystem>
#include <fstream>
#include <thread>

#include "launcher/io/node/runtime_folder.h"
#include "launcher/io/node/status_socket.h"
#include "launcher/io/probe/oom_watch.h"
#include "tests/process/process_test_support.h"

namespace ferrun::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
namespace fs = std::filesystem;

TEST(RuntimeFolder, LiesWhereTheUsersRuntimeFilesLie) {
  Environment environment;
  EXPECT_EQ(runtime_folder(environment), "/tmp/ferrun-" + std::to_string(geteuid()));
  environment.set("XDG_RUNTIME_DIR", "/run/user/7");
  EXPECT_EQ(runtime_folder(environment), "/run/user/7/ferrun");
}

TEST(RuntimeFolder, IsForItsOwnerAlone) {
  const TemporaryDirectory directory;
  const fs::path folder = directory.file("ferrun");
  ASSERT_TRUE(make_runtime_folder(folder));
  EXPECT_EQ(fs::status(folder).permissions(), fs::perms::owner_all);
  EXPECT_TRUE(make_runtime_folder(folder)) << "it is there already";
  fs::permissions(folder, fs::perms::all);
  EXPECT_THAT(make_runtime_folder(folder).error().message, HasSubstr("0700"));
}

TEST(RuntimeFolder, IsNoLinkToAnotherPlace) {
  const TemporaryDirectory directory;
  fs::create_directory(directory.file("elsewhere"));
  fs::create_directory_symlink(directory.file("elsewhere"), directory.file("ferrun"));
  EXPECT_THAT(make_runtime_folder(directory.file("ferrun")).error().message, HasSubstr("it is no folder"));
}

// An agent that answers every question with `status`, on a thread of its own.
class AnsweringAgent {
 public:
  AnsweringAgent(const fs::path& folder, const std::string& job, const std::string& status) {
    auto socket = StatusSocket::listen(io_, folder, job, [this, status](uint32_t id) { socket_->answer(id, status); });
    EXPECT_TRUE(socket) << socket.error().message;
    socket_ = std::move(*socket);
    thread_ = std::thread([this] { io_.run(); });
  }
  ~AnsweringAgent() {
    io_.stop();
    thread_.join();
  }
  AnsweringAgent(const AnsweringAgent&) = delete;
  AnsweringAgent& operator=(const AnsweringAgent&) = delete;

 private:
  boost::asio::io_context io_;
  std::unique_ptr<StatusSocket> socket_;
  std::thread thread_;
};

TEST(StatusSocket, AnswersWhoeverAsks) {
  const TemporaryDirectory directory;
  const AnsweringAgent agent(directory.path(), "run \"7\"", "{\"phase\":\"running\"}");
  const auto answers = ask_agents(directory.path(), std::chrono::seconds(30));
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(answers[0].job_id, "run \"7\"");
  EXPECT_EQ(answers[0].agent, getpid());
  EXPECT_EQ(answers[0].status, "{\"phase\":\"running\"}");
}

TEST(StatusSocket, IsForItsOwnerAloneAndGoesWithItsAgent) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("agent-" + std::to_string(getpid()) + ".socket");
  {
    const AnsweringAgent agent(directory.path(), "run7", "{}");
    struct stat found {};
    ASSERT_EQ(stat(path.c_str(), &found), 0);
    EXPECT_EQ(found.st_mode & 0777, 0600u);
  }
  EXPECT_FALSE(fs::exists(path));
}

TEST(StatusSocket, OneThatNobodyListensOnIsRemoved) {
  const TemporaryDirectory directory;
  boost::asio::io_context io;
  { boost::asio::local::stream_protocol::acceptor dead(io, directory.file("agent-1.socket")); }
  ASSERT_TRUE(fs::exists(directory.file("agent-1.socket")));
  EXPECT_THAT(ask_agents(directory.path(), std::chrono::seconds(30)), IsEmpty());
  EXPECT_FALSE(fs::exists(directory.file("agent-1.socket")));
}

class OomWatchTest : public ::testing::Test {
 protected:
  OomWatchTest() {
    fs::create_directories(directory.file("proc/self"));
    fs::create_directories(directory.file("cgroup/job"));
    std::ofstream(directory.file("proc/self/cgroup")) << "1:name=systemd:/other\n0::/job\n";
    write(0, 5);
  }
  void write(int in_group, int on_machine) {
    std::ofstream(directory.file("cgroup/job/memory.events")) << "low 0\noom 3\noom_kill " << in_group << "\n";
    std::ofstream(directory.file("proc/vmstat")) << "nr_free_pages 17\noom_kill " << on_machine << "\n";
  }
  TemporaryDirectory directory;
};

TEST_F(OomWatchTest, NoticesAKillInItsControlGroup) {
  OomWatch watch(directory.file("proc"), directory.file("cgroup"));
  EXPECT_EQ(watch.evidence(), "");
  write(2, 7);
  EXPECT_EQ(watch.evidence(), "the kernel's out-of-memory killer struck 2 times in this control group");
  std::ofstream(directory.file("cgroup/job/memory.max")) << "536870912\n";
  EXPECT_THAT(watch.evidence(), HasSubstr("(limit 512 MiB)"));
  watch.restart();
  EXPECT_EQ(watch.evidence(), "");
}

TEST_F(OomWatchTest, NoticesAKillOnTheMachine) {
  const OomWatch watch(directory.file("proc"), directory.file("cgroup"));
  write(0, 6);
  EXPECT_EQ(watch.evidence(), "the kernel's out-of-memory killer struck once on this machine");
}

TEST_F(OomWatchTest, KnowsNothingWithoutTheFiles) {
  EXPECT_EQ(OomWatch(directory.file("nowhere"), directory.file("nowhere")).evidence(), "");
}

}  // namespace
}  // namespace ferrun::testing
