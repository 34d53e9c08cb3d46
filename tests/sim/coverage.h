// Which events the machines have been given in which phase, over all runs of a program.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "launcher/node/node_machine.h"
#include "rendezvous/coordinator/coordinator_machine.h"

namespace ferrun::sim {

class Coverage {
 public:
  void count(CoordinatorMachine::Phase phase, const CoordinatorEvent& event);
  // A node machine's event, by the phase of its member machine.
  void count(MemberMachine::Phase phase, const NodeEvent& event);
  void add(const Coverage& other);
  // How many pairs have been seen, then a line for each that has not.
  std::string report() const;

 private:
  static constexpr size_t kPhases = 8;
  // A message counts as an event of its own.
  static constexpr size_t kEvents = 32;
  using Table = std::array<std::array<uint64_t, kEvents>, kPhases>;
  Table coordinator_{};
  Table node_{};
};

const char* name(CoordinatorMachine::Phase phase);
const char* name(MemberMachine::Phase phase);

}  // namespace ferrun::sim
