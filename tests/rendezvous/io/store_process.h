// ferrun_store_server as a child process; it ends with this object.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <string>

namespace ferrun {

class StoreProcess {
 public:
  // `descriptors`: its limit of open files; 0 leaves it as it is.
  explicit StoreProcess(rlim_t descriptors = 0) {
    int input[2], output[2];
    if (::pipe2(input, O_CLOEXEC) != 0 || ::pipe2(output, O_CLOEXEC) != 0) ADD_FAILURE() << "no pipes";
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(input[0], STDIN_FILENO);
      ::dup2(output[1], STDOUT_FILENO);
      ::dup2(output[1], STDERR_FILENO);
      const rlimit limit{descriptors, descriptors};
      if (descriptors != 0 && ::setrlimit(RLIMIT_NOFILE, &limit) != 0) ::_exit(126);
      ::execl(FERRUN_TEST_BIN_DIR "/ferrun_store_server", "ferrun_store_server", nullptr);
      ::_exit(127);
    }
    ::close(input[0]);
    ::close(output[1]);
    input_ = input[1];
    lines_ = ::fdopen(output[0], "r");
    unsigned port = 0;
    const std::string first = next_line();
    EXPECT_EQ(std::sscanf(first.c_str(), "port %u", &port), 1) << first;
    port_ = static_cast<uint16_t>(port);
  }
  StoreProcess(const StoreProcess&) = delete;
  StoreProcess& operator=(const StoreProcess&) = delete;

  ~StoreProcess() {
    ::close(input_);
    ::waitpid(pid_, nullptr, 0);
    std::fclose(lines_);
  }

  uint16_t port() const { return port_; }
  pid_t pid() const { return pid_; }

  // The next line of its output or log, waiting for it; empty at its end.
  std::string next_line() {
    std::array<char, 4096> buffer;
    if (std::fgets(buffer.data(), buffer.size(), lines_) == nullptr) return "";
    std::string line = buffer.data();
    if (!line.empty() && line.back() == '\n') line.pop_back();
    return line;
  }

  // Empties the store, as between two attempts.
  void reset() {
    if (::write(input_, "reset\n", 6) != 6) ADD_FAILURE() << "the server is gone";
    while (true) {
      const std::string line = next_line();
      if (line == "reset" || line.empty()) return;
    }
  }

 private:
  pid_t pid_ = -1;
  int input_ = -1;
  FILE* lines_ = nullptr;
  uint16_t port_ = 0;
};

}  // namespace ferrun
