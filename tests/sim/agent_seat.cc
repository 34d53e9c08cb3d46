// The part of a simulated agent that has a seat in etcd: the real seat machine, and around it what its driver would do.
#include "tests/sim/agent.h"
#include "tests/sim/describe.h"

namespace ferrun::sim {

using namespace std::chrono_literals;

void Agent::start_seat() {
  etcd::SeatConfig config;
  config.prefix = kSeatPrefix;
  config.agent = to_string(id_);
  config.servers = "etcd";
  config.state_seconds =
      std::chrono::ceil<std::chrono::seconds>(parts_.plan.member.coordinator_timeout + parts_.plan.coordinator.silence)
          .count();
  config.look_interval += std::chrono::milliseconds(id_.value % 50);
  seat_ = std::make_unique<etcd::SeatMachine>(config, parts_.local(host()));
  seat_goes_on();
}

bool Agent::may_act() const {
  const bool valid = seat_ && seat_->held() && parts_.local(host()) < seat_->valid_until();
  return parts_.mutant == nullptr || !seat_ ? valid : parts_.mutant->may_act(valid, seat_->held());
}

void Agent::seat_goes_on() {
  if (std::exchange(seat_acts_, true)) return;
  for (auto effects = seat_->take_effects(); !effects.empty() && running(); effects = seat_->take_effects()) {
    for (const etcd::SeatEffect& effect : effects) {
      std::visit([this](const auto& what) { carry_out(what); }, effect);
    }
  }
  seat_acts_ = false;
  plan_seat_deadline();
}

void Agent::plan_seat_deadline() {
  if (!running()) return;
  const std::optional<TimePoint> next = seat_->next_deadline();
  if (next == planned_seat_) return;
  planned_seat_ = next;
  ++seat_deadlines_;
  if (!next) return;
  const TrueTime due = std::max(parts_.now, parts_.clocks[host()].when(*next));
  parts_.queue.push_last(due + parts_.random.between(0ms, parts_.plan.slowest_timer), Happening::kSeatDeadline, index_,
                         seat_deadlines_);
}

void Agent::seat_deadline(uint64_t generation) {
  if (generation != seat_deadlines_) return;
  planned_seat_.reset();
  seat_->time_has_come(parts_.local(host()));
  seat_goes_on();
}

void Agent::etcd_answers(uint64_t tag) {
  auto answer = parts_.etcd->take(tag);
  if (!answer) return;
  if (parts_.mutant != nullptr) parts_.mutant->etcd_answers(answer->outcome);
  seat_->answered(answer->number, answer->outcome, parts_.local(host()));
  seat_goes_on();
}

void Agent::save_in_etcd(uint32_t coordinator, uint64_t save, std::string text) {
  seat_saves_.push_back({coordinator, save, std::move(text)});
  parts_.queue.push(parts_.now, Happening::kSeatSave, index_, seat_saves_.size());
}

void Agent::seat_save(uint64_t ticket) {
  seat_->save(ticket, seat_saves_[ticket - 1].text, parts_.local(host()));
  seat_goes_on();
}

void Agent::leave_etcd(bool job_is_over) {
  parts_.queue.push(parts_.now, Happening::kSeatEnd, index_, job_is_over ? 1 : 0);
}

void Agent::seat_end(bool job_is_over) {
  seat_->end(job_is_over, parts_.local(host()));
  seat_goes_on();
}

void Agent::carry_out(const etcd::Ask& effect) { parts_.etcd->ask(index_, id_, host(), effect.number, effect.request); }

void Agent::carry_out(const etcd::SeatWon& effect) {
  if (parts_.trace.on()) say("has the seat");
  left_state_ = effect.state;
  tell_hosting(SeatTaken{});
}

void Agent::carry_out(const etcd::SeatLost& effect) {
  if (parts_.trace.on()) say("has lost the seat: " + effect.why);
  tell_hosting(SeatGone{effect.why});
}

void Agent::carry_out(const etcd::SeatFound& effect) {
  SeatElsewhere elsewhere{{effect.holder.host, effect.holder.port}, {}, effect.lease};
  for (const std::string& address : effect.holder.addresses) {
    elsewhere.addresses.push_back(parse_ip_address(address).value());
  }
  tell_hosting(elsewhere);
}

void Agent::carry_out(const etcd::Saved& effect) {
  const SeatSave& save = seat_saves_[effect.ticket - 1];
  parts_.state_saved(save.coordinator, save.number, effect.error);
}

void Agent::carry_out(const etcd::SeatEnded&) { parts_.seat_ended(index_); }

void Agent::carry_out(const etcd::Trouble& effect) {
  if (parts_.trace.on()) say("| " + effect.line);
  if (!effect.over && !connected_) step(DialNote{effect.line, effect.final});
}

void Agent::publish_seat() {
  seat_->publish({to_string(id_), node_.name, {address_of(host())}, kEndpointPort}, parts_.local(host()));
  seat_goes_on();
}

// --- What the hosting machine asks for. ---

void Agent::carry_out(const CloseCoordinator&) { parts_.close_coordinator(index_); }

// A connection that is given up looks like a reset.
void Agent::carry_out(const MakeLink& effect) {
  if (!seat_) return;  // where it leads to is looked at with every attempt
  link_to_ = effect.at ? host_of(to_string(effect.here.front())) : host();
  dialling_ = false;
  if (!connected_) return;
  connected_ = false;
  parts_.network.abort(parts_.now, connection_, Side::kClient);
  const ConnectionId gone = std::exchange(connection_, kNone) + 1;
  step(CoordinatorGone{gone, LossKind::kReset, "another agent coordinates the job now"});
}

void Agent::carry_out(const WithdrawFromSeat&) { seat_->withdraw(); }

void Agent::carry_out(const LeaveSeat&) { leave_etcd(/*job_is_over=*/false); }

void Agent::carry_out(const HolderIsGone& effect) {
  seat_->holder_is_gone(effect.lease, parts_.local(host()));
  seat_goes_on();
}

}  // namespace ferrun::sim
