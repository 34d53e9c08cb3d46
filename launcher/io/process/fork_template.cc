#include "launcher/io/process/fork_template.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <utility>

#include "common/fork_protocol.h"
#include "common/io/write_all.h"
#include "common/printable_text.h"
#include "launcher/io/process/spawn.h"

namespace ferrun {

namespace asio = boost::asio;
using asio::posix::stream_descriptor;

namespace {

// A template answers within a millisecond or two; one that does not for so long is stopped or stuck.
constexpr std::chrono::seconds kPatience{10};
// A Python may have begun to import what the first attempt has.
constexpr std::chrono::seconds kPythonsPatience{60};

// A hello or refusal with its line.
constexpr size_t kLongestMessage = 1024;

std::string text_behind(const char* bytes, size_t size, size_t head) {
  return printable(std::string_view(bytes + head, size - head));
}

Error platform_error(const std::string& what) { return {ErrorKind::kPlatform, what + ": " + std::strerror(errno)}; }

std::string environment_block(const Environment& environment) {
  std::string block;
  for (const std::string& variable : environment.to_strings()) block.append(variable).push_back('\0');
  return block;
}

UniqueFd memory_file(const char* name, const std::string& content) {
  UniqueFd file(memfd_create(name, MFD_CLOEXEC));
  if (file && !write_all(file.get(), content)) file.reset();
  return file;
}

// `extra` is left out where it is none, so that a template which knows of none need not.
bool send_with_descriptors(int channel, ForkRequest& request, const std::array<int, kForkDescriptors + 1>& fds) {
  const size_t bytes = sizeof(int) * (fds.back() < 0 ? kForkDescriptors : fds.size());
  iovec part = {&request, sizeof request};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof fds)> control = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = CMSG_SPACE(bytes);
  cmsghdr* rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(bytes);
  std::memcpy(CMSG_DATA(rights), fds.data(), bytes);
  for (;;) {
    if (sendmsg(channel, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof request) return true;
    if (errno != EINTR) return false;  // a full buffer too: hundreds of requests that it has not taken
  }
}

}  // namespace

Result<std::shared_ptr<ForkTemplate>> ForkTemplate::start(asio::io_context& io, const TemplatePlan& plan,
                                                          std::optional<uint64_t> open_files, Events events) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    return platform_error("cannot start the fork template");
  UniqueFd own(ends[0]);
  const UniqueFd theirs(ends[1]);
  Environment environment = plan.environment;
  environment.set(kTemplateDescriptorVariable, std::to_string(kExtraDescriptor));
  UniqueFd archive;
  if (plan.python) {
    archive = memory_file("ferrun-python", python_template_archive(plan.argv, *plan.python));
    if (!archive) return platform_error("cannot start the fork template");
    let_python_find("/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(archive.get()), environment);
  }
  const std::vector<int> any_cpu;
  const Result<SpawnedProcess> process =
      spawn_process({plan.argv, environment, -1, -1, theirs.get(), any_cpu, open_files, SpawnPlan::Mode::kSure});
  if (!process) return process.error();
  std::shared_ptr<ForkTemplate> made(
      new ForkTemplate(io, plan.argv, std::move(events), *process, own.release(), std::move(archive)));
  made->watch(io);
  return made;
}

ForkTemplate::ForkTemplate(asio::io_context& io, std::vector<std::string> argv, Events events,
                           const SpawnedProcess& process, int channel, UniqueFd archive)
    : argv_(std::move(argv)),
      events_(std::move(events)),
      pid_(process.pid),
      exec_outcome_(io, process.exec_outcome),
      channel_(io, channel),
      archive_(std::move(archive)),
      patience_time_(archive_ ? kPythonsPatience : kPatience),
      patience_(io) {}

ForkTemplate::~ForkTemplate() {
  if (!ended_) kill(pid_, SIGKILL);
}

void ForkTemplate::watch(asio::io_context& io) {
  child_.emplace(io, pid_, [weak = weak_from_this()](int wait_status) {
    if (const auto self = weak.lock()) self->on_exit(wait_status);
  });
  exec_outcome_.async_wait(stream_descriptor::wait_read,
                           [weak = weak_from_this()](const boost::system::error_code& error) {
                             const auto self = weak.lock();
                             if (self && !error) self->take_exec_outcome();
                           });
  wait_for_messages();
}

void ForkTemplate::take_exec_outcome() {
  if (!exec_outcome_.is_open()) return;
  if (const auto failure = read_exec_outcome(exec_outcome_.native_handle())) {
    exec_error_ = explain_start_failure(argv_[0], {}, *failure);  // it is about to end
  }
  exec_outcome_.close();
}

void ForkTemplate::wait_for_messages() {
  channel_.async_wait(stream_descriptor::wait_read, [weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (self && !error && !self->ended_) self->receive_messages();
    // At the end of the stream the template is about to end, and says how itself.
    if (self && !error && !self->ended_ && self->channel_.is_open()) self->wait_for_messages();
  });
}

void ForkTemplate::receive_messages() {
  std::array<char, kLongestMessage> bytes;
  for (;;) {
    const ssize_t size = recv(channel_.native_handle(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) return;
    if (size > 0 && take_refusal(bytes.data(), static_cast<size_t>(size))) return;
    const bool understood = size > 0 && (ready_ ? take_reply(bytes.data(), static_cast<size_t>(size))
                                                : take_hello(bytes.data(), static_cast<size_t>(size)));
    if (understood) continue;
    if (size > 0 && !exit_) kill(pid_, SIGKILL);  // it speaks another language; its end is reported like any other
    channel_.close();
    if (exit_) end(exit_->describe());
    return;
  }
}

bool ForkTemplate::take_hello(const char* bytes, size_t size) {
  ForkHello hello;
  if (size < sizeof hello) return false;
  std::memcpy(&hello, bytes, sizeof hello);
  if (hello.magic != kForkHelloMagic || hello.version != kForkProtocolVersion) return false;
  ready_ = true;
  archive_.reset();
  if (size > sizeof hello) events_.note("the fork template " + name() + ": " + text_behind(bytes, size, sizeof hello));
  events_.ready(ok_status());
  return true;
}

// It ends by itself.
bool ForkTemplate::take_refusal(const char* bytes, size_t size) {
  ForkRefusal refusal;
  if (size < sizeof refusal) return false;
  std::memcpy(&refusal, bytes, sizeof refusal);
  if (refusal.magic != kForkRefusalMagic) return false;
  const std::string reason = "workers cannot be forked: " + text_behind(bytes, size, sizeof refusal);
  close();
  fail_pending(reason);
  if (ready_) {
    events_.lost(reason);
  } else {
    events_.ready(Error{ErrorKind::kUser, reason});
  }
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
  be_patient();
  if (reply.pid > 0) {
    events_.forked(request, pid_t{reply.pid});
  } else {
    events_.forked(request, Error{ErrorKind::kPlatform,
                                  "the fork template cannot fork a rank: " + std::string(std::strerror(reply.error))});
  }
  return true;
}

Status ForkTemplate::fork(const SpawnRequest& request, int out, int err, int extra) {
  if (!running()) return Error{ErrorKind::kInternal, "no fork template is ready"};
  if (request.argv != argv_) return Error{ErrorKind::kInternal, "the fork template runs another command line"};
  const std::string block = environment_block(request.environment);
  const UniqueFd file = memory_file("ferrun-environment", block);
  if (!file) return platform_error("cannot hand over a worker's environment");
  ForkRequest message;
  message.agent = getpid();
  message.id = next_id_++;
  message.environment_bytes = block.size();
  message.cpu_count = static_cast<uint32_t>(request.cpus.size());
  for (const int cpu : request.cpus) {
    if (cpu >= 0 && cpu < kForkMaxCpus)
      message.cpus[cpu / 8] = static_cast<uint8_t>(message.cpus[cpu / 8] | 1 << cpu % 8);
  }
  message.memory_node = static_cast<uint32_t>(request.memory_node.value_or(-1) + 1);
  const std::array<int, kForkDescriptors + 1> fds = {file.get(), out, err, extra};
  if (!send_with_descriptors(channel_.native_handle(), message, fds))
    return platform_error("the fork template does not answer");
  pending_.push_back({message.id, request});
  if (pending_.size() == 1) be_patient();
  return ok_status();
}

// From now on; not at all while no answer is due.
void ForkTemplate::be_patient() {
  patience_.cancel();
  if (!busy() && !exit_) return;
  patience_.expires_after(patience_time_);
  patience_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (self && !error) self->lose_patience();
  });
}

