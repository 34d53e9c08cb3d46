#include "tests/rendezvous/etcd/etcd_in_memory.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace ferrun::etcd {
namespace {

using nlohmann::json;

std::string key_of(const json& request) { return from_base64(request.at("key").get<std::string>()).value(); }

}  // namespace

const EtcdInMemory::Key* EtcdInMemory::find(const std::string& key) const {
  const auto found = keys_.find(key);
  return found == keys_.end() ? nullptr : &found->second;
}

void EtcdInMemory::expire_leases(Duration now) {
  std::erase_if(leases_, [&](const auto& lease) {
    if (lease.second.end > now) return false;
    std::erase_if(keys_, [&](const auto& key) { return key.second.lease == lease.first; });
    return true;
  });
}

void EtcdInMemory::begin_leases_anew(Duration now) {
  for (auto& [id, lease] : leases_) lease.end = std::max(lease.end, now + std::chrono::seconds(lease.seconds));
}

void EtcdInMemory::put(const std::string& key, const std::string& value, int64_t lease) {
  Key& entry = keys_[key];
  if (entry.created == 0) entry.created = revision_;
  entry.value = value;
  entry.changed = revision_;
  entry.lease = lease;
  if (on_put) on_put(key, value);
}

Outcome EtcdInMemory::carry_out(const Request& request, Duration now) {
  expire_leases(now);
  const json body = json::parse(request.body);
  const Failure no_lease{Refusal::kOther, "requested lease not found"};
  Outcome outcome;
  outcome.reply.revision = revision_;
  if (request.path == "/v3/lease/grant") {
    outcome.reply.lease = ++last_lease_;
    outcome.reply.seconds = std::stoll(body.at("TTL").get<std::string>());
    leases_[last_lease_] = {now + std::chrono::seconds(outcome.reply.seconds), outcome.reply.seconds};
    return outcome;
  }
  if (request.path.starts_with("/v3/lease/")) {
    const auto lease = leases_.find(std::stoll(body.at("ID").get<std::string>()));
    if (request.path == "/v3/lease/revoke") {
      if (lease == leases_.end()) return {no_lease, {}};
      lease->second.end = now;
      expire_leases(now);
    } else if (lease != leases_.end()) {
      outcome.reply.seconds = lease->second.seconds;
      lease->second.end = now + std::chrono::seconds(outcome.reply.seconds);
    }
    return outcome;
  }
  outcome.reply.succeeded = std::ranges::all_of(body.at("compare"), [this](const json& compare) {
    const bool of_making = compare.at("target") == "CREATE";
    if (of_making && !compares_seat && compare.at("create_revision") != "0") return true;
    if (!of_making && !compares_state) return true;
    const Key* const key = find(key_of(compare));
    const int64_t revision = key == nullptr ? 0 : of_making ? key->created : key->changed;
    return std::to_string(revision) == compare.at(of_making ? "create_revision" : "mod_revision").get<std::string>();
  });
  const json& operations = body.at(outcome.reply.succeeded ? "success" : "failure");
  for (const json& operation : operations) {
    if (!operation.contains("request_put")) continue;
    const json& entry = operation.at("request_put");
    if (!leases_.contains(std::stoll(entry.at("lease").get<std::string>()))) return {no_lease, {}};
  }
  const bool changes =
      std::ranges::any_of(operations, [](const json& each) { return !each.contains("request_range"); });
  if (changes) outcome.reply.revision = ++revision_;
  for (const json& operation : operations) {
    if (operation.contains("request_put")) {
      const json& entry = operation.at("request_put");
      put(key_of(entry), from_base64(entry.at("value").get<std::string>()).value(),
          std::stoll(entry.at("lease").get<std::string>()));
    } else if (operation.contains("request_delete_range")) {
      keys_.erase(key_of(operation.at("request_delete_range")));
    } else if (const auto key = keys_.find(key_of(operation.at("request_range"))); key != keys_.end()) {
      outcome.reply.pairs.push_back(
          {key->first, key->second.value, key->second.created, key->second.changed, key->second.lease});
    }
  }
  return outcome;
}

}  // namespace ferrun::etcd
