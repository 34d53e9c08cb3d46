#include "tests/rendezvous/etcd/seat_model.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace ferrun::etcd {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr Duration kPatience = 500ms;  // of whoever asks

std::string key_of(const json& request) { return from_base64(request.at("key").get<std::string>()).value(); }

}  // namespace

struct SeatModel::Agent {
  std::string name;
  std::unique_ptr<SeatMachine> machine;
  bool stopped = false;
  int term = 0;  // of its coordinator; 0: it has none
  int number = 0;
  TimePoint told_valid{};  // by the mutant's way to count
};

// A request on its way, or an answer on its way back.
struct SeatModel::Flight {
  size_t agent;
  uint64_t number;
  Request request;
  TimePoint due;
  std::optional<Outcome> answer;
  bool abandoned = false;  // nobody waits for it any more: it may still be carried out
};

SeatModel::SeatModel(uint64_t seed, SeatMutant mutant, size_t agents) : random_(seed), mutant_(mutant) {
  for (size_t i = 0; i < agents; ++i) {
    agents_.push_back(std::make_unique<Agent>());
    agents_[i]->name = std::to_string(i + 1);
    SeatConfig config;
    config.prefix = "/job/";
    config.agent = agents_[i]->name;
    config.servers = "etcd";
    agents_[i]->machine = std::make_unique<SeatMachine>(config, now_);
    take_effects(i);
  }
}
SeatModel::~SeatModel() = default;

void SeatModel::run(int steps) {
  for (int i = 0; i < steps && broken_.empty(); ++i) step();
}

void SeatModel::step() {
  now_ += std::chrono::milliseconds(pick(chance(0.02) ? 1500 : 40));
  expire_leases();
  for (size_t i = 0; i < flights_.size(); ++i) {
    if (flights_[i].due <= now_) arrive(flights_[i]);
  }
  std::erase_if(flights_, [](const Flight& flight) { return flight.number == 0; });
  for (size_t i = 0; i < agents_.size(); ++i) {
    Agent& agent = *agents_[i];
    if (chance(agent.stopped ? 0.02 : 0.002)) agent.stopped = !agent.stopped;
    if (agent.stopped) continue;
    // Whoever wakes acts before it looks at the clock, where it may.
    if (acts(agent) && chance(0.3)) {
      agent.machine->save(1, std::to_string(agent.term) + " " + std::to_string(++agent.number) + " " + agent.name,
                          now_);
      take_effects(i);
    }
    const std::optional<TimePoint> due = agent.machine->next_deadline();
    if (due && *due <= now_) agent.machine->time_has_come(now_);
    take_effects(i);
  }
  check();
}

// Late, twice as late as anybody waits, or for nothing; there or back.
void SeatModel::send(size_t agent, const Ask& ask) {
  const Duration way = std::chrono::milliseconds(1 + pick(chance(0.05) ? 1200 : 20));
  flights_.push_back({agent, ask.number, ask.request, now_ + way, std::nullopt});
  if (way > kPatience || chance(0.03)) {
    flights_.back().abandoned = true;
    if (chance(0.3)) flights_.back().due = now_ + 3600s;  // never arrives
    const Outcome silence{Failure{Refusal::kNoAnswer, "no answer"}, {}};
    flights_.push_back({agent, ask.number, {}, now_ + kPatience, silence});
  }
}

void SeatModel::arrive(Flight& flight) {
  if (flight.answer) {
    Agent& agent = *agents_[flight.agent];
    if (agent.stopped) return;  // lies in its socket
    const uint64_t number = std::exchange(flight.number, 0);
    const Outcome answer = *flight.answer;
    if (answer.reply.seconds > 0) agent.told_valid = now_ + std::chrono::seconds(answer.reply.seconds);
    const size_t index = flight.agent;
    agent.machine->answered(number, answer, now_);
    take_effects(index);
    return;
  }
  flight.answer = carry_out(flight.request);
  flight.due = now_ + std::chrono::milliseconds(1 + pick(20));
  if (flight.abandoned) flight.number = 0;
}

