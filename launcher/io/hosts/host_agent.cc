#include "launcher/io/hosts/host_agent.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/exit_status.h"
#include "common/io/error_description.h"
#include "common/io/write_all.h"
#include "launcher/exit_statuses.h"
#include "launcher/hosts/host_order.h"
#include "launcher/io/process/child.h"

namespace ferrun {
namespace {

namespace asio = boost::asio;

constexpr int kSshFailed = 255;
constexpr int kInItsPlace = 254;

int fail(const Error& error) {
  std::fprintf(stderr, "ferrun: %s\n", error.message.c_str());
  return exit_status_of(error);
}

// Waits for it: nothing is to be done before.
Result<HostOrder> read_order(HostOrderReader& reader) {
  std::array<char, 4096> buffer{};
  while (true) {
    const ssize_t count = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return Error{ErrorKind::kUser, "no order came from the ferrun that started this one"};
    Result<std::optional<HostOrder>> order = reader.feed({buffer.data(), static_cast<size_t>(count)});
    if (!order) return order.error();
    if (*order) return std::move(**order);
  }
}

// In the child: becomes ferrun. Returns where it cannot.
void become_ferrun(const HostOrder& order, const std::vector<std::string>& variables, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(kExitInternal);  // it died before that
  const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::dup2(nothing, STDIN_FILENO);
  std::vector<char*> argv = {const_cast<char*>("ferrun")}, envp;
  for (const std::string& word : order.arguments) argv.push_back(const_cast<char*>(word.c_str()));
  for (const std::string& variable : variables) envp.push_back(const_cast<char*>(variable.c_str()));
  argv.push_back(nullptr);
  envp.push_back(nullptr);
  ::execve("/proc/self/exe", argv.data(), envp.data());
}

Result<pid_t> start_ferrun(const HostOrder& order) {
  if (::chdir(order.folder.c_str()) != 0) {
    return Error{ErrorKind::kUser, "the job's folder " + order.folder + " cannot be entered on this host: " +
                                       std::strerror(errno) + "; all hosts need the folder that ferrun is started in"};
  }
  Environment environment = Environment::from_block(environ);
  for (const auto& [name, value] : order.environment.variables()) environment.set(name, value);
  const std::vector<std::string> variables = environment.to_strings();
  const pid_t parent = ::getpid(), pid = ::fork();
  if (pid < 0) return Error{ErrorKind::kPlatform, std::string("cannot fork: ") + std::strerror(errno)};
  if (pid > 0) return pid;
  become_ferrun(order, variables, parent);
  std::fprintf(stderr, "ferrun: cannot execute itself: %s\n", std::strerror(errno));
  ::_exit(kExitInternal);
}

class HostAgent {
 public:
  HostAgent(pid_t ferrun, std::string first_words)
      : input_(io_, STDIN_FILENO),
        signals_(io_, SIGTERM, SIGINT, SIGHUP),
        child_(io_, ferrun, [this](int status) { status_ = ExitStatus::from_wait_status(status); }),
        words_(std::move(first_words)) {
    signals_.add(SIGQUIT);
    signals_.add(SIGUSR1);
    signals_.add(SIGUSR2);
  }

  int run() {
    await_signal();
    obey();
    listen();
    while (!status_) io_.run_one();
    const int code = status_->shell_code();
    return code == kSshFailed ? kInItsPlace : code;
  }

 private:
  void pass_on(int signal) {
    if (!status_) ::kill(child_.pid(), signal);
  }

  void await_signal() {
    signals_.async_wait([this](const boost::system::error_code& error, int signal) {
      if (error) return;
      pass_on(signal);
      await_signal();
    });
  }

  void listen() {
    input_.async_read_some(asio::buffer(buffer_), [this](const boost::system::error_code& error, size_t count) {
      if (error) return pass_on(SIGTERM);
      words_.append(buffer_.data(), count);
      obey();
      listen();
    });
  }

  void obey() {
    for (size_t end = 0; (end = words_.find('\n')) != std::string::npos; words_.erase(0, end + 1)) {
      if (const int signal = signal_number(words_.substr(0, end)); signal > 0) pass_on(signal);
    }
  }

  asio::io_context io_{1};
  asio::posix::stream_descriptor input_;
  asio::signal_set signals_;
  Child child_;
  std::optional<ExitStatus> status_;
  std::array<char, 256> buffer_{};
  std::string words_;
};

}  // namespace

int run_host_agent() {
  HostOrderReader reader;
  const Result<HostOrder> order = read_order(reader);
  if (!order) return fail(order.error());
  const std::string answer = std::string(kHostAnswer) + "\n";
  if (!write_all(STDOUT_FILENO, answer)) return kExitRendezvous;
  const Result<pid_t> ferrun = start_ferrun(*order);
  if (!ferrun) return fail(ferrun.error());
  return HostAgent(*ferrun, reader.take_rest()).run();
}

}  // namespace ferrun
