// The template's side of common/fork_protocol.h.
#include <dirent.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "common/fork_protocol.h"
#include "ferrun/client.h"

// The mark by which ferrun recognises a program with a fork point, without running it. An allocated note survives
// strip,
// --gc-sections and static linking, and stands in a program header. "%note" is the spelling that every GNU assembler
// takes.
asm(".pushsection .note.ferrun, \"a\", %note\n"
    ".balign 4\n"
    ".long 7\n"  // the name's size with its NUL, the description's size, the type
    ".long 4\n"
    ".long 1\n"
    ".asciz \"ferrun\"\n"
    ".balign 4\n"
    ".long 1\n"  // kForkProtocolVersion
    ".popsection\n");
static_assert(ferrun::kForkNoteName == "ferrun" && ferrun::kForkNoteType == 1 && ferrun::kForkProtocolVersion == 1,
              "the note above is written out in figures");

namespace ferrun::client {
namespace {

constexpr int kInternalError = 70;  // EX_SOFTWARE
constexpr char kGo = 'g';           // to a rank: the agent is its parent now
constexpr char kTold = 't';         // from a rank: the agent has heard of it

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "ferrun fork template: %s: %s\n", what, std::strerror(errno));
  _exit(kInternalError);
}

template <typename Call>
ssize_t retried(Call call) {
  ssize_t result = 0;
  while ((result = call()) < 0 && errno == EINTR) {
  }
  return result;
}

// The agent's socket, when this process was started as a template. A stale variable names no such socket.
std::optional<int> take_channel() {
  const char* text = std::getenv(kTemplateDescriptorVariable);
  if (text == nullptr) return std::nullopt;
  int channel = -1;
  const char* const end = text + std::strlen(text);
  const bool is_number = std::from_chars(text, end, channel).ptr == end;
  unsetenv(kTemplateDescriptorVariable);
  int type = 0;
  socklen_t size = sizeof type;
  if (!is_number || getsockopt(channel, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_SEQPACKET) {
    return std::nullopt;
  }
  return channel;
}

// A thread that runs would not exist in the ranks, while its locks might be held there for ever.
bool other_threads_run() {
  DIR* tasks = opendir("/proc/self/task");
  if (tasks == nullptr) return false;
  int threads = 0;
  while (const dirent* entry = readdir(tasks)) threads += entry->d_name[0] != '.';
  closedir(tasks);
  return threads > 1;
}

struct Order {
  ForkRequest request;
  int environment = -1, out = -1, err = -1;
  void close_all() const {
    close(environment);
    close(out);
    close(err);
  }
};

// The next request; ends the template when the agent has closed its end, or speaks another language.
Order receive(int channel) {
  Order order;
  iovec part = {&order.request, sizeof order.request};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kForkDescriptors * sizeof(int))> control;
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t size = retried([&] { return recvmsg(channel, &message, MSG_CMSG_CLOEXEC); });
  if (size <= 0) _exit(0);
  const cmsghdr* rights = CMSG_FIRSTHDR(&message);
  if (size != sizeof order.request || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || rights == nullptr ||
      rights->cmsg_type != SCM_RIGHTS || rights->cmsg_len != CMSG_LEN(kForkDescriptors * sizeof(int))) {
    errno = EPROTO;
    fail("a request that is none");
  }
  std::array<int, kForkDescriptors> fds;
  std::memcpy(fds.data(), CMSG_DATA(rights), sizeof fds);
  order.environment = fds[0];
  order.out = fds[1];
  order.err = fds[2];
  return order;
}

// putenv keeps pointers into the block, which lives as long as the process, like the one that exec makes.
void replace_environment(int file, size_t bytes) {
  char* const block = new char[bytes + 1];
  size_t done = 0;
  while (done < bytes) {
    const ssize_t n = retried([&] { return pread(file, block + done, bytes - done, static_cast<off_t>(done)); });
    if (n <= 0) fail("cannot read the environment");
    done += static_cast<size_t>(n);
  }
  block[bytes] = '\0';
  clearenv();
  for (char* at = block; at < block + bytes; at += std::strlen(at) + 1) putenv(at);
}

void bind_to_cpus(const ForkRequest& request) {
  if (request.cpu_count == 0) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (unsigned cpu = 0; cpu < kForkMaxCpus; ++cpu) {
    if ((request.cpus[cpu / 8] >> (cpu % 8) & 1) != 0) CPU_SET(cpu, &set);
  }
  if (sched_setaffinity(0, sizeof set, &set) != 0) fail("cannot bind a rank to its CPUs");
}

