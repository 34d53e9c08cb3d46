#include "launcher/config/meeting.h"

#include <algorithm>
#include <cctype>
#include <string_view>

#include "common/endpoint.h"
#include "common/text.h"
#include "launcher/config/etcd_options.h"
#include "launcher/config/rendezvous_conf.h"
#include "launcher/config/values.h"

namespace ferrun {
namespace {

constexpr std::string_view kLoopback = "127.0.0.1";

bool is_numeric_address(std::string_view host) {
  return host.find(':') != std::string_view::npos ||
         std::ranges::all_of(host, [](char c) { return c == '.' || std::isdigit(static_cast<unsigned char>(c)); });
}

// A name is listened for on every address, as torch's own store does: it may stand for several, or resolve only later.
std::string listen_address_for(const std::string& host) {
  if (host == "localhost") return std::string(kLoopback);
  return is_numeric_address(host) ? host : std::string();
}

Result<Meeting> meeting_at(const RawValue& address, uint16_t port) {
  const bool bare_v6 = std::ranges::count(address.text, ':') > 1 && !address.text.starts_with('[');
  const Result<Endpoint> endpoint = parse_endpoint(bare_v6 ? "[" + address.text + "]" : address.text, 0);
  if (!endpoint || endpoint->port != 0)
    return bad_value(address, "expected the name or number of a host, without a port");
  return Meeting{endpoint->host, listen_address_for(endpoint->host), port};
}

Result<MeetingChoice> standalone_meeting(const RawOptions& options) {
  MeetingChoice choice{Meeting{std::string(kLoopback), std::string(kLoopback), 0}, {}};
  for (const std::string_view name : {"master-addr", "master-port", "rdzv-endpoint", "local-addr"}) {
    const RawValue* given = options.given(name);
    if (given == nullptr) continue;
    choice.warnings.push_back(given->origin + "=" + given->text +
                              " is ignored: --standalone uses the loopback address and a free port");
  }
  return choice;
}

Result<Meeting> endpoint_meeting(const RawValue& value) {
  const Result<Endpoint> endpoint = parse_endpoint(value.text, 0);
  if (!endpoint) return Error{ErrorKind::kUsage, value.origin + ": " + endpoint.error().message};
  const bool port_given = parse_endpoint(value.text, 1)->port == endpoint->port;
  if (!port_given) return bad_value(value, "the static backend needs a port: HOST:PORT, with 0 for any free one");
  return Meeting{endpoint->host, listen_address_for(endpoint->host), endpoint->port};
}

Result<Meeting> plain_meeting(const RawOptions& options) {
  uint16_t port = 0;
  if (const RawValue* given = options.given("master-port")) {
    const Result<uint16_t> number = parse_port(strip(given->text));
    if (!number) return bad_value(*given, number.error().message);
    port = *number;
  }
  RawValue address = options.value("master-addr");
  const RawValue* local = options.given("local-addr");
  if (options.given("master-addr") == nullptr && local != nullptr) address = *local;
  return meeting_at(address, port);
}

}  // namespace

Result<MeetingChoice> choose_meeting(const RawOptions& options) {
  Result<std::vector<std::string>> warnings = check_rendezvous_conf(options);
  if (!warnings) return warnings.error();
  const RawValue backend = options.value("rdzv-backend");
  if (const Status known = check_backend(options); !known) return known.error();
  if (options.on("standalone")) {
    Result<MeetingChoice> choice = standalone_meeting(options);
    choice->warnings.insert(choice->warnings.end(), warnings->begin(), warnings->end());
    return choice;
  }
  const RawValue endpoint = options.value("rdzv-endpoint");
  const bool from_endpoint = backend.text == "static" && !endpoint.text.empty();
  if (!from_endpoint && backend.text != "etcd") {
    const Result<Endpoint> checked = parse_endpoint(endpoint.text, 0);
    if (!checked) return Error{ErrorKind::kUsage, endpoint.origin + ": " + checked.error().message};
  }
  Result<Meeting> meeting = from_endpoint ? endpoint_meeting(endpoint) : plain_meeting(options);
  if (!meeting) return meeting.error();
  return MeetingChoice{std::move(*meeting), std::move(*warnings)};
}

}  // namespace ferrun
