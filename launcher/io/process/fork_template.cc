#include "launcher/io/process/fork_template.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <utility>

#include "common/fork_protocol.h"
#include "launcher/io/process/spawn.h"

namespace ferrun {

namespace asio = boost::asio;
using asio::posix::stream_descriptor;

namespace {

// A template answers within a millisecond or two; one that does not for so long is stopped or stuck.
constexpr std::chrono::seconds kPatience{10};

Error platform_error(const std::string& what) { return {ErrorKind::kPlatform, what + ": " + std::strerror(errno)}; }

class OwnedFd {
 public:
  explicit OwnedFd(int fd) : fd_(fd) {}
  ~OwnedFd() {
    if (fd_ >= 0) close(fd_);
  }
  OwnedFd(const OwnedFd&) = delete;
  OwnedFd& operator=(const OwnedFd&) = delete;
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

bool write_whole(int fd, const std::string& bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = write(fd, bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    done += static_cast<size_t>(n);
  }
  return true;
}

std::string environment_block(const Environment& environment) {
  std::string block;
  for (const std::string& variable : environment.to_strings()) block.append(variable).push_back('\0');
  return block;
}

// Waits until `events` are possible on `fd`.
bool wait_for(int fd, short events) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    pollfd state = {fd, events, 0};
    const int ready = poll(&state, 1, static_cast<int>(left.count()));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

bool send_with_descriptors(int channel, ForkRequest& request, const std::array<int, kForkDescriptors>& fds) {
  iovec part = {&request, sizeof request};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof fds)> control = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof fds);
  std::memcpy(CMSG_DATA(rights), fds.data(), sizeof fds);
  for (;;) {
    if (sendmsg(channel, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof request) return true;
    if (errno == EINTR) continue;
    if (errno != EAGAIN || !wait_for(channel, POLLOUT)) return false;
  }
}

}  // namespace

Result<std::shared_ptr<ForkTemplate>> ForkTemplate::start(asio::io_context& io, const std::vector<std::string>& argv,
                                                          const Environment& environment, Events events) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    return platform_error("cannot start the fork template");
  OwnedFd own(ends[0]);
  const OwnedFd theirs(ends[1]);
  Environment with_channel = environment;
  with_channel.set(kTemplateDescriptorVariable, std::to_string(kExtraDescriptor));
  const std::vector<int> any_cpu;
  const Result<SpawnedProcess> process = spawn_process({argv, with_channel, -1, -1, theirs.get(), any_cpu});
  if (!process) return process.error();
  std::shared_ptr<ForkTemplate> made(
      new ForkTemplate(io, argv, std::move(events), process->pid, process->pidfd, own.release()));
  made->watch();
  return made;
}

ForkTemplate::ForkTemplate(asio::io_context& io, std::vector<std::string> argv, Events events, pid_t pid, int pidfd,
                           int channel)
    : argv_(std::move(argv)), events_(std::move(events)), pid_(pid), pidfd_(io, pidfd), channel_(io, channel) {}

ForkTemplate::~ForkTemplate() {
  if (!ended_) kill_and_reap();
}

void ForkTemplate::watch() {
  pidfd_.async_wait(stream_descriptor::wait_read, [weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (self && !error) self->on_exit();
  });
  wait_for_messages();
}

void ForkTemplate::wait_for_messages() {
  channel_.async_wait(stream_descriptor::wait_read, [weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (self && !error && !self->ended_) self->receive_messages();
    // At the end of the stream the template is about to end: its pidfd says how, and nothing is waited for here.
    if (self && !error && !self->ended_ && self->channel_.is_open()) self->wait_for_messages();
  });
}

