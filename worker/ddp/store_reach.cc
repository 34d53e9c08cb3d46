#include "worker/ddp/store_reach.h"

#include <ferrun/client.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <thread>

namespace ferrun::ddp {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kFirstPause(5), kLongestPause(500);
// For one address of a name that has several; the next round asks again.
constexpr milliseconds kPatienceWithAnAddress = std::chrono::seconds(5);

// 0, or why the connection was not taken.
int connects(const addrinfo& address, milliseconds patience) {
  const int socket = ::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (socket < 0) return errno;
  int error = ::connect(socket, address.ai_addr, address.ai_addrlen) == 0 ? 0 : errno;
  if (error == EINPROGRESS) {
    pollfd ready{socket, POLLOUT, 0};
    const int count = ::poll(&ready, 1, static_cast<int>(patience.count()));
    error = count < 0 ? errno : ETIMEDOUT;
    socklen_t size = sizeof error;
    if (count > 0) ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size);
  }
  ::close(socket);
  return error;
}

// "" when one of the host's addresses took a connection.
std::string try_once(const std::string& host, uint16_t port, milliseconds patience) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int refused = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (refused != 0) return std::string("the host's name has no address (") + ::gai_strerror(refused) + ")";
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(found, &::freeaddrinfo);
  int error = 0;
  for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
    error = connects(*address, patience);
    if (error == 0) return "";
  }
  return std::string("nobody listens there (") + std::strerror(error) + ")";
}

}  // namespace

Status wait_for_listener(const std::string& host, uint16_t port, const ListenerWait& wait) {
  const auto began = steady_clock::now(), deadline = began + wait.timeout;
  bool told = !wait.still_waiting;
  for (milliseconds pause = kFirstPause;; pause = std::min(pause * 2, kLongestPause)) {
    const auto left = [&] {
      return std::max(std::chrono::duration_cast<milliseconds>(deadline - steady_clock::now()), milliseconds(0));
    };
    const std::string refused = try_once(host, port, std::clamp(left(), milliseconds(1), kPatienceWithAnAddress));
    if (refused.empty()) return ok_status();
    if (const int signal = client::noted_stop_signal(); signal != 0) {
      return Error{ErrorKind::kUser, refused + ", and the process was asked to stop (" + ::strsignal(signal) + ")"};
    }
    if (left() <= milliseconds(0)) return Error{ErrorKind::kPlatform, refused};
    if (!told && steady_clock::now() - began >= wait.silence) {
      told = true;
      wait.still_waiting(refused);
    }
    std::this_thread::sleep_for(std::min(pause, left()));
  }
}

}  // namespace ferrun::ddp
