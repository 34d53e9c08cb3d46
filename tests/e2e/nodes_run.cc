#include "tests/e2e/nodes_run.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

namespace ferrun::testing {
namespace {

sockaddr_in loopback(uint16_t port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

}  // namespace

uint16_t free_port() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (bind(fd, generic, size) != 0 || getsockname(fd, generic, &size) != 0) ADD_FAILURE() << "no free port";
  close(fd);
  return ntohs(address.sin_port);
}

bool eventually_listens(uint16_t port) {
  return eventually([port] {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = loopback(port);
    const int connected = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
    close(fd);
    return connected == 0;
  });
}

Nodes::Nodes() : port(free_port()) {}

std::unique_ptr<Program> Nodes::agent(const std::string& nnodes, const Words& options, const Words& command,
                                      const Words& variables) const {
  Words words = {"--nnodes=" + nnodes, "--rdzv-endpoint=" + endpoint()};
  words.insert(words.end(), options.begin(), options.end());
  words.insert(words.end(), command.begin(), command.end());
  return ferrun(words, variables);
}

std::unique_ptr<Program> Nodes::ferrun(const Words& words, const Words& variables,
                                       std::function<void()> in_child) const {
  Words argv = {FERRUN_BIN_DIR "/ferrun"};
  argv.insert(argv.end(), words.begin(), words.end());
  ProgramOptions options{.environment = variables, .own_group = true, .in_child = std::move(in_child)};
  options.environment.push_back(marker.variable());
  options.environment.push_back("TMPDIR=" + directory.path().string());
  options.environment.push_back("XDG_RUNTIME_DIR=" + directory.path().string());
  options.environment.push_back("DIR=" + directory.path().string());
  return std::make_unique<Program>(argv, options);
}

pid_t Nodes::agent_of(const Program& program) {
  EXPECT_TRUE(eventually([&] { return !children_of_process(program.pid()).empty(); }));
  const auto children = children_of_process(program.pid());
  return children.empty() ? 0 : children[0];
}

bool Nodes::eventually_exists(const std::string& name) const {
  return eventually([&] { return std::filesystem::exists(file(name)); });
}

void Nodes::touch(const std::string& name) const {
  close(open(file(name).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
}

size_t Nodes::lines_in(const std::string& name) const {
  const std::string text = read_file(file(name));
  return static_cast<size_t>(std::ranges::count(text, '\n'));
}

bool Nodes::eventually_lines(const std::string& name, size_t lines) const {
  return eventually([&] { return lines_in(name) >= lines; });
}

std::unique_ptr<Program> WaitingNodes::waiting_agent(const std::string& nnodes, Words options) const {
  options.push_back("--verbose");
  return agent(nnodes, options,
               shell("echo $GROUP_RANK of $GROUP_WORLD_SIZE, restart $TORCHELASTIC_RESTART_COUNT >> $DIR/up; "
                     "while [ ! -e $DIR/go ]; do sleep 0.02; done; echo done"));
}

std::unique_ptr<Program> WaitingNodes::coordinating_agent(const std::string& nnodes, Words options) const {
  auto started = waiting_agent(nnodes, std::move(options));
  EXPECT_TRUE(started->wait_for_output("this agent coordinates the job")) << started->err();
  return started;
}

std::unique_ptr<Program> WaitingNodes::own_coordinator(const std::string& nnodes, Words options) const {
  Words words = {"coordinator", "--nnodes=" + nnodes, "--rdzv-endpoint=" + endpoint(), "--state-file=" + file("state"),
                 "--verbose"};
  words.insert(words.end(), options.begin(), options.end());
  auto started = ferrun(words);
  EXPECT_TRUE(started->wait_for_output("coordinating job")) << started->err();
  return started;
}

bool WaitingNodes::eventually_up(const std::string& line) const {
  return eventually([&] { return read_file(file("up")).find(line) != std::string::npos; });
}

void WaitingNodes::expect_success(Program& program) {
  EXPECT_EQ(program.wait(), ExitStatus::exited(0)) << program.err();
  EXPECT_NE(program.out().find("done"), std::string::npos);
}

}  // namespace ferrun::testing
