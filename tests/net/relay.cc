#include "tests/net/relay.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstring>
#include <map>
#include <queue>
#include <random>
#include <stdexcept>

namespace ferrun::testing {
namespace {

using Clock = std::chrono::steady_clock;

// A TUN device belongs to the network namespace of the process that makes it.
int open_tun(const std::string& network) {
  const int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  const int there = open(network.c_str(), O_RDONLY | O_CLOEXEC);
  if (there < 0 || setns(there, CLONE_NEWNET) != 0) throw std::runtime_error("cannot enter " + network);
  const int tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  ifreq request = {};
  std::strcpy(request.ifr_name, "eth0");
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  const bool made = tun >= 0 && ioctl(tun, TUNSETIFF, &request) == 0;
  setns(home, CLONE_NEWNET);
  close(home);
  close(there);
  if (!made) throw std::runtime_error(std::string("cannot make a TUN device: ") + std::strerror(errno));
  return tun;
}

class Carrier {
 public:
  Carrier(std::vector<int> tuns, const std::vector<uint32_t>& addresses, RelayOptions options)
      : tuns_(std::move(tuns)), options_(options), random_(options.seed) {
    for (size_t host = 0; host < addresses.size(); ++host) device_of_[addresses[host]] = tuns_[host];
  }

  [[noreturn]] void run() {
    std::vector<pollfd> ready;
    for (const int tun : tuns_) ready.push_back({tun, POLLIN, 0});
    for (;;) {
      const timespec wait = time_to_next();
      ppoll(ready.data(), ready.size(), due_.empty() ? nullptr : &wait, nullptr);
      for (const int tun : tuns_) take_packets(tun);
      deliver();
    }
  }

 private:
  struct Packet {
    Clock::time_point due;
    uint64_t number;  // packets due together keep their order
    int device;
    std::string bytes;
    bool operator<(const Packet& other) const { return due != other.due ? due > other.due : number > other.number; }
  };

  timespec time_to_next() const {
    if (due_.empty()) return {};
    const auto left = std::max(Clock::duration::zero(), due_.top().due - Clock::now());
    const auto nanoseconds = std::chrono::duration_cast<std::chrono::nanoseconds>(left).count();
    return {nanoseconds / 1'000'000'000, nanoseconds % 1'000'000'000};
  }

  void take_packets(int tun) {
    std::array<char, 65536> buffer;
    for (ssize_t got = 0; (got = read(tun, buffer.data(), buffer.size())) > 0;) {
      constexpr ssize_t kHeader = 20;
      if (got < kHeader || (static_cast<unsigned char>(buffer[0]) >> 4) != 4) continue;
      uint32_t destination = 0;
      std::memcpy(&destination, buffer.data() + 16, sizeof destination);
      const auto device = device_of_.find(ntohl(destination));
      if (device == device_of_.end()) continue;
      if (std::uniform_real_distribution<>(0, 1)(random_) < options_.loss) continue;
      const auto jitter = std::uniform_int_distribution<int64_t>(0, options_.jitter.count())(random_);
      due_.push({Clock::now() + options_.delay + std::chrono::microseconds(jitter), next_++, device->second,
                 std::string(buffer.data(), static_cast<size_t>(got))});
    }
  }

  void deliver() {
    for (; !due_.empty() && due_.top().due <= Clock::now(); due_.pop()) {
      const Packet& packet = due_.top();
      [[maybe_unused]] const ssize_t sent = write(packet.device, packet.bytes.data(), packet.bytes.size());
    }
  }

  std::vector<int> tuns_;
  RelayOptions options_;
  std::mt19937_64 random_;
  std::map<uint32_t, int> device_of_;
  std::priority_queue<Packet> due_;
  uint64_t next_ = 0;
};

}  // namespace

Relay::Relay(const std::vector<std::string>& namespaces, const std::vector<uint32_t>& addresses, RelayOptions options) {
  std::vector<int> tuns;
  for (const std::string& network : namespaces) tuns.push_back(open_tun(network));
  process_ = fork();
  if (process_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    Carrier(tuns, addresses, options).run();
  }
  for (const int tun : tuns) close(tun);
  if (process_ < 0) throw std::runtime_error("cannot start the relay");
}

Relay::~Relay() {
  kill(process_, SIGKILL);
  waitpid(process_, nullptr, 0);
}

}  // namespace ferrun::testing
