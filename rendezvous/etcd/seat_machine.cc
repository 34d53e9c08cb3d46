#include "rendezvous/etcd/seat_machine.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/json_text.h"

namespace ferrun::etcd {
namespace {

using namespace std::chrono_literals;

constexpr Duration kRenewInterval = 300ms;
constexpr Duration kAgain = 100ms;  // after a failure
// Whoever has just won says in a moment where it is.
constexpr Duration kSoon = 50ms;
constexpr int kMostTries = 3;

// A lease, from when it was asked for; a tenth is left for clocks that run apart.
Duration usable(int64_t seconds) { return Duration(std::chrono::seconds(seconds)) * 9 / 10; }

const Pair* pair_of(const Reply& reply, const std::string& key) {
  const auto found = std::ranges::find(reply.pairs, key, &Pair::key);
  return found == reply.pairs.end() ? nullptr : &*found;
}

Operation put(std::string key, std::string value, int64_t lease) {
  return {Operation::What::kPut, std::move(key), std::move(value), lease};
}
Operation read(std::string key) { return {Operation::What::kRange, std::move(key), "", 0}; }
Operation remove(std::string key) { return {Operation::What::kDelete, std::move(key), "", 0}; }

}  // namespace

std::string encode(const SeatHolder& holder) {
  return json_text(nlohmann::ordered_json{
      {"agent", holder.agent}, {"host", holder.host}, {"addresses", holder.addresses}, {"port", holder.port}});
}

std::optional<SeatHolder> decode_holder(std::string_view text) {
  try {
    const nlohmann::json object = nlohmann::json::parse(text);
    return SeatHolder{object.at("agent").get<std::string>(), object.at("host").get<std::string>(),
                      object.at("addresses").get<std::vector<std::string>>(), object.at("port").get<uint16_t>()};
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

SeatMachine::SeatMachine(SeatConfig config, TimePoint now)
    : config_(std::move(config)), trouble_(config_.servers), look_at_(now) {
  go_on(now);
}

std::vector<SeatEffect> SeatMachine::take_effects() { return std::exchange(effects_, {}); }

std::optional<TimePoint> SeatMachine::next_deadline() const {
  if (!held_) return pending_ ? std::nullopt : std::optional(look_at_);
  if (pending_) return valid_until_;
  TimePoint next = std::min(renew_at_, valid_until_);
  if (to_publish_ || ending_ || !saves_.empty()) next = std::min(next, again_at_);
  if (state_lease_ != 0) next = std::min(next, renew_state_at_);
  return next;
}

void SeatMachine::time_has_come(TimePoint now) { go_on(now); }

void SeatMachine::save(uint64_t ticket, std::string text, TimePoint now) {
  if (!held_) {
    effects_.emplace_back(Saved{ticket, "this agent does not coordinate the job any more"});
    return;
  }
  saves_.push_back({ticket, std::move(text)});
  go_on(now);
}

void SeatMachine::publish(SeatHolder self, TimePoint now) {
  if (!held_) return;
  to_publish_ = std::move(self);
  go_on(now);
}

void SeatMachine::end(bool job_is_over, TimePoint now) {
  ending_ = job_is_over;
  if (!held_) return finish_end();  // whoever has lost the seat may have it again
  withdrawn_ = true;
  go_on(now);
}

void SeatMachine::holder_is_gone(int64_t lease, TimePoint now) {
  if (held_ || lease == 0 || lease != found_lease_) return;
  gone_lease_ = lease;
  go_on(now);
}

// --- What is to be asked. ---

void SeatMachine::go_on(TimePoint now) {
  if (held_ && now >= valid_until_) lose("etcd has not confirmed in time that this agent still has it", now);
  if (pending_) return;
  const std::optional<Step> step = next_step(now);
  if (!step) return;
  pending_ = Pending{*step, ++last_number_, now};
  effects_.emplace_back(Ask{last_number_, request_for(*step)});
}

std::optional<SeatMachine::Step> SeatMachine::next_step(TimePoint now) const {
  if (held_) return step_of_holder(now);
  if (look_at_ > now && gone_lease_ == 0) return std::nullopt;
  if (useless_lease_ != 0) return Step::kRevoke;
  if (gone_lease_ != 0) return Step::kVacate;
  if (!free_ || withdrawn_ || !config_.candidate) return Step::kLook;
  return lease_ == 0 || now - lease_asked_ > usable(granted_seconds_) / 2 ? Step::kGrant : Step::kClaim;
}

std::optional<SeatMachine::Step> SeatMachine::step_of_holder(TimePoint now) const {
  if (renew_at_ <= now) return Step::kRenew;
  if (again_at_ > now) return std::nullopt;
  if (ending_) return Step::kRelease;
  if (to_publish_) return Step::kPublish;
  if (!saves_.empty()) return state_lease_ == 0 ? Step::kGrantState : Step::kSave;
  if (state_lease_ != 0 && renew_state_at_ <= now) return Step::kRenewState;
  return std::nullopt;
}

Request SeatMachine::request_for(Step step) const {
  const Compare nobody{Compare::What::kCreateRevision, seat_key(), 0};
  switch (step) {
    case Step::kLook: return range({seat_key()});
    case Step::kVacate: return revoke(gone_lease_);
    case Step::kGrant: return grant(config_.seat_seconds);
    case Step::kClaim:
      return transaction({nobody},
                         {put(seat_key(), encode(SeatHolder{config_.agent, "", {}, 0}), lease_), read(state_key())},
                         {read(seat_key()), read(state_key())});
    case Step::kRenew: return keep_alive(lease_);
    case Step::kPublish:
      return transaction({still_mine()}, {put(seat_key(), encode(*to_publish_), lease_)}, {read(seat_key())});
    case Step::kGrantState: return grant(config_.state_seconds);
    case Step::kRenewState: return keep_alive(state_lease_);
    case Step::kSave:
      // A write that was given up may still come through, after a later one: it then finds another revision.
      return transaction({still_mine(), {Compare::What::kModRevision, state_key(), state_revision_}},
                         {put(state_key(), saves_.front().text, state_lease_)}, {read(seat_key()), read(state_key())});
    case Step::kRelease: {
      std::vector<Operation> removals{remove(seat_key())};
      if (*ending_) removals.push_back(remove(state_key()));
      return transaction({still_mine()}, removals, {});
    }
    case Step::kRevoke: return revoke(useless_lease_);
  }
  return {};
}

// --- What is answered. ---

void SeatMachine::answered(uint64_t number, const Outcome& outcome, TimePoint now) {
  if (!pending_ || pending_->number != number) return;
  const Pending call = *std::exchange(pending_, std::nullopt);
  const bool full = outcome.failure && outcome.failure->refusal == Refusal::kFull;
  // A save's error is told by whoever wanted it.
  const std::optional<Trouble> trouble = !outcome.failure                   ? trouble_.answered()
                                         : full && call.step == Step::kSave ? std::nullopt
                                                                            : trouble_.failed(*outcome.failure, now);
  if (trouble) effects_.emplace_back(*trouble);
  if (call.counts && outcome.failure) {
    fail(call.step, *outcome.failure, now);
  } else if (call.counts) {
    take(call.step, call.asked, outcome.reply, now);
  }
  go_on(now);
}

void SeatMachine::take(Step step, TimePoint asked, const Reply& reply, TimePoint now) {
  switch (step) {
    case Step::kLook: return looked(reply, now);
    case Step::kVacate:
      gone_lease_ = found_lease_ = 0;
      free_ = true;
      look_at_ = now;
      return;
    case Step::kGrant:
      lease_ = reply.lease;
      lease_asked_ = asked;
      granted_seconds_ = reply.seconds;
      return;
    case Step::kClaim: return claimed(reply, now);
    case Step::kRenew: return renewed(reply, asked, now);
    case Step::kPublish:
      if (!reply.succeeded) return lose("another agent has it", now);
      to_publish_.reset();
      return;
    case Step::kGrantState:
      state_lease_ = reply.lease;
      renew_state_at_ = now + usable(reply.seconds) / 3;
      return;
    case Step::kRenewState:
      if (reply.seconds == 0) state_lease_ = 0;
      renew_state_at_ = now + usable(reply.seconds) / 3;
      return;
    case Step::kSave: return saved(reply, now);
    case Step::kRelease:
      held_ = false;
      useless_lease_ = lease_;
      lease_ = 0;
      return finish_end();
    case Step::kRevoke:
      useless_lease_ = 0;
      look_at_ = now;
      return;
  }
}

void SeatMachine::fail(Step step, const Failure& failure, TimePoint now) {
  again_at_ = now + kAgain;
  switch (step) {
    case Step::kRenew: renew_at_ = now + kAgain; return;
    case Step::kRenewState: renew_state_at_ = now + kAgain; return;
    case Step::kGrantState: return answer_save(words_of(failure));
    case Step::kSave:
      // Of the state's own lease; the seat's is not what a save needs.
      if (failure.line.find("lease not found") != std::string::npos && ++saves_.front().tries < kMostTries) {
        state_lease_ = 0;
        return;
      }
      return answer_save(words_of(failure));
    case Step::kRelease:
      if (++end_tries_ >= kMostTries) {
        held_ = false;
        finish_end();
      }
      return;
    case Step::kRevoke: useless_lease_ = 0; break;  // it is gone, or runs out by itself
    case Step::kVacate: gone_lease_ = 0; break;
    case Step::kGrant:
    case Step::kClaim: lease_ = step == Step::kClaim && failure.refusal == Refusal::kOther ? 0 : lease_; break;
    case Step::kPublish:
    case Step::kLook: break;
  }
  look_at_ = now + kAgain;
}

void SeatMachine::looked(const Reply& reply, TimePoint now) {
  const Pair* seat = pair_of(reply, seat_key());
  free_ = seat == nullptr;
  found_lease_ = 0;
  look_at_ = now + (free_ && config_.candidate && !withdrawn_ ? Duration::zero() : config_.look_interval);
  if (seat != nullptr) note_holder(*seat, now);
}

void SeatMachine::note_holder(const Pair& seat, TimePoint now) {
  free_ = false;
  found_lease_ = seat.lease;
  const std::optional<SeatHolder> holder = decode_holder(seat.value);
  look_at_ = now + (holder && holder->addresses.empty() ? kSoon : config_.look_interval);
  if (holder && holder->agent == config_.agent) {  // this agent's own, which it has given up
    useless_lease_ = seat.lease;
    look_at_ = now;
  } else if (holder && !holder->addresses.empty() && seat.lease != std::exchange(told_lease_, seat.lease)) {
    effects_.emplace_back(SeatFound{*holder, seat.lease});
  }
}

void SeatMachine::claimed(const Reply& reply, TimePoint now) {
  if (reply.succeeded) return won(reply.revision, reply, now);
  const Pair* seat = pair_of(reply, seat_key());
  free_ = seat == nullptr;
  if (seat == nullptr) return;
  // The answer to an earlier attempt was lost: it had been carried out.
  if (seat->lease == lease_) return won(seat->create_revision, reply, now);
  useless_lease_ = std::exchange(lease_, 0);
  note_holder(*seat, now);
}

void SeatMachine::won(int64_t revision, const Reply& reply, TimePoint now) {
  free_ = false;
  held_ = true;
  revision_ = revision;
  told_lease_ = 0;
  valid_until_ = lease_asked_ + usable(granted_seconds_);
  renew_at_ = now + kRenewInterval;
  again_at_ = now;
  const Pair* state = pair_of(reply, state_key());
  state_revision_ = state == nullptr ? 0 : state->mod_revision;
  state_lease_ = 0;
  effects_.emplace_back(SeatWon{state == nullptr ? std::nullopt : std::optional(state->value)});
}

void SeatMachine::renewed(const Reply& reply, TimePoint asked, TimePoint now) {
  if (reply.seconds == 0) return lose("its lease in etcd has run out", now);
  valid_until_ = asked + usable(reply.seconds);
  renew_at_ = std::max(asked + kRenewInterval, now);
}

void SeatMachine::saved(const Reply& reply, TimePoint now) {
  if (reply.succeeded) {
    state_revision_ = reply.revision;
    return answer_save("");
  }
  const Pair* seat = pair_of(reply, seat_key());
  if (seat == nullptr || seat->create_revision != revision_) return lose("another agent has it", now);
  const Pair* state = pair_of(reply, state_key());
  state_revision_ = state == nullptr ? 0 : state->mod_revision;
  if (state != nullptr && state->value == saves_.front().text) return answer_save("");
  if (++saves_.front().tries >= kMostTries) answer_save("somebody else writes to " + state_key());
}

void SeatMachine::answer_save(std::string error) {
  effects_.emplace_back(Saved{saves_.front().ticket, std::move(error)});
  saves_.pop_front();
}

void SeatMachine::lose(const std::string& why, TimePoint now) {
  held_ = false;
  if (pending_) pending_->counts = false;
  to_publish_.reset();
  lease_ = 0;
  look_at_ = now;
  effects_.emplace_back(SeatLost{why});
  while (!saves_.empty()) answer_save("this agent does not coordinate the job any more");
  if (ending_) finish_end();
}

void SeatMachine::finish_end() {
  if (!ending_) return;
  ending_.reset();
  saves_.clear();
  effects_.emplace_back(SeatEnded{});
}

}  // namespace ferrun::etcd
