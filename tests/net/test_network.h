// A few hosts on one switch: network namespaces with names, addresses and an /etc/hosts of their own, and the faults
// that a real network has. Needs enter_network_sandbox().
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/net/relay.h"

namespace ferrun::testing {

class TestNetwork {
 public:
  // Hosts node0, node1, … Without `relay` they share a bridge as fast as memory. Throws std::runtime_error.
  explicit TestNetwork(int hosts, std::optional<RelayOptions> relay = std::nullopt);
  ~TestNetwork();
  TestNetwork(const TestNetwork&) = delete;
  TestNetwork& operator=(const TestNetwork&) = delete;

  int hosts() const { return hosts_; }
  static std::string name(int host) { return "node" + std::to_string(host); }
  static std::string address(int host) { return "10.231.77." + std::to_string(host + 1); }

  // Makes the calling process part of the host: its network, its name, its hosts file. For a child before exec; false
  // when that fails.
  bool enter(int host) const;

  // --- Faults; each lasts until heal(). ---
  void cut(int host);           // its cable: nothing in, nothing out
  void swallow_sent(int host);  // one way: what it sends is lost, what others send arrives
  void swallow_received(int host);
  void black_hole(int host);      // as cut, but the link stays up
  void part(int one, int other);  // these two alone do not hear each other
  void heal(int host);
  // Resets the host's live TCP connections to another one.
  void reset_connections(int host, int other);

 private:
  void make_bridge();
  void make_relay(RelayOptions options);
  void write_hosts_file();
  void filter(int host, const std::string& rule);

  int hosts_;
  std::string hosts_file_;
  std::unique_ptr<Relay> relay_;
};

// Why network tests cannot run here (a missing program or kernel feature); empty when they can.
std::string network_problem();
// Why no relay can run here; empty when one can.
std::string relay_problem();

}  // namespace ferrun::testing
