#include "tests/e2e/launcher_run.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "common/environment.h"

namespace ferrun {
namespace {

namespace fs = std::filesystem;

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++found;
  return found;
}

}  // namespace

fs::path ScratchFolder::write(const std::string& name, const std::string& text, bool executable) const {
  const fs::path file = path() / name;
  std::ofstream(file) << text;
  if (executable) fs::permissions(file, fs::perms::owner_all);
  return file;
}

std::vector<std::string> ScratchFolder::files() const {
  std::vector<std::string> found;
  for (const auto& entry : fs::recursive_directory_iterator(path()))
    found.push_back(entry.path().lexically_relative(path()).string());  // a link by its own name
  std::ranges::sort(found);
  return found;
}

std::string ScratchFolder::read(const fs::path& relative) const {
  std::ostringstream text;
  text << std::ifstream(path() / relative).rdbuf();
  return text.str();
}

std::string ScratchFolder::read_one(const std::string& ending) const {
  for (const std::string& file : files()) {
    if (file.ends_with(ending)) return read(file);
  }
  ADD_FAILURE() << "no " << ending;
  return "";
}

RunningFerrun::RunningFerrun(const ScratchFolder& folder, const std::vector<std::string>& arguments,
                             const Variables& variables, std::chrono::seconds patience)
    : give_up_(std::chrono::steady_clock::now() + patience) {
  Environment environment;
  environment.set("PATH", getenv("PATH") != nullptr ? getenv("PATH") : "/usr/bin:/bin");
  environment.set("TMPDIR", folder.path().string());
  for (const auto& [name, value] : variables) environment.set(name, value);
  std::vector<std::string> block = environment.to_strings();
  std::vector<std::string> words = {FERRUN_BIN_DIR "/ferrun"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  const std::vector<char*> envp = pointers(block);
  const std::vector<char*> argv = pointers(words);

  std::array<int, 2> out{};
  std::array<int, 2> err{};
  if (pipe2(out.data(), O_CLOEXEC) != 0 || pipe2(err.data(), O_CLOEXEC) != 0) ADD_FAILURE() << "no pipe";
  pid_ = fork();
  if (pid_ == 0) {
    dup2(out[1], STDOUT_FILENO);
    dup2(err[1], STDERR_FILENO);
    if (chdir(folder.path().c_str()) == 0) execve(argv[0], argv.data(), envp.data());
    _exit(250);
  }
  close(out[1]);
  close(err[1]);
  out_ = out[0];
  err_ = err[0];
}

RunningFerrun::~RunningFerrun() {
  if (pid_ > 0) {  // the test has failed before it came to finish()
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  close(out_);
  close(err_);
}

void RunningFerrun::send(int signal) const { kill(pid_, signal); }

// Takes what has been written; false when both ends are closed, or the time is over.
bool RunningFerrun::read_some() {
  std::array<pollfd, 2> ends = {pollfd{out_, POLLIN, 0}, pollfd{err_, POLLIN, 0}};
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(give_up_ - std::chrono::steady_clock::now());
  if (left.count() <= 0 || poll(ends.data(), ends.size(), static_cast<int>(left.count())) <= 0) {
    ADD_FAILURE() << "ferrun takes too long; so far it wrote:\n" << out_text_ << err_text_;
    return false;
  }
  bool open = false;
  for (const pollfd& end : ends) {
    if (end.revents == 0) {
      open = open || end.fd >= 0;
      continue;
    }
    std::array<char, 65536> bytes{};
    const ssize_t length = read(end.fd, bytes.data(), bytes.size());
    if (length > 0) {
      (end.fd == out_ ? out_text_ : err_text_).append(bytes.data(), static_cast<size_t>(length));
      open = true;
    } else {
      close(end.fd);
      (end.fd == out_ ? out_ : err_) = -1;
    }
  }
  return open || out_ >= 0 || err_ >= 0;
}

void RunningFerrun::wait_for(const std::string& text, int times) {
  while (count(out_text_, text) < static_cast<size_t>(times)) {
    if (read_some()) continue;
    ADD_FAILURE() << "ferrun ended before it wrote '" << text << "': " << out_text_ << err_text_;
    return;
  }
}

Finished RunningFerrun::finish() {
  while (read_some()) {
  }
  if (::testing::Test::HasFailure() && std::chrono::steady_clock::now() >= give_up_) kill(pid_, SIGKILL);
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return {ExitStatus::from_wait_status(status), out_text_, err_text_};
}

Finished ferrun(const ScratchFolder& folder, const std::vector<std::string>& arguments,
                const RunningFerrun::Variables& variables, std::chrono::seconds patience) {
  return RunningFerrun(folder, arguments, variables, patience).finish();
}

std::vector<std::string> split_lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

std::vector<std::string> sorted_lines(const std::string& text) {
  std::vector<std::string> lines = split_lines(text);
  std::ranges::sort(lines);
  return lines;
}

}  // namespace ferrun
