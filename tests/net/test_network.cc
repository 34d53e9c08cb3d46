#include "tests/net/test_network.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <stdexcept>

#include "tests/net/commands.h"

namespace ferrun::testing {
namespace {

std::string& sandbox_problem() {
  static std::string problem;
  return problem;
}

std::string network_file(int host) { return "/run/netns/" + TestNetwork::name(host); }
std::string bridge_port(int host) { return "port" + std::to_string(host); }

}  // namespace

void set_sandbox_problem(const std::string& problem) { sandbox_problem() = problem; }

std::string network_problem() {
  if (!sandbox_problem().empty()) return sandbox_problem();
  for (const char* program : {"ip", "nft", "ss"}) {
    if (!has_program(program)) return std::string("no program '") + program + "' (packages iproute2 and nftables)";
  }
  return {};
}

std::string relay_problem() {
  return access("/dev/net/tun", R_OK | W_OK) == 0 ? "" : "/dev/net/tun is not there or not for this user";
}

TestNetwork::TestNetwork(int hosts, std::optional<RelayOptions> relay) : hosts_(hosts) {
  for (int host = 0; host < hosts; ++host) {
    run({"ip", "netns", "add", name(host)});
    run({"ip", "-n", name(host), "link", "set", "lo", "up"});
  }
  if (relay) {
    make_relay(*relay);
  } else {
    make_bridge();
  }
  write_hosts_file();
}

TestNetwork::~TestNetwork() {
  relay_.reset();
  for (int host = 0; host < hosts_; ++host) run({"ip", "netns", "del", name(host)});
  if (has_program("ip") && access("/run/netns/switch", F_OK) == 0) run(words("ip netns del switch"));
  std::remove(hosts_file_.c_str());
}

void TestNetwork::make_bridge() {
  run(words("ip netns add switch"));
  run(words("ip -n switch link add bridge0 type bridge"));
  run(words("ip -n switch link set bridge0 up"));
  for (int host = 0; host < hosts_; ++host) {
    const std::string port = bridge_port(host);
    run({"ip", "link", "add", "eth0", "netns", name(host), "type", "veth", "peer", "name", port, "netns", "switch"});
    run({"ip", "-n", name(host), "addr", "add", address(host) + "/24", "dev", "eth0"});
    run({"ip", "-n", name(host), "link", "set", "eth0", "up"});
    run({"ip", "-n", "switch", "link", "set", port, "master", "bridge0", "up"});
  }
}

void TestNetwork::make_relay(RelayOptions options) {
  std::vector<std::string> networks;
  std::vector<uint32_t> addresses;
  for (int host = 0; host < hosts_; ++host) {
    networks.push_back(network_file(host));
    addresses.push_back(ntohl(inet_addr(address(host).c_str())));
  }
  relay_ = std::make_unique<Relay>(networks, addresses, options);
  for (int host = 0; host < hosts_; ++host) {
    run({"ip", "-n", name(host), "addr", "add", address(host) + "/24", "dev", "eth0"});
    run({"ip", "-n", name(host), "link", "set", "eth0", "up"});
  }
}

void TestNetwork::write_hosts_file() {
  std::string path = "/tmp/ferrun-hosts-XXXXXX";
  const int fd = mkstemp(path.data());
  if (fd < 0) throw std::runtime_error("cannot write a hosts file");
  close(fd);
  hosts_file_ = path;
  std::ofstream out(path);
  out << "127.0.0.1 localhost\n";
  for (int host = 0; host < hosts_; ++host) out << address(host) << " " << name(host) << "\n";
}

bool TestNetwork::enter(int host) const {
  const int network = open(network_file(host).c_str(), O_RDONLY | O_CLOEXEC);
  if (network < 0 || setns(network, CLONE_NEWNET) != 0) return false;
  if (unshare(CLONE_NEWUTS | CLONE_NEWNS) != 0) return false;
  const std::string own_name = name(host);
  return sethostname(own_name.data(), own_name.size()) == 0 &&
         mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         mount(hosts_file_.c_str(), "/etc/hosts", nullptr, MS_BIND, nullptr) == 0;
}

void TestNetwork::filter(int host, const std::string& rule) {
  run(words("ip netns exec " + name(host) + " nft add table inet fault"));
  run(words("ip netns exec " + name(host) + " nft add chain inet fault sent { type filter hook output priority 0 ; }"));
  run(words("ip netns exec " + name(host) +
            " nft add chain inet fault received { type filter hook input priority 0 ; }"));
  run(words("ip netns exec " + name(host) + " nft add rule inet fault " + rule));
}

void TestNetwork::cut(int host) {
  if (relay_) return black_hole(host);
  run({"ip", "-n", "switch", "link", "set", bridge_port(host), "down"});
}

void TestNetwork::swallow_sent(int host) { filter(host, "sent oif eth0 drop"); }

void TestNetwork::swallow_received(int host) { filter(host, "received iif eth0 drop"); }

void TestNetwork::black_hole(int host) {
  swallow_sent(host);
  swallow_received(host);
}

void TestNetwork::part(int one, int other) {
  filter(one, "received ip saddr " + address(other) + " drop");
  filter(one, "sent ip daddr " + address(other) + " drop");
}

void TestNetwork::heal(int host) {
  if (!relay_) run({"ip", "-n", "switch", "link", "set", bridge_port(host), "up"});
  run(words("ip netns exec " + name(host) + " nft flush ruleset"));
}

void TestNetwork::reset_connections(int host, int other) {
  run(words("ip netns exec " + name(host) + " ss -K -t dst " + address(other)));
}

}  // namespace ferrun::testing
