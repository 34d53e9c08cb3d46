#include "launcher/config/rendezvous_conf.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <string_view>

#include "launcher/config/etcd_options.h"
#include "launcher/config/values.h"

namespace ferrun {
namespace {

using Pairs = std::map<std::string, std::string>;

template <size_t N>
bool contains(const std::array<std::string_view, N>& keys, std::string_view key) {
  return std::ranges::find(keys, key) != keys.end();
}

constexpr std::array<std::string_view, 8> kMeant = {"timeout",       "join_timeout",        "last_call_timeout",
                                                    "close_timeout", "keep_alive_interval", "keep_alive_max_attempt",
                                                    "is_host",       "store_type"};
// They steer torchrun's store or its etcd; etcd_options.h has those that mean something there. ferrun's sessions and
// leases have no use for them.
constexpr std::array<std::string_view, 11> kWithoutEffect = {
    "heartbeat_timeout", "read_timeout", "rank", "protocol", "ssl_cert",   "ssl_cert_key",
    "ca_cert",           "cacert",       "cert", "key",      "etcd_prefix"};
constexpr std::array<std::string_view, 6> kOptionsOfTheirOwn = {"backend",   "endpoint",  "run_id",
                                                                "min_nodes", "max_nodes", "local_addr"};

std::string unknown_key(const std::string& origin, const std::string& key) {
  return origin + ": '" + key + "' is no setting of the rendezvous; ignored";
}

Result<Pairs> pairs_of(const RawValue& conf) {
  Result<Pairs> pairs = parse_key_values(conf.text);
  if (!pairs) return Error{ErrorKind::kUsage, conf.origin + "=" + conf.text + ": " + pairs.error().message};
  return pairs;
}

// Reads one key after the other; the first bad value stays as the error.
class ConfReader {
 public:
  ConfReader(std::string origin, const Pairs& pairs) : origin_(std::move(origin)), pairs_(pairs) {}

  void seconds(const char* key, Duration& into) {
    const std::string* text = find(key);
    if (text == nullptr) return;
    const std::optional<Duration> value = parse_seconds(*text);
    if (!value || *value <= Duration::zero()) return fail(key, "expected seconds, more than 0");
    into = *value;
  }

  void attempts(const char* key, int& into) {
    const std::string* text = find(key);
    if (text == nullptr) return;
    const std::optional<long> number = parse_integer(*text);
    if (!number || *number < 1 || *number > 1'000'000) return fail(key, "expected a whole number, 1 or more");
    into = static_cast<int>(*number);
  }

  void yes_or_no(const char* key, std::optional<bool>& into) {
    const std::string* found = find(key);
    if (found == nullptr) return;
    std::string text = *found;
    std::ranges::transform(text, text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (contains(std::array<std::string_view, 5>{"1", "true", "t", "yes", "y"}, text)) {
      into = true;
    } else if (contains(std::array<std::string_view, 5>{"0", "false", "f", "no", "n"}, text)) {
      into = false;
    } else {
      fail(key, "expected 1 or 0");
    }
  }

  void only(const char* key, std::string_view value) {
    const std::string* text = find(key);
    if (text != nullptr && *text != value) fail(key, "only " + std::string(value) + " is supported");
  }

  void refuse(std::string_view key, const std::string& why) {
    if (find(key) != nullptr) fail(key, why);
  }

  const std::optional<Error>& error() const { return error_; }

 private:
  const std::string* find(std::string_view key) const {
    const auto found = pairs_.find(std::string(key));
    return found == pairs_.end() ? nullptr : &found->second;
  }

  void fail(std::string_view key, const std::string& expectation) {
    if (error_) return;
    error_ = Error{ErrorKind::kUsage, origin_ + ": " + std::string(key) + "=" + *find(key) + ": " + expectation};
  }

  std::string origin_;
  const Pairs& pairs_;
  std::optional<Error> error_;
};

void read_values(ConfReader& reader, const RawOptions& options, RendezvousConfig& config) {
  CoordinatorConfig& job = config.coordinator;
  // What torchrun's static back end calls the time for all nodes to come.
  if (options.value("rdzv-backend").text == "static") reader.seconds("timeout", config.member.join_timeout);
  reader.seconds("join_timeout", config.member.join_timeout);
  reader.seconds("last_call_timeout", job.last_call);
  reader.seconds("close_timeout", job.close_timeout);
  reader.seconds("keep_alive_interval", job.heartbeat_interval);
  reader.attempts("keep_alive_max_attempt", config.keep_alive_attempts);
  reader.yes_or_no("is_host", config.is_host);
}

}  // namespace

Status read_rendezvous_conf(const RawOptions& options, RendezvousConfig& config) {
  const RawValue value = options.value("rdzv-conf");
  const Result<Pairs> pairs = pairs_of(value);
  if (!pairs) return pairs.error();
  CoordinatorConfig& job = config.coordinator;
  ConfReader reader(value.origin, *pairs);
  read_values(reader, options, config);
  reader.only("store_type", "tcp");
  for (const std::string_view key : kOptionsOfTheirOwn) reader.refuse(key, "there is an option for it");
  if (reader.error()) return *reader.error();
  // Without a word for this long an agent counts as silent.
  job.silence = job.heartbeat_interval * config.keep_alive_attempts;
  for (const auto& [key, text] : *pairs) {
    if (config.etcd && is_etcd_setting(key)) continue;
    if (contains(kWithoutEffect, key)) {
      config.notes.push_back(value.origin + ": " + key + " has no effect: agents are judged by their keep-alive");
    } else if (!contains(kMeant, key)) {
      config.warnings.push_back(unknown_key(value.origin, key));
    }
  }
  return ok_status();
}

Result<std::vector<std::string>> check_rendezvous_conf(const RawOptions& options) {
  const RawValue value = options.value("rdzv-conf");
  const Result<Pairs> pairs = pairs_of(value);
  if (!pairs) return pairs.error();
  // One node has no use for the values, but who mistypes one shall hear of it before there are two.
  RendezvousConfig unused;
  ConfReader reader(value.origin, *pairs);
  read_values(reader, options, unused);
  if (reader.error()) return *reader.error();
  const bool is_etcd = options.value("rdzv-backend").text == "etcd";
  std::vector<std::string> warnings;
  for (const auto& [key, text] : *pairs) {
    if (is_etcd && is_etcd_setting(key)) continue;
    if (!contains(kMeant, key) && !contains(kWithoutEffect, key)) warnings.push_back(unknown_key(value.origin, key));
  }
  return warnings;
}

}  // namespace ferrun
