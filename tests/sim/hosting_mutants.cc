// Mistakes in who hosts and who leaves when, and in what is done when a sweep stalls or descriptors run out.
#include <map>
#include <set>

#include "tests/sim/mutant_parts.h"

namespace ferrun::sim {
namespace {

// Believes the first address of the name for ever.
class ElectsOnce : public Mutant {
 public:
  bool hosting_hears(uint32_t agent, HostingEvent& event) override {
    auto* const found = std::get_if<NameFound>(&event);
    if (found == nullptr || found->addresses.empty()) return true;
    *found = first_.emplace(agent, *found).first->second;
    return true;
  }

 private:
  std::map<uint32_t, NameFound> first_;
};

// An agent that has found the port taken never tries to host again: it dials itself.
class DialsItself : public Mutant {
 public:
  bool hosting_hears(uint32_t agent, HostingEvent& event) override {
    if (std::holds_alternative<HostingFailed>(event)) failed_.insert(agent);
    auto* const found = std::get_if<NameFound>(&event);
    if (found == nullptr || !failed_.contains(agent)) return true;
    for (EndpointAddress& address : found->addresses) address.here = false;
    return true;
  }

 private:
  std::set<uint32_t> failed_;
};

class LeavesAtOnce : public Mutant {
 public:
  bool hosting_hears(uint32_t, HostingEvent& event) override {
    if (auto* const ended = std::get_if<NodeEnded>(&event)) ended->abandoned = true;
    return true;
  }
};

class KeepsTheStoresPort : public Mutant {
 public:
  bool hosting_hears(uint32_t, HostingEvent& event) override {
    if (auto* const reached = std::get_if<LinkReached>(&event)) reached->same_machine = false;
    return true;
  }
};

class EndsUnsharedInOrder : public Mutant {
 public:
  bool unshared_ends_in_order() const override { return true; }
};

class SweepsOnTheLoop : public Mutant {
 public:
  bool sweep_blocks() const override { return true; }
};

class DialsOnce : public Mutant {
 public:
  bool dials_again() const override { return false; }
};

}  // namespace

std::vector<NamedMutant> hosting_mutants() {
  return {
      {"election-final", "an agent never hosts that was not the host at its first look at the name", "Progress",
       make<ElectsOnce>()},
      {"dials-itself", "an agent whose port was taken once dials itself and does not host", "Progress",
       make<DialsItself>()},
      {"host-leaves-first", "an agent leaves before the coordinator that it hosts is done", "HostLeavesLast",
       make<LeavesAtOnce>()},
      {"store-port-kept", "rank 0's store wants the port of a coordinator in another process", "PortsDoNotCollide",
       make<KeepsTheStoresPort>()},
      {"unshared-end-as-proof", "the end of a connection that no sentinel shares counts as the end of all workers",
       "ReapedBeforeGo", make<EndsUnsharedInOrder>()},
      {"sweep-on-the-loop", "an agent hears and says nothing while it sweeps", "HeartbeatsGoOn",
       make<SweepsOnTheLoop>()},
      {"dials-once", "an agent that a coordinator out of descriptors does not answer dials no more", "Progress",
       make<DialsOnce>()},
  };
}

}  // namespace ferrun::sim
