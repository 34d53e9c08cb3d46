#include "common/endpoint.h"

#include <algorithm>
#include <charconv>

#include "common/text.h"

namespace ferrun {
namespace {

constexpr size_t kMaxPortDigits = 5;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_host_character(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.' || c == ':' ||
         c == '-';
}

Error bad(std::string_view text, std::string why) {
  return {ErrorKind::kUsage, "bad endpoint '" + std::string(text) + "': " + std::move(why)};
}

}  // namespace

Result<uint16_t> parse_port(std::string_view text) {
  const bool all_digits = !text.empty() && std::all_of(text.begin(), text.end(), is_digit);
  uint32_t value = 0;
  if (all_digits && text.size() <= kMaxPortDigits) std::from_chars(text.data(), text.data() + text.size(), value);
  if (!all_digits || text.size() > kMaxPortDigits || value > UINT16_MAX) {
    return usage_error("expected a port from 0 to 65535");
  }
  return static_cast<uint16_t>(value);
}

Result<Endpoint> parse_endpoint(std::string_view text, uint16_t default_port) {
  const std::string_view whole = strip(text);
  if (whole.empty()) return Endpoint{"localhost", default_port};
  std::string_view host = whole;
  uint16_t port = default_port;
  const size_t colon = whole.rfind(':');
  const bool only_brackets = whole.front() == '[' && whole.back() == ']';
  if (!only_brackets && colon != std::string_view::npos) {
    const auto parsed = parse_port(whole.substr(colon + 1));
    host = whole.substr(0, colon);
    if (host.empty() && parsed) {
      return bad(text, "there is no host before the port (is a variable empty?): write HOST" + std::string(whole));
    }
    // "::1" would be the host ":" and port 1.
    if (host.empty() || host.back() == ':') return bad(text, "write an IPv6 address in brackets, as in [::1]:29400");
    if (!parsed) return bad(text, "the port has to be a number from 0 to 65535");
    port = *parsed;
  }
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  if (!std::all_of(host.begin(), host.end(), is_host_character)) {
    return bad(text, "write HOST, HOST:PORT or [IPV6]:PORT");
  }
  return Endpoint{std::string(host), port};
}

std::string to_string(const Endpoint& endpoint) {
  const bool v6 = endpoint.host.find(':') != std::string::npos;
  return (v6 ? "[" + endpoint.host + "]" : endpoint.host) + ":" + std::to_string(endpoint.port);
}

}  // namespace ferrun
