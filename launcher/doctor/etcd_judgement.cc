#include "launcher/doctor/etcd_judgement.h"

#include <algorithm>

#include "common/duration_text.h"
#include "rendezvous/etcd/seat_trouble.h"

namespace ferrun {
namespace {

using enum Finding::Status;

// A seat of 2 s is renewed three times a second: more than this a request, and few tries are left.
constexpr Duration kSlowEtcd = std::chrono::milliseconds(200);

bool answers(const EtcdServerFacts& server) { return !server.failure || etcd::is_refusal(*server.failure); }

Finding judge_server(const EtcdServerFacts& server, bool another_answers) {
  const std::string name = to_string(server.endpoint);
  if (server.failure) {
    if (etcd::is_refusal(*server.failure)) return {kOk, "etcd", name + " answers, and tells this user no more"};
    // What a client says of a server begins with its name.
    const std::string line = server.failure->line;
    const std::string words = line.starts_with(name) ? line : name + ": " + etcd::words_of(*server.failure);
    if (another_answers) return {kWarn, "etcd", words + "; agents ask the others"};
    return {kFail, "etcd", words + "; --rdzv-endpoint names etcd's client endpoints"};
  }
  const etcd::Reply& status = server.status;
  const std::string text = name + " answers in " + measured_text(server.took, 1) + ": etcd " + status.version;
  if (status.leader.empty() || status.leader == "0") {
    return {kWarn, "etcd", text + ", which hears no leader: is it cut off from the other servers?"};
  }
  return {kOk, "etcd", text + (status.leader == status.server ? ", which leads" : "")};
}

Finding judge_tls(const EtcdFacts& facts) {
  if (!facts.tls) {
    if (facts.user.empty() || facts.loopback) return {kOk, "tls", "none"};
    return {kWarn, "tls", "none: the password of " + facts.user + " can be read on the way (https://, cacert=FILE)"};
  }
  const bool system = facts.tls->cacert.empty();
  return {kOk, "tls",
          "the certificates are from an authority " + (system ? "of this system" : "in " + facts.tls->cacert) +
              (facts.tls->cert.empty() ? "; none is shown" : "; " + facts.tls->cert + " is shown")};
}

Finding judge_quorum(const EtcdFacts& facts) {
  const auto& failure = facts.read->failure;
  if (failure && !etcd::is_refusal(*failure)) {
    return {kFail, "quorum",
            "more than half of the servers have to confirm a read: " + etcd::words_of(*failure) +
                "; no round starts until they do, and workers run on for --coordinator-timeout"};
  }
  if (failure) return {kOk, "quorum", "not looked at: the user may not ask"};
  const std::string text = "a majority of the servers has confirmed a read in " + measured_text(facts.read_took, 1);
  if (facts.read_took <= kSlowEtcd) return {kOk, "quorum", text};
  return {kWarn, "quorum", text + ": slow for a seat that is renewed three times a second (its disks, its network)"};
}

// A write whose condition never holds is refused as a write would be.
Finding judge_user(const EtcdFacts& facts) {
  const std::string who = facts.user.empty() ? "whoever asks" : facts.user;
  const std::string keys = facts.prefix + "*";
  const auto& read = facts.read->failure;
  const auto& write = facts.write->failure;
  if (read && etcd::is_refusal(*read)) return {kFail, "user", etcd::words_of(*read)};
  if (write && etcd::is_refusal(*write)) {
    return {kFail, "user",
            who + " may read " + keys + " and not write it (" + write->line +
                "): etcdctl role grant-permission ROLE --prefix=true readwrite " + facts.prefix};
  }
  if (write && write->refusal != etcd::Refusal::kFull) {
    return {kWarn, "user", "it is not known whether " + who + " may write " + keys + ": " + etcd::words_of(*write)};
  }
  return {kOk, "user", who + " may read and write " + keys};
}

Finding judge_space(const EtcdFacts& facts) {
  const auto& write = facts.write->failure;
  const std::vector<std::string> alarms = facts.alarms->reply.alarms;
  if ((write && write->refusal == etcd::Refusal::kFull) || std::ranges::count(alarms, "NOSPACE") > 0) {
    return {kFail, "alarms",
            "NOSPACE: etcd is full and takes no writes: compact and defragment it, then 'etcdctl alarm disarm'"};
  }
  if (!alarms.empty()) {
    return {kFail, "alarms", alarms.front() + ": etcd distrusts its data; see 'etcdctl alarm list'"};
  }
  if (const auto& failure = facts.alarms->failure) {
    if (etcd::is_refusal(*failure)) return {kOk, "alarms", "the user may not ask for them"};
    return {kWarn, "alarms", "not known: " + etcd::words_of(*failure)};
  }
  int64_t most = 0;
  for (const EtcdServerFacts& server : facts.servers) most = std::max(most, server.status.bytes);
  return {kOk, "alarms", "none; the largest database has " + std::to_string(most >> 10) + " KiB"};
}

Finding judge_seat(const EtcdFacts& facts) {
  const std::string job = "job " + facts.job_id;
  if (facts.holder) {
    const std::string address = facts.holder->addresses.empty() ? "" : " (" + facts.holder->addresses.front() + ")";
    return {kOk, "seat",
            facts.holder->host + address + ", port " + std::to_string(facts.holder->port) + ", coordinates " + job +
                ", by a lease of " + std::to_string(facts.seat_seconds) + " s"};
  }
  if (facts.seat) return {kOk, "seat", "an agent has just taken the seat of " + job};
  if (facts.state) {
    return {kWarn, "seat",
            "nobody coordinates " + job + ", and what a launch of it has left is there for " +
                std::to_string(facts.state_seconds) +
                " s more: whoever starts with this id goes on from it, and "
                "waits until its workers can run no more; --rdzv-id=ANOTHER begins at once"};
  }
  return {kOk, "seat", "nobody coordinates " + job + ": the first agent will"};
}

}  // namespace

std::vector<Finding> judge_etcd(const EtcdFacts& facts) {
  std::vector<Finding> findings;
  const bool any_answers = std::ranges::any_of(facts.servers, answers);
  for (const EtcdServerFacts& server : facts.servers) findings.push_back(judge_server(server, any_answers));
  if (!facts.read || !facts.write || !facts.alarms) return findings;
  findings.push_back(judge_tls(facts));
  findings.push_back(judge_quorum(facts));
  const bool decides = !facts.read->failure || etcd::is_refusal(*facts.read->failure);
  if (decides) findings.push_back(judge_user(facts));
  findings.push_back(judge_space(facts));
  if (!facts.read->failure) findings.push_back(judge_seat(facts));
  return findings;
}

}  // namespace ferrun
