// Mistakes in the fences of a job whose coordinator has a seat in etcd.
#include "tests/sim/mutant_parts.h"

namespace ferrun::sim {
namespace {

class SeatIsNotCompared : public Mutant {
 public:
  bool etcd_compares_seat() const override { return false; }
};

class StateIsNotCompared : public Mutant {
 public:
  bool etcd_compares_state() const override { return false; }
};

class ActsUntilTold : public Mutant {
 public:
  bool may_act(bool, bool held) const override { return held; }
};

class CountsTooLong : public Mutant {
 public:
  void etcd_answers(etcd::Outcome& outcome) const override {
    if (outcome.reply.seconds > 0) ++outcome.reply.seconds;
  }
};

class TakesALossForTheEnd : public Mutant {
 public:
  bool loss_is_refusal() const override { return true; }
};

}  // namespace

std::vector<NamedMutant> seat_mutants() {
  return {
      {"seat-not-compared", "a write of the state does not ask whose the seat is", "SeatedWrites",
       make<SeatIsNotCompared>(), true},
      {"state-not-compared", "a write of the state does not ask whether it has changed", "StateGoesForward",
       make<StateIsNotCompared>(), true},
      {"no-own-clock", "an agent coordinates until it is told that its seat is gone", "OneCoordinator",
       make<ActsUntilTold>(), true},
      {"seat-too-long", "an agent believes in its seat for longer than etcd does", "OneCoordinator",
       make<CountsTooLong>(), true},
      {"loss-as-end", "a coordinator whose connection is lost is taken for one whose process has ended",
       "OneCoordinator", make<TakesALossForTheEnd>(), true},
  };
}

}  // namespace ferrun::sim