// That the kernel takes it at all is known to the agent; a node that went meanwhile is no reason not to run.
void prefer_memory_of_node(const ForkRequest& request) {
  constexpr unsigned long kMostNodes = 1024;
  constexpr unsigned long kBitsOfWord = 8 * sizeof(unsigned long);
  if (request.memory_node == 0 || request.memory_node > kMostNodes) return;
  const unsigned long node = request.memory_node - 1;
  unsigned long nodes[kMostNodes / kBitsOfWord] = {};
  nodes[node / kBitsOfWord] = 1UL << node % kBitsOfWord;
  syscall(SYS_set_mempolicy, MPOL_PREFERRED, nodes, kMostNodes + 1);
}

struct Report {
  int32_t pid = 0;
  int32_t error = 0;
};

// In the rank, still a child of the intermediate process: waits until it is the agent's, and tells the agent itself. So
// it runs exactly when the agent has heard of it, whenever the template dies.
void join_agent(const ForkRequest& request, int channel, int handshake) {
  setsid();  // before the report: who learns the pid may signal the group
  const Report report = {getpid(), 0};
  if (send(handshake, &report, sizeof report, MSG_NOSIGNAL) < 0) _exit(kInternalError);
  char answer = 0;
  if (retried([&] { return read(handshake, &answer, 1); }) != 1 || answer != kGo)
    _exit(kInternalError);  // template died
  // The death signal may be set only now, because the death of the intermediate process would have sent it. Had the
  // agent died before this line, the parent is another.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != request.agent) _exit(kInternalError);
  ForkReply reply;
  reply.id = request.id;
  reply.pid = report.pid;
  if (send(channel, &reply, sizeof reply, MSG_NOSIGNAL) < 0) _exit(kInternalError);
  send(handshake, &kTold, 1, MSG_NOSIGNAL);
}

void refuse(int channel, const ForkRequest& request, int error) {
  ForkReply reply;
  reply.id = request.id;
  reply.error = error;
  send(channel, &reply, sizeof reply, MSG_NOSIGNAL);
}

// Lets the rank run, once the intermediate process is gone and the rank is the agent's child. Zero, or what went wrong
// before the agent heard of it.
int release_rank(pid_t intermediate, int handshake) {
  Report report;
  const bool reported = retried([&] { return recv(handshake, &report, sizeof report, 0); }) == sizeof report;
  if (intermediate > 0) retried([&] { return waitpid(intermediate, nullptr, 0); });
  if (!reported) return ECHILD;
  if (report.error != 0) return report.error;
  char answer = 0;
  send(handshake, &kGo, 1, MSG_NOSIGNAL);
  return retried([&] { return read(handshake, &answer, 1); }) == 1 && answer == kTold ? 0 : ECHILD;
}

// Forks a rank in the template. Returns true in the rank and false in the template.
bool fork_rank(int channel, const Order& order) {
  int handshake[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, handshake) != 0) {
    refuse(channel, order.request, errno);
    return false;
  }
  const pid_t intermediate = fork();
  if (intermediate == 0) {
    const pid_t rank = fork();
    if (rank == 0) {
      close(handshake[0]);
      join_agent(order.request, channel, handshake[1]);
      close(handshake[1]);
      close(channel);
      return true;
    }
    if (rank < 0) {
      const Report report = {0, errno};
      send(handshake[1], &report, sizeof report, MSG_NOSIGNAL);
    }
    _exit(0);
  }
  const int fork_error = intermediate < 0 ? errno : 0;
  close(handshake[1]);
  const int error = fork_error != 0 ? fork_error : release_rank(intermediate, handshake[0]);
  if (error != 0) refuse(channel, order.request, error);
  close(handshake[0]);
  return false;
}

void set_up_rank(const Order& order) {
  if (dup2(order.out, STDOUT_FILENO) < 0 || dup2(order.err, STDERR_FILENO) < 0) _exit(kInternalError);
  replace_environment(order.environment, order.request.environment_bytes);
  bind_to_cpus(order.request);
  prefer_memory_of_node(order.request);
  order.close_all();
}

}  // namespace

void fork_point() {
  const std::optional<int> channel = take_channel();
  if (!channel) return;
  if (other_threads_run()) {
    std::fputs("ferrun fork template: a thread was started before the fork point; use --start-method=spawn\n", stderr);
    _exit(kInternalError);
  }
  std::fflush(nullptr);  // what is buffered here would be printed again by every rank
  const ForkHello hello;
  if (send(*channel, &hello, sizeof hello, MSG_NOSIGNAL) < 0) _exit(0);
  for (;;) {
    const Order order = receive(*channel);
    if (fork_rank(*channel, order)) return set_up_rank(order);
    order.close_all();
  }
}

}  // namespace ferrun::client
