#include "worker/ddp/group_address.h"

#include <charconv>
#include <optional>

namespace ferrun::ddp {
namespace {

Error usage(const std::string& message) { return Error{ErrorKind::kUsage, message}; }

Result<int> number(const Environment& environment, const char* name, int lowest, int highest) {
  const std::optional<std::string> text = environment.get(name);
  if (!text || text->empty()) {
    return usage(std::string(name) +
                 " is not set: start the worker with ferrun (or torchrun), or without any of RANK, " +
                 "WORLD_SIZE, MASTER_ADDR and MASTER_PORT");
  }
  int value = 0;
  const char* const end = text->data() + text->size();
  const auto [stopped, error] = std::from_chars(text->data(), end, value);
  if (error != std::errc() || stopped != end || value < lowest || value > highest) {
    return usage(std::string(name) + "=" + *text + " is not a number between " + std::to_string(lowest) + " and " +
                 std::to_string(highest));
  }
  return value;
}

}  // namespace

bool GroupAddress::on_loopback() const {
  return master_addr == "localhost" || master_addr == "::1" || master_addr.rfind("127.", 0) == 0;
}

Result<GroupAddress> group_address_from(const Environment& environment) {
  GroupAddress address;
  address.connects_alone = environment.get_or("FERRUN_CONNECT_ALONE", "") == "1";
  if (!address.connects_alone && !environment.contains("RANK") && !environment.contains("WORLD_SIZE")) {
    return address;
  }
  constexpr int kMostRanks = 1 << 20;
  const Result<int> world_size = number(environment, "WORLD_SIZE", 1, kMostRanks);
  if (!world_size) return world_size.error();
  const Result<int> rank = number(environment, "RANK", 0, *world_size - 1);
  if (!rank) return rank.error();
  address.rank = *rank;
  address.world_size = *world_size;
  if (address.alone()) {
    return address;
  }
  const Result<int> port = number(environment, "MASTER_PORT", 1, 65535);
  if (!port) return port.error();
  address.master_port = static_cast<uint16_t>(*port);
  address.master_addr = environment.get_or("MASTER_ADDR", "");
  if (address.master_addr.empty()) {
    return usage("MASTER_ADDR is not set: start the worker with ferrun (or torchrun)");
  }
  address.agent_serves_store = environment.get_or("TORCHELASTIC_USE_AGENT_STORE", "") == "True";
  return address;
}

}  // namespace ferrun::ddp