void ForkTemplate::lose_patience() {
  if (ended_ || (!busy() && !exit_)) return;
  if (exit_) return end(exit_->describe());  // somebody else holds its channel
  kill(pid_, SIGKILL);
  end("did not answer and was killed");
}

// What it said before it ended is read first, and what a rank says that it has let run: the channel ends with the last
// of them.
void ForkTemplate::on_exit(int wait_status) {
  if (ended_) return;
  exit_ = ExitStatus::from_wait_status(wait_status);
  take_exec_outcome();
  if (channel_.is_open()) receive_messages();
  if (ended_) return;
  if (!channel_.is_open()) return end(exit_->describe());
  be_patient();
}

void ForkTemplate::stop() {
  if (ended_) return;
  if (!exit_) kill(pid_, SIGKILL);
  close();
  fail_pending("the fork template " + name() + " was stopped");
}

void ForkTemplate::close() {
  ended_ = true;
  patience_.cancel();
  channel_.close();
  exec_outcome_.close();
  child_.reset();  // one that is not reaped yet is an orphan like others now
}

void ForkTemplate::fail_pending(const std::string& reason) {
  while (!pending_.empty()) {
    const SpawnRequest request = std::move(pending_.front().request);
    pending_.pop_front();
    events_.forked(request, Error{ErrorKind::kPlatform, reason});
  }
}

void ForkTemplate::end(const std::string& how) {
  close();
  const std::string reason = "the fork template " + name() + " " + how;
  fail_pending(reason);
  if (ready_) {
    events_.lost(reason);
  } else if (exec_error_) {
    events_.ready(*exec_error_);
  } else {
    events_.ready(Error{ErrorKind::kUser, reason + " before it reached its fork point"});
  }
}

std::string ForkTemplate::name() const { return argv_[0] + " (pid " + std::to_string(pid_) + ")"; }

}  // namespace ferrun
