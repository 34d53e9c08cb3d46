#include "tests/net/host_program.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace ferrun::testing {
namespace {

using Clock = std::chrono::steady_clock;

void pause_briefly() { poll(nullptr, 0, 5); }

std::vector<pid_t> children_of(pid_t parent) {
  std::vector<pid_t> children;
  const std::string pid = std::to_string(parent);
  std::ifstream in("/proc/" + pid + "/task/" + pid + "/children");
  for (pid_t child = 0; in >> child;) children.push_back(child);
  return children;
}

}  // namespace

HostProgram::HostProgram(const TestNetwork& network, int host, const std::vector<std::string>& argv,
                         const std::string& folder, const Variables& variables)
    : label_(TestNetwork::name(host) + " " + argv.front()) {
  output_path_ = "/tmp/ferrun-output-XXXXXX";
  const int out = mkstemp(output_path_.data());
  if (out < 0) throw std::runtime_error("no file for output");
  std::vector<char*> words;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    close(out);
    for (const auto& [name, value] : variables) setenv(name.c_str(), value.c_str(), 1);
    if (!network.enter(host) || chdir(folder.c_str()) != 0) {
      std::perror("cannot enter the host");
      _exit(126);
    }
    execv(words.front(), words.data());
    std::perror(words.front());
    _exit(127);
  }
  close(out);
}

HostProgram::~HostProgram() {
  if (!ended()) {
    send_all(SIGKILL);
    wait();
  }
  if (::testing::Test::HasFailure()) std::fprintf(stderr, "--- %s\n%s---\n", label_.c_str(), output().c_str());
  std::remove(output_path_.c_str());
}

std::vector<pid_t> HostProgram::descendants() const {
  std::vector<pid_t> found = children_of(pid_);
  for (size_t at = 0; at < found.size(); ++at) {
    for (const pid_t child : children_of(found[at])) found.push_back(child);
  }
  return found;
}

void HostProgram::send(int signal) const { kill(pid_, signal); }

void HostProgram::send_all(int signal) const {
  const std::vector<pid_t> below = descendants();
  kill(pid_, signal);
  for (const pid_t pid : below) kill(pid, signal);
}

std::string HostProgram::output() const {
  std::ostringstream text;
  text << std::ifstream(output_path_).rdbuf();
  return text.str();
}

bool HostProgram::wait_for(const std::string& text, int times, std::chrono::seconds patience) {
  const auto deadline = Clock::now() + patience;
  for (;;) {
    const bool over = ended() || Clock::now() > deadline;
    const std::string said = output();
    int seen = 0;
    for (size_t at = 0; (at = said.find(text, at)) != std::string::npos; at += text.size()) ++seen;
    if (seen >= times) return true;
    if (over) break;
    pause_briefly();
  }
  ADD_FAILURE() << label_ << " did not say '" << text << "' " << times << " times, but\n" << output();
  return false;
}

ExitStatus HostProgram::wait(std::chrono::seconds patience) {
  const auto deadline = Clock::now() + patience;
  while (!ended()) {
    if (Clock::now() > deadline) {
      ADD_FAILURE() << label_ << " did not end";
      send_all(SIGKILL);
      int status = 0;
      waitpid(pid_, &status, 0);
      status_ = ExitStatus::from_wait_status(status);
      break;
    }
    pause_briefly();
  }
  return *status_;
}

bool HostProgram::running() { return !ended(); }

bool HostProgram::ended() {
  if (status_) return true;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) == pid_) status_ = ExitStatus::from_wait_status(status);
  return status_.has_value();
}

}  // namespace ferrun::testing
