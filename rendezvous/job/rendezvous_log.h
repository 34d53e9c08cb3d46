// A line for the log as an effect of the rendezvous machines. Pure.
#pragma once

#include <string>

namespace ferrun {

enum class RendezvousLevel { kDebug, kInfo, kWarning };

struct RendezvousSay {
  RendezvousLevel level = RendezvousLevel::kInfo;
  std::string line;  // without a prefix and a line end
  bool operator==(const RendezvousSay&) const = default;
};

}  // namespace ferrun
