// What an agent of several reads and leaves on its machine: the runtime folder, the status socket, the kernel's
// counters.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

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
using ::testing::UnorderedElementsAre;
namespace fs = std::filesystem;

TEST(RuntimeFolder, LiesWhereTheUsersRuntimeFilesLie) {
  const std::string own = "ferrun-" + std::to_string(geteuid());
  Environment environment;
  EXPECT_THAT(runtime_folders(environment), ElementsAre("/tmp/" + own, "/dev/shm/" + own, "/var/tmp/" + own));
  environment.set("XDG_RUNTIME_DIR", "/run/user/7");
  EXPECT_EQ(runtime_folders(environment).front(), "/run/user/7/ferrun");
}

TEST(RuntimeFolder, LiesElsewhereWhereItsPlaceIsTaken) {
  const TemporaryDirectory directory;
  const fs::path taken = directory.file("taken"), free = directory.file("free");
  fs::create_directory(taken);
  fs::permissions(taken, fs::perms::all);
  const RuntimeFolder opened = open_runtime_folder({directory.file("no folder/ferrun"), taken, free});
  EXPECT_EQ(opened.path, free);
  EXPECT_THAT(opened.refused, ElementsAre(HasSubstr(taken.string() + ": others may enter it")));
  EXPECT_EQ(open_runtime_folder({taken}).path, "");
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
  const auto answers = ask_agents({directory.path()}, std::chrono::seconds(30)).agents;
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(answers[0].job_id, "run \"7\"");
  EXPECT_EQ(answers[0].agent, getpid());
  EXPECT_EQ(answers[0].status, "{\"phase\":\"running\"}");
}

std::vector<fs::path> files_in(const fs::path& folder) {
  return {fs::directory_iterator(folder), fs::directory_iterator()};
}

TEST(StatusSocket, IsForItsOwnerAloneAndGoesWithItsAgent) {
  const TemporaryDirectory directory;
  {
    const AnsweringAgent agent(directory.path(), "run7", "{}");
    ASSERT_EQ(files_in(directory.path()).size(), 1u);
    struct stat found {};
    ASSERT_EQ(stat(files_in(directory.path())[0].c_str(), &found), 0);
    EXPECT_EQ(found.st_mode & 0777, 0600u);
  }
  EXPECT_THAT(files_in(directory.path()), IsEmpty());
}

// Containers that share the folder have the same pids.
TEST(StatusSocket, TakesNobodysPlace) {
  const TemporaryDirectory directory;
  const AnsweringAgent first(directory.path(), "run7", "{\"phase\":\"running\"}");
  const AnsweringAgent second(directory.path(), "run8", "{\"phase\":\"running\"}");
  const auto answers = ask_agents({directory.path()}, std::chrono::seconds(30)).agents;
  EXPECT_THAT(answers, UnorderedElementsAre(Field(&AgentStatus::job_id, "run7"), Field(&AgentStatus::job_id, "run8")));
}

TEST(StatusSocket, GarbageFromOneAgentIsNamedAndLeavesTheOthersAlone) {
  const TemporaryDirectory directory;
  const AnsweringAgent good(directory.path(), "run7", "{\"phase\":\"running\"}");
  const AnsweringAgent bad(directory.path(), "run8", "[\"no status\"]");
  const AgentAnswers answers = ask_agents({directory.path()}, std::chrono::seconds(30));
  EXPECT_THAT(answers.agents, ElementsAre(Field(&AgentStatus::job_id, "run7")));
  EXPECT_THAT(answers.refused, ElementsAre(HasSubstr("is no status")));
}

TEST(StatusSocket, AFolderThatOthersMayWriteIsNotBelieved) {
  const TemporaryDirectory directory;
  const AnsweringAgent agent(directory.path(), "run7", "{\"phase\":\"running\"}");
  fs::permissions(directory.path(), fs::perms::all);
  const AgentAnswers answers = ask_agents({directory.file("not there"), directory.path()}, std::chrono::seconds(30));
  EXPECT_THAT(answers.agents, IsEmpty());
  EXPECT_THAT(answers.refused, ElementsAre(HasSubstr("others may enter it")));
}

class OpenFilesLimit {
 public:
  explicit OpenFilesLimit(rlim_t files) {
    getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit low = {files, before_.rlim_max};
    setrlimit(RLIMIT_NOFILE, &low);
  }
  ~OpenFilesLimit() { setrlimit(RLIMIT_NOFILE, &before_); }
  OpenFilesLimit(const OpenFilesLimit&) = delete;
  OpenFilesLimit& operator=(const OpenFilesLimit&) = delete;

 private:
  rlimit before_{};
};

