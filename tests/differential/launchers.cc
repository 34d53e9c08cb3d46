#include "tests/differential/launchers.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <thread>

namespace ferrun::differential {
namespace {

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  result.reserve(texts.size() + 1);
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

void open_as(const char* file, int flags, int descriptor) {
  const int opened = open(file, flags, 0644);
  if (opened < 0 || dup2(opened, descriptor) < 0) _exit(250);
  if (opened != descriptor) close(opened);
}

class FerrunLaunched : public Launched {
 public:
  explicit FerrunLaunched(pid_t pid) : pid_(pid) {}
  ~FerrunLaunched() override {
    if (status_) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  FerrunLaunched(const FerrunLaunched&) = delete;
  FerrunLaunched& operator=(const FerrunLaunched&) = delete;

  pid_t pid() override { return pid_; }
  std::optional<int> ended() override {
    int status = 0;
    if (!status_ && waitpid(pid_, &status, WNOHANG) == pid_) status_ = status;
    return status_;
  }

 private:
  pid_t pid_;
  std::optional<int> status_;
};

class Ferrun : public Launcher {
 public:
  explicit Ferrun(std::string program) : program_(std::move(program)) {}

  std::unique_ptr<Launched> start(const Launch& launch) override {
    std::vector<std::string> words = {program_};
    words.insert(words.end(), launch.arguments.begin(), launch.arguments.end());
    std::vector<std::string> block;
    for (const auto& [name, value] : launch.environment) block.push_back(name + "=" + value);
    const std::vector<char*> argv = pointers(words);
    const std::vector<char*> envp = pointers(block);
    const pid_t pid = fork();
    if (pid == 0) {
      signal(SIGHUP, SIG_DFL);
      open_as("/dev/null", O_RDWR, STDIN_FILENO);
      open_as(launch.out.c_str(), O_RDWR | O_CREAT, STDOUT_FILENO);
      open_as(launch.err.c_str(), O_RDWR | O_CREAT, STDERR_FILENO);
      if (chdir(launch.folder.c_str()) == 0) execve(argv[0], argv.data(), envp.data());
      _exit(250);
    }
    if (pid < 0) throw std::runtime_error("cannot fork");
    return std::make_unique<FerrunLaunched>(pid);
  }

 private:
  std::string program_;
};

class TorchrunLaunched : public Launched {
 public:
  explicit TorchrunLaunched(std::filesystem::path notes) : notes_(std::move(notes)) {}

  pid_t pid() override {
    for (int tries = 0; tries < 12000; ++tries) {
      if (const std::optional<int> found = number_in(".pid")) return *found;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    throw std::runtime_error("torchrun's server starts nothing");
  }
  std::optional<int> ended() override { return number_in(".status"); }

 private:
  std::optional<int> number_in(const char* suffix) const {
    std::ifstream in(notes_.string() + suffix);
    int found = 0;
    if (in >> found) return found;
    return std::nullopt;
  }

  std::filesystem::path notes_;
};

class Torchrun : public Launcher {
 public:
  explicit Torchrun(const std::string& python) {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
    pid_ = fork();
    if (pid_ == 0) {
      dup2(ends[0], STDIN_FILENO);
      execl(python.c_str(), python.c_str(), FERRUN_SOURCE_DIR "/tests/differential/torchrun_server.py", nullptr);
      _exit(250);
    }
    close(ends[0]);
    requests_ = ends[1];
  }
  ~Torchrun() override {
    close(requests_);
    waitpid(pid_, nullptr, 0);
  }
  Torchrun(const Torchrun&) = delete;
  Torchrun& operator=(const Torchrun&) = delete;

  std::unique_ptr<Launched> start(const Launch& launch) override {
    const nlohmann::json request = {{"arguments", launch.arguments},
                                    {"environment", launch.environment},
                                    {"folder", launch.folder.string()},
                                    {"out", launch.out.string()},
                                    {"err", launch.err.string()},
                                    {"pid", launch.notes.string() + ".pid"},
                                    {"status", launch.notes.string() + ".status"}};
    const std::string line = request.dump() + "\n";
    if (write(requests_, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
      throw std::runtime_error("torchrun's server is gone");
    }
    return std::make_unique<TorchrunLaunched>(launch.notes);
  }

 private:
  pid_t pid_ = -1;
  int requests_ = -1;
};

}  // namespace

std::unique_ptr<Launcher> make_ferrun(const std::string& program) { return std::make_unique<Ferrun>(program); }

std::unique_ptr<Launcher> make_torchrun(const std::string& python) { return std::make_unique<Torchrun>(python); }

}  // namespace ferrun::differential
