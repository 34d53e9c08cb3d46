#include "tests/e2e/etcd_run.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <sstream>

namespace ferrun::testing {

EtcdServers::EtcdServers(int count, const std::string& flags, Speak speak) : count_(count) {
  ProgramOptions options;
  options.environment = {"FERRUN_ETCD_FOR=" + std::to_string(getpid()), "FERRUN_ETCD_FLAGS=" + flags};
  std::vector<std::string> words = {FERRUN_ETCD_CLUSTER, "start", folder_.file("etcd"), std::to_string(count)};
  if (speak == Speak::kTls) words.emplace_back("--tls");
  Program start(words, options);
  const ExitStatus status = start.wait();
  if (status.code() == 77) why_not_ = start.err();
  EXPECT_TRUE(status.success() || !why_not_.empty()) << start.err();
  std::istringstream(read_file(folder_.file("etcd/endpoints"))) >> endpoints_;
}

EtcdServers::~EtcdServers() { Program({FERRUN_ETCD_CLUSTER, "stop", folder_.file("etcd")}).wait(); }

pid_t EtcdServers::pid(int server) const {
  return std::stoi(read_file(folder_.file("etcd/" + std::to_string(server) + ".pid")));
}

void EtcdServers::signal(int server, int number) const { kill(pid(server), number); }

// "HOST:PORT, member, version, size, whether it leads, ..." for each.
int EtcdServers::leader() const {
  std::istringstream status(ask({"endpoint", "status"}));
  std::string line;
  for (int server = 0; std::getline(status, line); ++server) {
    if (line.find(", true, ") != std::string::npos) return server;
  }
  ADD_FAILURE() << "nobody leads: " << status.str();
  return 0;
}

std::string EtcdServers::ask(std::vector<std::string> words) const {
  words.insert(words.begin(), {"etcdctl", "--endpoints", endpoints_});
  ProgramOptions options;
  options.environment = {"ETCDCTL_API=3"};
  Program program(words, options);
  program.wait();
  return program.out() + program.err();
}

std::unique_ptr<Program> Etcd::meet(const std::string& nnodes, const std::string& id, Words options) const {
  options.insert(options.begin(), {"--nnodes=" + nnodes, "--rdzv-backend=etcd", "--rdzv-endpoint=" + endpoints,
                                   "--rdzv-id=" + id, "--max-restarts=3", "--verbose"});
  const Words command = shell(
      "echo $GROUP_RANK of $GROUP_WORLD_SIZE, restart $TORCHELASTIC_RESTART_COUNT >> $DIR/up; "
      "while [ ! -e $DIR/go ]; do sleep 0.02; done; echo done");
  options.insert(options.end(), command.begin(), command.end());
  return ferrun(options);
}

std::vector<std::unique_ptr<Program>> Etcd::meet_all(int count, const std::string& id) const {
  std::vector<std::unique_ptr<Program>> agents;
  for (int i = 0; i < count; ++i) agents.push_back(meet(std::to_string(count), id));
  EXPECT_TRUE(eventually_lines("up", static_cast<size_t>(count))) << agents[0]->err();
  return agents;
}

size_t Etcd::coordinator_of(const std::vector<std::unique_ptr<Program>>& agents, size_t other) {
  size_t found = 0;
  EXPECT_TRUE(eventually([&] {
    for (found = 0; found < agents.size(); ++found) {
      if (found != other && agents[found]->has_said("this agent coordinates the job:")) return true;
    }
    return false;
  })) << "nobody coordinates the job";
  return std::min(found, agents.size() - 1);
}

}  // namespace ferrun::testing
