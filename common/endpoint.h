// A host and a port as the user writes them: "node0:29400", "[2001:db8::1]:29400".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/result.h"

namespace ferrun {

struct Endpoint {
  std::string host;  // a name or a numeric address, an IPv6 address without brackets
  uint16_t port = 0;
  bool operator==(const Endpoint&) const = default;
};

// Digits alone, from 0 to 65535. kUsage says what was expected.
Result<uint16_t> parse_port(std::string_view text);

// torchrun's rules: "host", "host:port", "[v6]", "[v6]:port"; nothing at all is localhost; without a port
// `default_port`. kUsage with the text and the remedy when it is none of these.
Result<Endpoint> parse_endpoint(std::string_view text, uint16_t default_port);

// The form that parse_endpoint reads back: IPv6 addresses in brackets.
std::string to_string(const Endpoint& endpoint);

}  // namespace ferrun