void SeatModel::take_effects(size_t index) {
  Agent& agent = *agents_[index];
  for (const SeatEffect& effect : agent.machine->take_effects()) {
    if (const auto* ask = std::get_if<Ask>(&effect)) {
      send(index, *ask);
    } else if (std::holds_alternative<SeatWon>(effect)) {
      agent.term = ++wins_;
      agent.number = 0;
      agent.machine->publish({agent.name, "host", {"10.0.0.1"}, 1}, now_);
      return take_effects(index);
    } else if (std::holds_alternative<SeatLost>(effect)) {
      agent.term = 0;
    }
  }
}

bool SeatModel::acts(const Agent& agent) const {
  if (!agent.machine->held()) return false;
  if (mutant_ == SeatMutant::kNoOwnClock) return true;
  if (mutant_ == SeatMutant::kLeaseFromReply) return now_ < agent.told_valid;
  return now_ < agent.machine->valid_until();
}

void SeatModel::check() {
  size_t acting = 0;
  for (const auto& agent : agents_) acting += acts(*agent) ? 1 : 0;
  if (acting > 1) fail("two agents may act as the coordinator");
}

// --- etcd ---

void SeatModel::expire_leases() {
  std::erase_if(leases_, [this](const auto& lease) {
    if (lease.second.first > now_) return false;
    std::erase_if(keys_, [&](const auto& key) { return key.second.lease == lease.first; });
    return true;
  });
}

void SeatModel::put(const std::string& key, const std::string& value, int64_t lease) {
  Key& entry = keys_[key];
  if (entry.created == 0) entry.created = revision_;
  entry.value = value;
  entry.changed = revision_;
  entry.lease = lease;
  if (!key.ends_with("state")) return;
  ++saves_;
  const auto seat = keys_.find("/job/seat");
  const std::string writer = value.substr(value.rfind(' ') + 1);
  const auto holder = seat == keys_.end() ? std::nullopt : decode_holder(seat->second.value);
  if (!holder || holder->agent != writer) fail("agent " + writer + " has written a state without the seat");
  const int term = std::stoi(value);
  const int number = std::stoi(value.substr(value.find(' ') + 1));
  if (term < newest_term_ || (term == newest_term_ && number < newest_number_)) fail("an older state over a newer one");
  newest_term_ = term;
  newest_number_ = number;
}

Outcome SeatModel::carry_out(const Request& request) {
  const json body = json::parse(request.body);
  const Failure no_lease{Refusal::kOther, "requested lease not found"};
  Outcome outcome;
  outcome.reply.revision = revision_;
  if (request.path == "/v3/lease/grant") {
    outcome.reply.lease = ++last_lease_;
    outcome.reply.seconds = std::stoll(body.at("TTL").get<std::string>());
    leases_[last_lease_] = {now_ + std::chrono::seconds(outcome.reply.seconds), outcome.reply.seconds};
    return outcome;
  }
  if (request.path.starts_with("/v3/lease/")) {
    const auto lease = leases_.find(std::stoll(body.at("ID").get<std::string>()));
    if (request.path == "/v3/lease/revoke") {
      if (lease == leases_.end()) return {no_lease, {}};
      lease->second.first = now_;
      expire_leases();
    } else if (lease != leases_.end()) {
      outcome.reply.seconds = lease->second.second;
      lease->second.first = now_ + std::chrono::seconds(outcome.reply.seconds);
    }
    return outcome;
  }
  outcome.reply.succeeded = std::ranges::all_of(body.at("compare"), [this](const json& compare) {
    const bool of_seat = compare.at("target") == "CREATE";
    if (of_seat && mutant_ == SeatMutant::kNoSeatFence && compare.at("create_revision") != "0") return true;
    if (!of_seat && mutant_ == SeatMutant::kNoStateFence) return true;
    const auto key = keys_.find(key_of(compare));
    const int64_t revision = key == keys_.end() ? 0 : of_seat ? key->second.created : key->second.changed;
    return std::to_string(revision) == compare.at(of_seat ? "create_revision" : "mod_revision").get<std::string>();
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
