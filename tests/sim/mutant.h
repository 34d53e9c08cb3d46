// A deliberate mistake: it stands between a machine and the world and distorts what the machine is told, told to be, or
// does, as a wrong line in the machine would. The invariants have to notice. Shipped code knows nothing of it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "launcher/node/hosting_machine.h"
#include "launcher/node/node_machine.h"
#include "rendezvous/coordinator/coordinator_machine.h"
#include "rendezvous/coordinator/saved_state_policy.h"
#include "rendezvous/etcd/etcd_codec.h"

namespace ferrun::sim {

class Mutant {
 public:
  virtual ~Mutant() = default;
  virtual void configure(CoordinatorConfig&) {}
  // May change the event; false: the machine does not hear it.
  virtual bool coordinator_hears(CoordinatorEvent&) { return true; }
  virtual bool node_hears(uint32_t /*agent*/, NodeEvent&) { return true; }
  // What the machine does, and what it is told at once as if the world had answered.
  virtual void coordinator_does(std::vector<CoordinatorEffect>&, std::vector<CoordinatorEvent>& /*answers*/) {}
  virtual void node_does(uint32_t /*agent*/, std::vector<NodeEffect>&, std::vector<NodeEvent>& /*answers*/) {}
  virtual bool hosting_hears(uint32_t /*agent*/, HostingEvent&) { return true; }
  virtual bool sentinel_works() const { return true; }
  // A connection that the sentinel has no copy of ends in order when its agent dies.
  virtual bool unshared_ends_in_order() const { return false; }
  virtual bool sweep_blocks() const { return false; }     // the agent's loop
  virtual bool dials_again() const { return true; }       // after an attempt without an answer
  virtual bool loss_is_refusal() const { return false; }  // of the connection to the coordinator
  // With etcd: what it compares, what an agent hears of it, and whether an agent acts as the coordinator. `valid`: as
  // it should be. `held`: nobody has told it otherwise.
  virtual bool etcd_compares_seat() const { return true; }
  virtual bool etcd_compares_state() const { return true; }
  virtual void etcd_answers(etcd::Outcome&) const {}
  virtual bool may_act(bool valid, bool /*held*/) const { return valid; }
  // What a new coordinator makes of the state that it finds in its file.
  virtual void state_judged(const std::optional<CoordinatorState>& /*found*/, StateVerdict&) const {}
};

struct NamedMutant {
  std::string name;
  std::string mistake;    // one line
  std::string invariant;  // by which it has to be caught
  std::function<std::unique_ptr<Mutant>()> make;
  bool with_etcd = false;  // in jobs that have it
};
std::vector<NamedMutant> coordinator_mutants();
std::vector<NamedMutant> node_mutants();
std::vector<NamedMutant> hosting_mutants();
std::vector<NamedMutant> seat_mutants();
const std::vector<NamedMutant>& all_mutants();
const NamedMutant* find_mutant(const std::string& name);  // null: there is no such
// None when there is no such mutant.
std::unique_ptr<Mutant> make_mutant(const std::string& name);

}  // namespace ferrun::sim