TEST(StatusSocket, WaitsForDescriptorsWithoutSpinning) {
  const TemporaryDirectory directory;
  boost::asio::io_context io;
  int asked = 0;
  const auto socket = StatusSocket::listen(io, directory.path(), "run7", [&asked](uint32_t) { ++asked; });
  ASSERT_TRUE(socket) << socket.error().message;
  boost::asio::local::stream_protocol::socket client(io);
  client.connect(files_in(directory.path())[0].string());
  {
    const OpenFilesLimit none(3);
    EXPECT_LT(io.run_for(std::chrono::milliseconds(500)), 20u) << "it tries again and again";
    EXPECT_EQ(asked, 0);
  }
  while (asked == 0) io.run_one();
}

TEST(StatusSocket, OneThatNobodyListensOnIsRemoved) {
  const TemporaryDirectory directory;
  boost::asio::io_context io;
  { boost::asio::local::stream_protocol::acceptor dead(io, directory.file("agent-1.socket")); }
  ASSERT_TRUE(fs::exists(directory.file("agent-1.socket")));
  EXPECT_THAT(ask_agents({directory.path()}, std::chrono::seconds(30)).agents, IsEmpty());
  EXPECT_FALSE(fs::exists(directory.file("agent-1.socket")));
}

class OomWatchTest : public ::testing::Test {
 protected:
  OomWatchTest() {
    fs::create_directories(directory.file("proc/self"));
    fs::create_directories(directory.file("v2/job"));
    fs::create_directories(directory.file("v1"));
  }
  // How the two hierarchies are mounted, and where in them this process is.
  void mounts(const std::string& v2_root, const std::string& v1_root, const std::string& groups) {
    std::ofstream(directory.file("proc/self/mountinfo"))
        << "23 1 0:20 / / rw - ext4 /dev/vda rw\n"
        << "41 31 0:38 " << v2_root << ' ' << directory.file("v2") << " rw,relatime shared:7 - cgroup2 cgroup2 rw\n"
        << "35 31 0:32 " << v1_root << ' ' << directory.file("v1") << " rw,relatime - cgroup cgroup rw,memory\n";
    std::ofstream(directory.file("proc/self/cgroup")) << groups;
  }
  void kills_on_machine(int kills) {
    std::ofstream(directory.file("proc/vmstat")) << "nr_free_pages 17\noom_kill " << kills << "\n";
  }
  void kills_in(const std::string& file, int kills) {
    std::ofstream(directory.file(file)) << "low 0\noom 3\noom_kill " << kills << "\n";
  }
  OomWatch watch() const { return OomWatch(directory.file("proc")); }
  TemporaryDirectory directory;
};

TEST_F(OomWatchTest, NoticesAKillInItsControlGroup) {
  mounts("/", "/", "4:memory:/\n1:name=systemd:/other\n0::/job\n");
  kills_in("v2/job/memory.events", 0);
  OomWatch own = watch();
  EXPECT_EQ(own.evidence(), "");
  kills_in("v2/job/memory.events", 2);
  EXPECT_EQ(own.evidence(), "the kernel's out-of-memory killer struck 2 times in this control group");
  std::ofstream(directory.file("v2/job/memory.max")) << "536870912\n";
  EXPECT_THAT(own.evidence(), HasSubstr("(limit 512 MiB)"));
  own.restart();
  EXPECT_EQ(own.evidence(), "");
}

TEST_F(OomWatchTest, NoticesAKillInAGroupOfTheFirstVersion) {
  mounts("/", "/docker/abc", "9:cpu,memory:/docker/abc\n0::/\n");
  std::ofstream(directory.file("v1/memory.oom_control")) << "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n";
  std::ofstream(directory.file("v1/memory.limit_in_bytes")) << "9223372036854771712\n";
  const OomWatch own = watch();
  std::ofstream(directory.file("v1/memory.oom_control")) << "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n";
  EXPECT_EQ(own.evidence(), "the kernel's out-of-memory killer struck once in this control group");
}

TEST_F(OomWatchTest, BlamesNobodyElsesKill) {
  mounts("/", "/", "0::/job\n");
  kills_in("v2/job/memory.events", 0);
  kills_in("v2/memory.events", 0);
  kills_on_machine(5);
  const OomWatch own = watch();
  kills_on_machine(6);
  kills_in("v2/memory.events", 1);
  EXPECT_EQ(own.evidence(), "") << "it was another group's";
}

TEST_F(OomWatchTest, HintsAtAKillOnTheMachineWhereItsGroupCountsNone) {
  kills_on_machine(5);
  const OomWatch own = watch();
  kills_on_machine(6);
  EXPECT_EQ(own.evidence(),
            "the kernel's out-of-memory killer struck once on this machine meanwhile, perhaps another program");
}

TEST_F(OomWatchTest, KnowsNothingWithoutTheFiles) { EXPECT_EQ(OomWatch(directory.file("nowhere")).evidence(), ""); }

}  // namespace
}  // namespace ferrun::testing