void ForkTemplate::receive_messages() {
  std::array<char, sizeof(ForkReply) + sizeof(ForkHello)> bytes;
  for (;;) {
    const ssize_t size = recv(channel_.native_handle(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) return;
    const bool understood = size > 0 && (ready_ ? take_reply(bytes.data(), static_cast<size_t>(size))
                                                : take_hello(bytes.data(), static_cast<size_t>(size)));
    if (understood) continue;
    if (size > 0) kill(pid_, SIGKILL);  // it speaks another language; its end is reported like any other
    channel_.close();
    return;
  }
}

bool ForkTemplate::take_hello(const char* bytes, size_t size) {
  ForkHello hello;
  if (size != sizeof hello) return false;
  std::memcpy(&hello, bytes, sizeof hello);
  if (hello.magic != kForkHelloMagic || hello.version != kForkProtocolVersion) return false;
  ready_ = true;
  events_.ready(ok_status());
  return true;
}

bool ForkTemplate::take_reply(const char* bytes, size_t size) {
  ForkReply reply;
  if (size != sizeof reply) return false;
  std::memcpy(&reply, bytes, sizeof reply);
  // The rank told of itself and was killed before the template knew that.
  if (reply.pid == 0 && reply.id < (pending_.empty() ? next_id_ : pending_.front().id)) return true;
  if (pending_.empty() || reply.id != pending_.front().id) return false;
  const SpawnRequest request = std::move(pending_.front().request);
  pending_.pop_front();
  if (reply.pid > 0) {
    events_.forked(request, pid_t{reply.pid});
  } else {
    events_.forked(request, Error{ErrorKind::kPlatform,
                                  "the fork template cannot fork a rank: " + std::string(std::strerror(reply.error))});
  }
  return true;
}

Status ForkTemplate::fork(const SpawnRequest& request, int out, int err) {
  if (!running()) return Error{ErrorKind::kInternal, "no fork template is ready"};
  if (request.argv != argv_) return Error{ErrorKind::kInternal, "the fork template runs another command line"};
  const std::string block = environment_block(request.environment);
  const OwnedFd file(memfd_create("ferrun-environment", MFD_CLOEXEC));
  if (file.get() < 0 || !write_whole(file.get(), block))
    return platform_error("cannot hand over a worker's environment");
  ForkRequest message;
  message.agent = getpid();
  message.id = next_id_++;
  message.environment_bytes = block.size();
  message.cpu_count = static_cast<uint32_t>(request.cpus.size());
  for (const int cpu : request.cpus) {
    if (cpu >= 0 && cpu < kForkMaxCpus)
      message.cpus[cpu / 8] = static_cast<uint8_t>(message.cpus[cpu / 8] | 1 << cpu % 8);
  }
  const std::array<int, kForkDescriptors> fds = {file.get(), out, err};
  if (!send_with_descriptors(channel_.native_handle(), message, fds))
    return platform_error("the fork template does not answer");
  pending_.push_back({message.id, request});
  return ok_status();
}

void ForkTemplate::settle() {
  while (busy() && !ended_) {
    if (!channel_.is_open() || !wait_for(channel_.native_handle(), POLLIN)) {
      kill_and_reap();
      return end("did not answer and was killed");
    }
    receive_messages();
  }
}

void ForkTemplate::on_exit() {
  siginfo_t exited = {};
  if (ended_ || waitid(P_PID, static_cast<id_t>(pid_), &exited, WEXITED | WNOHANG | WNOWAIT) != 0) return;
  if (exited.si_pid != pid_) return;
  // What it said before it ended, and what a rank says that it has let run: the channel ends with the last of them.
  do {
    if (channel_.is_open()) receive_messages();
  } while (channel_.is_open() && wait_for(channel_.native_handle(), POLLIN));
  int status = 0;
  waitpid(pid_, &status, 0);
  end(ExitStatus::from_wait_status(status).describe());
}

void ForkTemplate::kill_and_reap() {
  kill(pid_, SIGKILL);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

void ForkTemplate::end(const std::string& how) {
  ended_ = true;
  const std::string reason = "the fork template " + name() + " " + how;
  while (!pending_.empty()) {
    const SpawnRequest request = std::move(pending_.front().request);
    pending_.pop_front();
    events_.forked(request, Error{ErrorKind::kPlatform, reason});
  }
  if (ready_) {
    events_.lost(reason);
  } else {
    events_.ready(Error{ErrorKind::kUser, reason + " before it reached its fork point"});
  }
}

std::string ForkTemplate::name() const { return argv_[0] + " (pid " + std::to_string(pid_) + ")"; }

}  // namespace ferrun
