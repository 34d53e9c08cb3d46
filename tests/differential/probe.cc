// The worker of the differential rows, in the place of Python (PYTHON_EXEC) or of a program: it writes down what it was
// given, and then does what the row says.
//
// ACTS holds statements, `WHO:ACTION`, separated by " ; ". WHO is `all` or a rank, and may name an attempt: `1@0`.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

extern char** environ;

namespace ferrun {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::array kPoliteSignals = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1};

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

int number(std::string_view text) {
  int value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

json open_descriptors() {
  std::vector<int> found;
  for (int at = 0; at < 256; ++at) {
    if (fcntl(at, F_GETFD) >= 0) found.push_back(at);
  }
  return found;
}

json ignored_signals() {
  std::vector<std::string> found;
  for (int at = 1; at < SIGRTMIN; ++at) {
    struct sigaction now {};
    if (sigaction(at, nullptr, &now) == 0 && now.sa_handler == SIG_IGN) found.emplace_back(sigabbrev_np(at));
  }
  return found;
}

json blocked_signals() {
  sigset_t mask;
  sigprocmask(SIG_SETMASK, nullptr, &mask);
  std::vector<std::string> found;
  for (int at = 1; at < SIGRTMIN; ++at) {
    if (sigismember(&mask, at) == 1) found.emplace_back(sigabbrev_np(at));
  }
  return found;
}

json found_here(int argc, char** argv) {
  json environment = json::object();
  for (char** at = environ; *at != nullptr; ++at) {
    const std::string entry = *at;
    environment[entry.substr(0, entry.find('='))] = entry.substr(std::min(entry.find('=') + 1, entry.size()));
  }
  const mode_t mask = umask(0);
  umask(mask);
  return {{"argv", std::vector<std::string>(argv, argv + argc)},
          {"env", environment},
          {"cwd", fs::current_path().string()},
          {"process",
           {{"leads_session", getsid(0) == getpid()},
            {"leads_group", getpgrp() == getpid()},
            {"descriptors", open_descriptors()},
            {"stdin", fs::read_symlink("/proc/self/fd/0").string()},
            {"ignored", ignored_signals()},
            {"blocked", blocked_signals()},
            {"umask", mask}}}};
}

class Worker {
 public:
  Worker(int argc, char** argv)
      : records_(variable("FERRUN_DIFFERENTIAL") + "/record"),
        attempt_(variable("TORCHELASTIC_RESTART_COUNT")),
        rank_(variable("RANK")) {
    put(name("worker"), found_here(argc, argv).dump(-1, ' ', false, json::error_handler_t::replace));
  }

  int act() {
    std::string rest = variable("ACTS");
    while (!rest.empty()) {
      const size_t end = rest.find(" ; ");
      const std::string statement = rest.substr(0, end);
      rest = end == std::string::npos ? "" : rest.substr(end + 3);
      const size_t colon = statement.find(':');
      if (!is_me(statement.substr(0, colon))) continue;
      const std::string action = statement.substr(colon + 1);
      const size_t space = std::min(action.find(' '), action.size());
      act(action.substr(0, space), action.substr(std::min(space + 1, action.size())));
      if (code_ >= 0) return code_;
    }
    return 0;
  }

 private:
  bool is_me(const std::string& who) const {
    const size_t at = who.find('@');
    if (at != std::string::npos && who.substr(at + 1) != attempt_) return false;
    const std::string rank = who.substr(0, at);
    return rank == "all" || rank == rank_;
  }

  void act(const std::string& verb, const std::string& argument) {
    if (verb == "out") say(STDOUT_FILENO, argument + "\n");
    if (verb == "err") say(STDERR_FILENO, "%" + argument + "\n");
    if (verb == "part") say(STDOUT_FILENO, argument);
    if (verb == "exit") code_ = number(argument);
    if (verb == "signal") die_of(number(argument));
    if (verb == "deaf") ignore_signals();
    if (verb == "wait") wait_for_ever();
    if (verb == "trap") trap(argument);
    if (verb == "error-file") std::ofstream(variable("TORCHELASTIC_ERROR_FILE")) << argument;
    if (verb == "child") leave_child(false);
    if (verb == "daemon") leave_child(true);
    if (verb == "await") await(argument);
  }

  static void say(int where, const std::string& text) {
    if (write(where, text.data(), text.size()) < 0) std::abort();
  }

  [[noreturn]] static void die_of(int signal) {
    raise(signal);
    std::abort();
  }

  static void ignore_signals() {
    for (const int at : kPoliteSignals) ::signal(at, SIG_IGN);
  }

  [[noreturn]] void wait_for_ever() const {
    put(name("ready"), "");
    while (true) pause();
  }

  // Until a signal comes; ends with the given code.
  void trap(const std::string& code) {
    sigset_t polite;
    sigemptyset(&polite);
    for (const int at : kPoliteSignals) sigaddset(&polite, at);
    sigprocmask(SIG_BLOCK, &polite, nullptr);
    put(name("ready"), "");
    int came = 0;
    sigwait(&polite, &came);
    put(name("signal"), sigabbrev_np(came));
    code_ = number(code);
  }

  static void leave_child(bool own_session) {
    if (fork() != 0) return;
    if (own_session) setsid();
    ignore_signals();
    close(STDOUT_FILENO);
    close(STDERR_FILENO);
    while (true) pause();
  }

  void await(const std::string& rank) const {
    while (!fs::exists(records_ + "/worker." + attempt_ + "." + rank)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }

  std::string name(const std::string& kind) const { return kind + "." + attempt_ + "." + rank_; }

  void put(const std::string& file, const std::string& text) const {
    const std::string part = records_ + "/." + file;
    std::ofstream(part) << text;
    fs::rename(part, records_ + "/" + file);
  }

  std::string records_;
  std::string attempt_;
  std::string rank_;
  int code_ = -1;
};

}  // namespace
}  // namespace ferrun

int main(int argc, char** argv) { return ferrun::Worker(argc, argv).act(); }
