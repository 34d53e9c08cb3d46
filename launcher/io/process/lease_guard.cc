#include "launcher/io/process/lease_guard.h"

#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>

#include "launcher/io/process/lease_page.h"

namespace ferrun {

LeaseGuard::LeaseGuard(const SentinelLink& link) : page_(link.page), messages_(link.messages) {}

LeaseGuard::~LeaseGuard() { munmap(page_, sizeof(LeasePage)); }

// An end that moves away needs no word: the sentinel looks at the page when the time that it knows has come.
void LeaseGuard::hold(std::optional<TimePoint> until) {
  const bool must_look = until && (!until_ || *until < *until_);
  until_ = until;
  page_->end.store(until ? std::max<int64_t>(until->time_since_epoch().count(), 1) : 0);
  if (must_look) (void)tell(LeaseMessage::kLook, -1);
}

Status LeaseGuard::share(int connection) {
  // The sentinel has no use for an earlier connection any more.
  if (connection < 0) forget();
  const Status told = connection < 0 ? Status(Error{ErrorKind::kPlatform, "no descriptor is left (see `ulimit -n`)"})
                                     : tell(LeaseMessage::kShare, connection);
  if (told) return told;
  return Error{ErrorKind::kPlatform,
               "cannot share the connection to the coordinator with the sentinel: " + told.error().message +
                   "; if this agent is killed, the other nodes will wait for its lease to end"};
}

void LeaseGuard::forget() { (void)tell(LeaseMessage::kForget, -1); }

Status LeaseGuard::claim(int file) { return tell(LeaseMessage::kClaim, file); }

Status LeaseGuard::tell(LeaseMessage message, int descriptor) {
  char byte = static_cast<char>(message);
  iovec data = {&byte, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr header = {};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  if (descriptor >= 0) {
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(rights), &descriptor, sizeof descriptor);
  }
  // A sentinel that is stopped reads later; what it may then leave unread is far more than an agent ever says.
  if (sendmsg(messages_, &header, MSG_DONTWAIT | MSG_NOSIGNAL) == 1) return ok_status();
  return Error{ErrorKind::kPlatform, std::strerror(errno)};
}

}  // namespace ferrun
