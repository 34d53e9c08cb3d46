#include "rendezvous/io/etcd/etcd_seat.h"

#include <boost/asio/post.hpp>
#include <utility>

#include "common/io/clock.h"
#include "rendezvous/coordinator/coordinator_state_codec.h"

namespace ferrun::etcd {

// The state under the seat's protection.
class SeatStore final : public StateStore {
 public:
  SeatStore(Seat& seat, StateVerdict verdict) : seat_(seat), verdict_(std::move(verdict)) {}

  StateVerdict take_verdict() override { return std::move(verdict_); }
  bool keeps() const override { return true; }  // a write without the seat fails
  void save(std::string text, OnSaved on_saved) override {
    seat_.save(std::move(text), [alive = std::weak_ptr(alive_), tell = std::move(on_saved)](const std::string& error) {
      if (!alive.expired()) tell(error);
    });
  }
  void end(bool job_is_over, std::function<void()> ended) override {
    seat_.end(job_is_over, [alive = std::weak_ptr(alive_), tell = std::move(ended)] {
      if (!alive.expired()) tell();
    });
  }

 private:
  Seat& seat_;
  StateVerdict verdict_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

Seat::Seat(boost::asio::io_context& io, SeatConfig config, Client::Options servers, Callbacks callbacks)
    : io_(io),
      config_(std::move(config)),
      callbacks_(std::move(callbacks)),
      client_(io, std::move(servers)),
      timer_(io, [this] {
        machine_->time_has_come(boottime_now());
        go_on();
      }) {}

void Seat::start() {
  machine_.emplace(config_, boottime_now());
  go_on();
}

bool Seat::valid() const { return machine_ && machine_->held() && boottime_now() < machine_->valid_until(); }

// etcd forgets a state that nobody waits for any more.
std::unique_ptr<StateStore> Seat::store(const StateOwner& owner) {
  Result<std::optional<CoordinatorState>> found = std::optional<CoordinatorState>();
  if (left_state_) {
    Result<CoordinatorState> state = decode_state(*left_state_);
    if (state) {
      found = std::optional(std::move(*state));
    } else {
      found = Error{ErrorKind::kUser, "cannot be used (" + state.error().message + ")"};
    }
  }
  return std::make_unique<SeatStore>(*this, judge_state(owner, found, Duration::zero()));
}

void Seat::publish(SeatHolder self) {
  machine_->publish(std::move(self), boottime_now());
  go_on();
}

void Seat::withdraw() {
  if (machine_) machine_->withdraw();
}

void Seat::holder_is_gone(int64_t lease) {
  machine_->holder_is_gone(lease, boottime_now());
  go_on();
}

void Seat::save(std::string text, StateStore::OnSaved on_saved) {
  saves_.emplace(++last_ticket_, std::move(on_saved));
  later([this, ticket = last_ticket_, kept = std::move(text)] { machine_->save(ticket, kept, boottime_now()); });
}

void Seat::end(bool job_is_over, std::function<void()> ended) {
  ended_ = std::move(ended);
  later([this, job_is_over] { machine_->end(job_is_over, boottime_now()); });
}

// Who calls may be the very coordinator that the loss of the seat would end.
void Seat::later(std::function<void()> step) {
  boost::asio::post(io_, [this, alive = std::weak_ptr(alive_), step = std::move(step)] {
    if (alive.expired()) return;
    step();
    go_on();
  });
}

void Seat::go_on() {
  if (std::exchange(carrying_out_, true)) return;
  for (std::vector<SeatEffect> effects = machine_->take_effects(); !effects.empty();
       effects = machine_->take_effects()) {
    for (const SeatEffect& effect : effects) {
      std::visit([this](const auto& what) { carry_out(what); }, effect);
    }
  }
  carrying_out_ = false;
  timer_.set(machine_->next_deadline());
}

void Seat::carry_out(const Ask& effect) {
  client_.ask(effect.request, [this, number = effect.number](const Outcome& outcome) {
    machine_->answered(number, outcome, boottime_now());
    go_on();
  });
}

void Seat::carry_out(const SeatWon& effect) {
  left_state_ = effect.state;
  callbacks_.won();
}

void Seat::carry_out(const SeatLost& effect) { callbacks_.lost(effect.why); }
void Seat::carry_out(const SeatFound& effect) { callbacks_.found(effect); }
void Seat::carry_out(const Trouble& effect) { callbacks_.trouble(effect); }

void Seat::carry_out(const Saved& effect) {
  const auto save = saves_.extract(effect.ticket);
  if (save) save.mapped()(effect.error);
}

void Seat::carry_out(const SeatEnded&) {
  if (ended_) std::exchange(ended_, nullptr)();
}

}  // namespace ferrun::etcd
