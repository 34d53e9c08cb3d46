// The wire between the tests' hosts where it has to be slow or lossy: every host's eth0 is a TUN device, and one
// process carries the packets from each to the others, some time later, or not at all. Seeded.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace ferrun::testing {

struct RelayOptions {
  std::chrono::microseconds delay{};   // one way
  std::chrono::microseconds jitter{};  // up to this much more
  double loss = 0;                     // share of the packets
  uint64_t seed = 1;
};

class Relay {
 public:
  // Makes eth0 in each network namespace (a file under /run/netns); the host behind it has the IPv4 address at the same
  // place. Carries packets until destroyed. Throws std::runtime_error.
  Relay(const std::vector<std::string>& namespaces, const std::vector<uint32_t>& addresses, RelayOptions options);
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

 private:
  pid_t process_ = 0;
};

}  // namespace ferrun::testing
