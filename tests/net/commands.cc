#include "tests/net/commands.h"

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <sstream>
#include <stdexcept>

namespace ferrun::testing {
namespace {

const std::array kFolders = {"/usr/sbin/", "/sbin/", "/usr/bin/", "/bin/"};

std::string path_of(const std::string& name) {
  for (const char* folder : kFolders) {
    if (access((folder + name).c_str(), X_OK) == 0) return folder + name;
  }
  return {};
}

std::string read_all(int fd) {
  std::string text;
  std::array<char, 4096> buffer;
  for (ssize_t got = 0; (got = read(fd, buffer.data(), buffer.size())) > 0;)
    text.append(buffer.data(), static_cast<size_t>(got));
  return text;
}

}  // namespace

Command words(const std::string& line) {
  std::istringstream in(line);
  Command command;
  for (std::string word; in >> word;) command.push_back(word);
  return command;
}

bool has_program(const std::string& name) { return !path_of(name).empty(); }

void run(const Command& command) {
  const std::string path = path_of(command.front());
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  std::array<int, 2> pipe_ends;
  if (pipe(pipe_ends.data()) != 0) throw std::runtime_error("no pipe");
  const pid_t child = fork();
  if (child == 0) {
    dup2(pipe_ends[1], STDOUT_FILENO);
    dup2(pipe_ends[1], STDERR_FILENO);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    execv(path.c_str(), argv.data());
    _exit(127);
  }
  close(pipe_ends[1]);
  const std::string said = read_all(pipe_ends[0]);
  close(pipe_ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  std::string text;
  for (const std::string& word : command) text += word + " ";
  throw std::runtime_error(text + "failed: " + said);
}

}  // namespace ferrun::testing
