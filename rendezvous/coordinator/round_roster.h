// The nodes of the newest round by node rank, from its preparation until all its workers are gone; afterwards a memory
// of it. It alone ties members to seats and frees them, so that the two sides agree. Pure; owned by the coordinator
// machine, whose membership owns the members.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "rendezvous/coordinator/membership.h"

namespace ferrun {

class RoundRoster {
 public:
  struct Seat {
    AgentId agent;             // who has, or had it; none: not back yet
    Member* member = nullptr;  // none: lost, has left, or is not back yet since another coordinator took over
    std::string host;
    int workers = 1;
    int first_rank = 0;
  };

  // A round that is prepared, with seats to be taken.
  RoundRoster(const RoundId& id, size_t nodes, std::string reason, TimePoint began)
      : id_(id), reason_(std::move(reason)), began_(began), seats_(nodes) {}
  // One that another coordinator started.
  static RoundRoster adopted(const RoundId& id, size_t nodes, TimePoint began);

  void start(TimePoint now) { began_ = now; }
  // The seat is free, and the member has none.
  void seat(Member& member, int node_rank, int first_rank);
  // A member without a seat stays as it is.
  void vacate(Member& member);
  void vacate_all();

  const RoundId& id() const { return id_; }
  const std::string& reason() const { return reason_; }
  TimePoint began() const { return began_; }  // its preparation, then its start
  bool is_adopted() const { return adopted_; }
  size_t size() const { return seats_.size(); }
  const std::vector<Seat>& seats() const { return seats_; }
  const Seat& at(int node_rank) const { return seats_[static_cast<size_t>(node_rank)]; }
  // Workers of all nodes.
  int world() const;
  // Who is there, as it is saved.
  std::vector<CoordinatorState::Member> members() const;
  // The same with those who had a seat.
  std::vector<CoordinatorState::Member> everybody() const;
  // The addresses from which the round's workers may reach its store: `most` at most, of every node the one from which
  // it was heard first.
  std::vector<std::string> admitted(size_t most) const;

 private:
  RoundId id_;
  std::string reason_;
  TimePoint began_;
  bool adopted_ = false;
  std::vector<Seat> seats_;
};

}  // namespace ferrun
