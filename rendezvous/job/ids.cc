#include "rendezvous/job/ids.h"

namespace ferrun {

std::string to_string(const RoundId& round) {
  const std::string number = std::to_string(round.number);
  return round.incarnation <= 1 ? number : std::to_string(round.incarnation) + "." + number;
}

std::string to_string(const AgentId& agent) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text(16, '0');
  for (int at = 0; at < 16; ++at) text[static_cast<size_t>(15 - at)] = kDigits[(agent.value >> (4 * at)) & 0xf];
  return text;
}

}  // namespace ferrun
