#include "tests/process/terminal_job.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <stdexcept>

#include "tests/process/process_test_support.h"

namespace ferrun::testing {
namespace {

void tell(int fd, int number) { [[maybe_unused]] const ssize_t n = write(fd, &number, sizeof number); }

}  // namespace

TerminalJob::TerminalJob(const std::vector<std::string>& command, const TerminalOptions& options) {
  std::array<int, 2> report;
  int tty = -1;
  if (pipe2(report.data(), O_CLOEXEC) != 0 || openpty(&master_, &tty, nullptr, nullptr, nullptr) != 0) {
    throw std::runtime_error("no terminal");
  }
  termios mode;
  tcgetattr(tty, &mode);
  if (options.stop_background_writers) mode.c_lflag |= TOSTOP;
  tcsetattr(tty, TCSANOW, &mode);
  fcntl(master_, F_SETFD, FD_CLOEXEC);
  shell_ = fork();
  if (shell_ == 0) be_shell(command, options, tty, report[1]);
  close(tty);
  close(report[1]);
  reports_ = report[0];
  job_ = next_status(false);  // the first report is the job's pid
}

TerminalJob::~TerminalJob() {
  kill(shell_, SIGKILL);
  waitpid(shell_, nullptr, 0);
  close(master_);
  close(reports_);
}

void TerminalJob::be_shell(const std::vector<std::string>& command, const TerminalOptions& options, int tty,
                           int report) {
  setsid();
  ioctl(tty, TIOCSCTTY, 0);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(tty, fd);
  signal(SIGTTOU, SIG_IGN);
  const pid_t child = fork();
  if (child == 0) {
    setpgid(0, 0);
    tcsetpgrp(STDIN_FILENO, getpid());
    signal(SIGTTOU, SIG_DFL);
    // A leak checker attaches to its process at the end, and waits for ever when a SIGCONT comes at that moment.
    setenv("LSAN_OPTIONS", "detect_leaks=0", 1);
    for (const std::string& variable : options.environment) putenv(const_cast<char*>(variable.c_str()));
    std::vector<char*> pointers;
    for (const std::string& argument : command) pointers.push_back(const_cast<char*>(argument.c_str()));
    pointers.push_back(nullptr);
    execv(pointers[0], pointers.data());
    _exit(127);
  }
  tell(report, child);
  int status = 0;
  while (waitpid(child, &status, WUNTRACED) == child) {
    tell(report, status);
    if (!WIFSTOPPED(status)) break;
    tcsetpgrp(STDIN_FILENO, getpgrp());
    raise(SIGSTOP);  // the prompt; continue_in_foreground() goes on here
    tcsetpgrp(STDIN_FILENO, child);
    kill(-child, SIGCONT);
  }
  for (;;) pause();  // the terminal stays, with what is on it, until the test is done
}

void TerminalJob::press(char key) const { EXPECT_EQ(write(master_, &key, 1), 1); }

void TerminalJob::continue_in_foreground() const {
  EXPECT_TRUE(eventually([this] { return process_state(shell_) == 'T'; }));
  kill(shell_, SIGCONT);
}

int TerminalJob::next_status(bool reading) {
  const auto deadline = std::chrono::steady_clock::now() + kHangLimit;
  for (;;) {
    if (reading) read_screen(0);
    pollfd ready = {reports_, POLLIN, 0};
    if (poll(&ready, 1, 20) > 0) break;
    if (std::chrono::steady_clock::now() > deadline) {
      ADD_FAILURE() << "the job neither stopped nor ended; on the screen: " << screen_;
      return -1;
    }
  }
  int number = -1;
  EXPECT_EQ(read(reports_, &number, sizeof number), static_cast<ssize_t>(sizeof number));
  return number;
}

void TerminalJob::read_screen(int patience_ms) {
  pollfd ready = {master_, POLLIN, 0};
  std::array<char, 65536> buffer;
  while (poll(&ready, 1, patience_ms) > 0 && (ready.revents & POLLIN) != 0) {
    const ssize_t n = read(master_, buffer.data(), buffer.size());
    if (n <= 0) return;
    screen_.append(buffer.data(), static_cast<size_t>(n));
    patience_ms = 0;
  }
}

const std::string& TerminalJob::screen() {
  read_screen(0);
  return screen_;
}

bool TerminalJob::wait_for_screen(const std::string& text) {
  return eventually([&] { return screen().find(text) != std::string::npos; });
}

}  // namespace ferrun::testing
