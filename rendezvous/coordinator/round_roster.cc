#include "rendezvous/coordinator/round_roster.h"

#include <algorithm>

namespace ferrun {

RoundRoster RoundRoster::adopted(const RoundId& id, size_t nodes, TimePoint began) {
  RoundRoster roster(id, nodes, "", began);
  roster.adopted_ = true;
  return roster;
}

void RoundRoster::seat(Member& member, int node_rank, int first_rank) {
  seats_[static_cast<size_t>(node_rank)] = {member.agent, &member, member.host, member.workers, first_rank};
  member.seat = node_rank;
}

void RoundRoster::vacate(Member& member) {
  if (!member.seat) return;
  seats_[static_cast<size_t>(*member.seat)].member = nullptr;
  member.seat.reset();
}

void RoundRoster::vacate_all() {
  for (Seat& seat : seats_) {
    if (seat.member != nullptr) vacate(*seat.member);
  }
}

int RoundRoster::world() const {
  int world = 0;
  for (const Seat& seat : seats_) world += seat.workers;
  return world;
}

std::vector<CoordinatorState::Member> RoundRoster::members() const {
  std::vector<CoordinatorState::Member> members;
  for (const Seat& seat : seats_) {
    if (seat.member != nullptr) members.push_back({seat.member->agent, seat.host, *seat.member->seat});
  }
  return members;
}

std::vector<CoordinatorState::Member> RoundRoster::everybody() const {
  std::vector<CoordinatorState::Member> members;
  for (size_t rank = 0; rank < seats_.size(); ++rank) {
    const Seat& seat = seats_[rank];
    if (seat.agent != AgentId{}) members.push_back({seat.agent, seat.host, static_cast<int>(rank)});
  }
  return members;
}

// Where a large job has more addresses than one message holds, every node keeps the one from which it was heard and the
// first of its own.
std::vector<std::string> RoundRoster::admitted(size_t most) const {
  const size_t most_of_one = most / seats_.size();
  std::vector<std::string> addresses;
  for (const Seat& seat : seats_) {
    const Member& member = *seat.member;
    const size_t own = std::min(member.addresses.size(), std::max<size_t>(most_of_one, 1) - 1);
    addresses.insert(addresses.end(), member.addresses.begin(), member.addresses.begin() + static_cast<ptrdiff_t>(own));
    if (!member.observed_address.empty()) addresses.push_back(member.observed_address);
  }
  std::ranges::sort(addresses);
  addresses.erase(std::unique(addresses.begin(), addresses.end()), addresses.end());
  return addresses;
}

}  // namespace ferrun
