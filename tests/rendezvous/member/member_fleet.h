// Many agents in one event loop, for tests and benchmarks of the coordinator's server: real member machines and real
// connections, workers that only pretend. Preparing, starting and stopping take no time.
#pragma once

#include <boost/asio/io_context.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "common/io/clock.h"
#include "rendezvous/io/member/member_link.h"
#include "rendezvous/io/net/boot_timer.h"
#include "rendezvous/member/member_machine.h"

namespace ferrun {

class MemberFleet;

class FleetMember {
 public:
  FleetMember(MemberFleet& fleet, size_t index, MemberConfig config, MemberLink::Options options);

  void step(const MemberEvent& event);
  // Carries out what the machine wanted when it was made: it dials.
  void begin() { carry_out(); }
  void fail_a_worker();

  size_t index() const { return index_; }
  MemberMachine& machine() { return machine_; }
  MemberLink& link() { return link_; }

  std::optional<StartWorkers> started;  // the newest round
  std::optional<RoundId> running;
  std::optional<JobEnd> end;
  std::string tried;  // to reach the coordinator
  int stops = 0;

 private:
  void carry_out();
  MemberLink::Callbacks callbacks();

  void run(const Dial&) { link_.dial(); }
  void run(const HangUp&) { link_.hang_up(); }
  void run(const TellCoordinator& tell) { link_.tell(tell.message); }
  void run(const OpenStore& open) { facts_.push_back(StoreOpened{open.round, {"127.0.0.1"}, 1}); }
  void run(const ReachStore& reach) { facts_.push_back(StoreAnswered{reach.round, reach.addresses.at(0)}); }
  void run(const CloseStore&) {}
  void run(const StartWorkers& start);
  void run(const StopWorkers& stop) { workers_end(stop.round); }
  void run(const KillWorkers& kill) { workers_end(kill.round); }
  void run(const HoldLease&) {}
  void run(const ShowStatus&) {}
  void run(const RendezvousSay&) {}
  void run(const MemberDone& done) { end = done.end; }
  void workers_end(const RoundId& round);

  MemberFleet& fleet_;
  size_t index_;
  MemberMachine machine_;
  MemberLink link_;
  std::deque<MemberEvent> facts_;
  bool carrying_out_ = false;
  std::optional<TimePoint> deadline_;
};

class MemberFleet {
 public:
  // Called after anything has changed for a member.
  using OnChange = std::function<void(FleetMember&)>;

  explicit MemberFleet(boost::asio::io_context& io, OnChange on_change = nullptr)
      : io_(io), on_change_(std::move(on_change)), timer_(io, [this] { deliver_deadlines(); }) {}

  // A member named node0, node1, …; it dials at once.
  FleetMember& add(MemberLink::Options options, const std::function<void(MemberConfig&)>& adjust = nullptr) {
    MemberConfig config;
    config.agent = options.agent;
    config.host = "node" + std::to_string(options.agent.value);
    config.addresses = {"127.0.0.1"};
    config.endpoint = to_string(options.endpoint);
    if (adjust) adjust(config);
    members_.push_back(std::make_unique<FleetMember>(*this, members_.size(), std::move(config), std::move(options)));
    FleetMember& member = *members_.back();
    member.begin();
    return member;
  }

  size_t size() const { return members_.size(); }
  FleetMember& operator[](size_t index) { return *members_.at(index); }

  // How many run a round that is not older than this one.
  size_t running(const RoundId& at_least = {}) const {
    size_t count = 0;
    for (const auto& member : members_) count += member->running && *member->running >= at_least ? 1 : 0;
    return count;
  }

 private:
  friend class FleetMember;

  void set_deadline(size_t index, std::optional<TimePoint>& held, std::optional<TimePoint> wanted) {
    if (held == wanted) return;
    if (held) deadlines_.erase({*held, index});
    if (wanted) deadlines_.insert({*wanted, index});
    held = wanted;
    timer_.set(deadlines_.empty() ? std::nullopt : std::optional(deadlines_.begin()->first));
  }

  void deliver_deadlines() {
    while (!deadlines_.empty() && deadlines_.begin()->first <= boottime_now()) {
      members_[deadlines_.begin()->second]->step(MemberDeadline{});
    }
    if (!deadlines_.empty()) timer_.set(deadlines_.begin()->first);
  }

  boost::asio::io_context& io_;
  OnChange on_change_;
  BootTimer timer_;
  std::set<std::pair<TimePoint, size_t>> deadlines_;
  std::vector<std::unique_ptr<FleetMember>> members_;
};

inline FleetMember::FleetMember(MemberFleet& fleet, size_t index, MemberConfig config, MemberLink::Options options)
    : fleet_(fleet),
      index_(index),
      machine_(std::move(config), boottime_now()),
      link_(fleet.io_, std::move(options), callbacks()) {}

inline MemberLink::Callbacks FleetMember::callbacks() {
  MemberLink::Callbacks made;
  made.reached = [this](const CoordinatorReached& event) { step(event); };
  made.gone = [this](const CoordinatorGone& event) { step(event); };
  made.said = [this](CoordinatorSaid event) { step(std::move(event)); };
  made.note = [this](const DialNote& note) {
    tried = note.tried;
    step(note);
  };
  return made;
}

inline void FleetMember::step(const MemberEvent& event) {
  facts_.push_back(event);
  if (!carrying_out_) carry_out();
}

inline void FleetMember::carry_out() {
  carrying_out_ = true;
  do {
    if (!facts_.empty()) {
      const MemberEvent event = std::move(facts_.front());
      facts_.pop_front();
      machine_.step(event, boottime_now());
    }
    for (const MemberEffect& effect : machine_.take_effects()) {
      std::visit([this](const auto& what) { run(what); }, effect);
    }
  } while (!facts_.empty());
  carrying_out_ = false;
  fleet_.set_deadline(index_, deadline_, machine_.next_deadline());
  if (fleet_.on_change_) fleet_.on_change_(*this);
}

inline void FleetMember::run(const StartWorkers& start) {
  started = start;
  running = start.assignment.round;
}

inline void FleetMember::workers_end(const RoundId& round) {
  ++stops;
  running.reset();
  facts_.push_back(WorkersGone{round});
}

inline void FleetMember::fail_a_worker() {
  LocalFailure failure;
  failure.rank = started->assignment.first_rank;
  failure.report = {"rank " + std::to_string(failure.rank) + " exited with code 1"};
  const RoundId round = *running;
  step(WorkersFailed{round, {failure}});
  running.reset();
  step(WorkersGone{round});
}

}  // namespace ferrun
