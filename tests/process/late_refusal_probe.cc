// A fork template as the agent sees one whose ranks are killed between telling the agent of themselves and telling the
// template: every fork is answered by the rank, and then refused by the template (common/fork_protocol.h).
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "common/fork_protocol.h"

using namespace ferrun;

int main() {
  const char* const channel_text = std::getenv(kTemplateDescriptorVariable);
  if (channel_text == nullptr) return 2;
  const int channel = std::atoi(channel_text);
  const ForkHello hello;
  send(channel, &hello, sizeof hello, MSG_NOSIGNAL);
  ForkRequest request;
  while (recv(channel, &request, sizeof request, 0) == sizeof request) {
    const auto rank =
        static_cast<int32_t>(syscall(SYS_clone, CLONE_PARENT | SIGCHLD, nullptr, nullptr, nullptr, nullptr));
    if (rank == 0) _exit(0);
    const ForkReply told = {request.id, rank, 0};
    const ForkReply refused = {request.id, 0, ECHILD};
    send(channel, &told, sizeof told, MSG_NOSIGNAL);
    send(channel, &refused, sizeof refused, MSG_NOSIGNAL);
  }
  return 0;
}
