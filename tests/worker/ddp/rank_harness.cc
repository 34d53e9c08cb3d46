#include "tests/worker/ddp/rank_harness.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "common/io/write_all.h"

namespace ferrun::testing {
namespace {

// Forks; the child runs `body` with the pipe's write end and never returns from here.
std::pair<pid_t, int> fork_with_pipe(const std::function<void(int)>& body) {
  int ends[2];
  if (pipe(ends) != 0) {
    throw std::runtime_error("pipe failed");
  }
  const pid_t pid = fork();
  if (pid < 0) {
    throw std::runtime_error("fork failed");
  }
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(ends[0]);
    body(ends[1]);
    _exit(0);
  }
  close(ends[1]);
  return {pid, ends[0]};
}

std::string read_all(int fd) {
  std::string text;
  char buffer[4096];
  ssize_t count = 0;
  while ((count = read(fd, buffer, sizeof buffer)) > 0) {
    text.append(buffer, static_cast<size_t>(count));
  }
  return text;
}

void tell(int fd, const std::string& text) {
  if (!write_all(fd, text)) {
    _exit(70);
  }
}

}  // namespace

RankHarness::RankHarness() {
  // For its log c10d asks the resolver who a peer is, which takes 5 s where a name server does not answer.
  setenv("RES_OPTIONS", "timeout:1 attempts:1", /*overwrite=*/0);
  const auto [pid, read_end] = fork_with_pipe([](int write_end) {
    c10d::TCPStoreOptions options;
    options.port = 0;
    options.isServer = true;
    options.waitWorkers = false;
    const c10d::TCPStore store("127.0.0.1", options);
    tell(write_end, std::to_string(store.getPort()));
    close(write_end);
    for (;;) {
      pause();
    }
  });
  store_ = {pid, read_end};
  port_ = static_cast<uint16_t>(std::stoi(read_all(read_end)));
}

RankHarness::~RankHarness() {
  ranks_.push_back(store_);
  for (const Child& child : ranks_) {
    if (child.pid > 0) {
      kill(child.pid, SIGKILL);
      waitpid(child.pid, nullptr, 0);
    }
    if (child.read_end >= 0) {
      close(child.read_end);
    }
  }
}

ddp::GroupAddress RankHarness::address(int rank, int world_size) const {
  ddp::GroupAddress address;
  address.rank = rank;
  address.world_size = world_size;
  address.master_addr = "127.0.0.1";
  address.master_port = port_;
  address.agent_serves_store = true;
  return address;
}

void RankHarness::start(int rank, int world_size, const TellingBody& body) {
  const auto [pid, read_end] = fork_with_pipe([&](int write_end) {
    std::string outcome;
    try {
      outcome = body(address(rank, world_size), [&](const std::string& text) { tell(write_end, text); });
    } catch (const std::exception& failure) {
      outcome = std::string("exception: ") + failure.what();
    }
    tell(write_end, outcome);
  });
  ranks_.resize(std::max(ranks_.size(), static_cast<size_t>(rank) + 1));
  ranks_[static_cast<size_t>(rank)] = {pid, read_end};
}

std::string RankHarness::outcome(int rank) {
  Child& child = ranks_.at(static_cast<size_t>(rank));
  const std::string text = read_all(child.read_end);
  int status = 0;
  waitpid(child.pid, &status, 0);
  child.pid = -1;
  if (WIFSIGNALED(status)) {
    return "killed by signal " + std::to_string(WTERMSIG(status));
  }
  return text;
}

std::vector<std::string> RankHarness::run(int world_size, const Body& body) {
  for (int rank = 0; rank < world_size; ++rank) {
    start(rank, world_size, body);
  }
  std::vector<std::string> outcomes;
  for (int rank = 0; rank < world_size; ++rank) {
    outcomes.push_back(outcome(rank));
  }
  return outcomes;
}

}  // namespace ferrun::testing
