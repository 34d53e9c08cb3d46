#include "tests/process/process_test_support.h"

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace ferrun::testing {

using Clock = std::chrono::steady_clock;

bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds limit) {
  const auto deadline = Clock::now() + limit;
  while (!condition()) {
    if (Clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

std::string read_file(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

JobMarker::JobMarker() {
  std::random_device random;
  variable_ = "FERRUN_TEST_JOB=" + std::to_string(getpid()) + "-" + std::to_string(random()) + std::to_string(random());
}

JobMarker::~JobMarker() {
  for (const pid_t pid : processes()) kill(pid, SIGKILL);
}

std::vector<pid_t> JobMarker::processes() const {
  std::vector<pid_t> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    if (read_file(entry.path() / "environ").find(variable_) != std::string::npos) found.push_back(std::stoi(name));
  }
  return found;
}

namespace {

// A busy machine may have no process to give for a moment.
pid_t fork_or_throw() {
  const auto deadline = Clock::now() + kHangLimit;
  for (;;) {
    const pid_t pid = fork();
    if (pid >= 0) return pid;
    if (Clock::now() > deadline) throw std::runtime_error(std::string("fork: ") + std::strerror(errno));
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

}  // namespace

Program::Program(const std::vector<std::string>& argv, const ProgramOptions& options) {
  std::array<int, 2> out, err;
  if (pipe2(out.data(), O_CLOEXEC) != 0 || pipe2(err.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
  pid_ = fork_or_throw();
  if (pid_ == 0) {
    if (options.own_group) setpgid(0, 0);
    dup2(out[1], STDOUT_FILENO);
    dup2(err[1], STDERR_FILENO);
    for (const std::string& variable : options.environment) putenv(const_cast<char*>(variable.c_str()));
    std::vector<char*> pointers;
    for (const std::string& argument : argv) pointers.push_back(const_cast<char*>(argument.c_str()));
    pointers.push_back(nullptr);
    if (options.in_child) options.in_child();
    execvp(pointers[0], pointers.data());
    _exit(127);
  }
  close(out[1]);
  close(err[1]);
  out_fd_ = out[0];
  err_fd_ = err[0];
}

Program::~Program() {
  if (!status_) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  if (out_fd_ >= 0) close(out_fd_);
  if (err_fd_ >= 0) close(err_fd_);
}

void Program::signal(int number) const {
  if (!status_) kill(pid_, number);
}

bool Program::read_some(std::chrono::milliseconds patience) {
  std::array<pollfd, 2> ready = {{{out_fd_, POLLIN, 0}, {err_fd_, POLLIN, 0}}};  // a negative descriptor is passed over
  if (out_fd_ < 0 && err_fd_ < 0) return false;
  if (poll(ready.data(), ready.size(), static_cast<int>(patience.count())) <= 0) return true;
  const auto read_one = [](const pollfd& state, int& fd, std::string& text) {
    if (state.revents == 0) return;
    std::array<char, 65536> buffer;
    const ssize_t n = read(fd, buffer.data(), buffer.size());
    if (n > 0) text.append(buffer.data(), static_cast<size_t>(n));
    if (n == 0) {
      close(fd);
      fd = -1;
    }
  };
  read_one(ready[0], out_fd_, out_);
  read_one(ready[1], err_fd_, err_);
  return out_fd_ >= 0 || err_fd_ >= 0;
}

ExitStatus Program::wait() {
  const auto deadline = Clock::now() + kHangLimit;
  while (read_some(std::chrono::milliseconds(100))) {
    if (Clock::now() > deadline) {
      ADD_FAILURE() << "process " << pid_ << " still holds its output open\nstdout: " << out_ << "\nstderr: " << err_;
      kill(pid_, SIGKILL);
      break;
    }
  }
  int status = 0;
  if (!status_ && waitpid(pid_, &status, 0) == pid_) status_ = ExitStatus::from_wait_status(status);
  return status_.value();
}

bool Program::wait_for_output(const std::string& text) {
  const auto deadline = Clock::now() + kHangLimit;
  const auto seen = [&] { return out_.find(text) != std::string::npos || err_.find(text) != std::string::npos; };
  while (!seen()) {
    if (!read_some(std::chrono::milliseconds(100)) || Clock::now() > deadline) return seen();
  }
  return true;
}

bool Program::has_said(const std::string& text) {
  read_some(std::chrono::milliseconds(0));
  return out_.find(text) != std::string::npos || err_.find(text) != std::string::npos;
}

std::vector<std::string> container_command() {
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"unshare", "-pf", "--mount-proc"}, {"unshare", "-r", "-pf", "--mount-proc"}}) {
    std::vector<std::string> trial = command;
    trial.push_back("true");
    if (Program(trial).wait().success()) return command;
  }
  return {};
}

std::vector<std::string> command_without_proc() {
  for (const char* how : {"-m", "-rm"}) {
    std::vector<std::string> command = {"unshare", how, "sh", "-c", "mount -t tmpfs none /proc && exec \"$@\"", "sh"};
    std::vector<std::string> trial = command;
    trial.push_back("true");
    if (Program(trial).wait().success()) return command;
  }
  return {};
}

std::vector<pid_t> children_of_process(pid_t pid) {
  std::istringstream list(read_file("/proc/" + std::to_string(pid) + "/task/" + std::to_string(pid) + "/children"));
  std::vector<pid_t> children;
  for (pid_t child = 0; list >> child;) children.push_back(child);
  return children;
}

pid_t pid_from_file(const std::string& path) {
  if (!eventually([&] { return std::filesystem::exists(path); })) {
    ADD_FAILURE() << path << " was not written";
    return 0;
  }
  return std::stoi(read_file(path));
}

bool process_exists(pid_t pid) { return kill(pid, 0) == 0 || errno == EPERM; }

char process_state(pid_t pid) {
  const std::string stat = read_file("/proc/" + std::to_string(pid) + "/stat");
  const size_t command_end = stat.rfind(')');
  return command_end == std::string::npos || command_end + 2 >= stat.size() ? '\0' : stat[command_end + 2];
}

bool is_whole_zombie(pid_t pid) {
  const std::filesystem::path threads = "/proc/" + std::to_string(pid) + "/task";
  return process_state(pid) == 'Z' && std::distance(std::filesystem::directory_iterator(threads), {}) == 1;
}

}  // namespace ferrun::testing
