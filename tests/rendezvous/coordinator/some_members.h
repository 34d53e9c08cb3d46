// Members and a round of them for the tests of the coordinator's parts: what these read of a member, and no more.
#pragma once

#include <list>
#include <string>
#include <vector>

#include "rendezvous/coordinator/round_roster.h"

namespace ferrun {

using namespace std::chrono_literals;

inline constexpr TimePoint kPartsStart{1000s};

struct SomeMembers {
  Member& add(const std::string& host, int workers = 2) {
    Member& member = all.emplace_back();
    member.agent.value = 100 + all.size();
    member.host = host;
    member.workers = workers;
    member.addresses = {"10.0.0." + std::to_string(all.size())};
    member.observed_address = "192.168.0." + std::to_string(all.size());
    return member;
  }
  // A round of new members, in their order.
  RoundRoster round(const std::vector<std::string>& hosts) {
    RoundRoster roster({1, 1}, hosts.size(), "a test", kPartsStart);
    int first_rank = 0;
    for (size_t rank = 0; rank < hosts.size(); ++rank) {
      Member& member = add(hosts[rank]);
      roster.seat(member, static_cast<int>(rank), first_rank);
      first_rank += member.workers;
    }
    return roster;
  }
  std::list<Member> all;  // which stay where they are
};

}  // namespace ferrun
