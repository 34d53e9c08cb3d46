// A round between the choice of its nodes and its start: who is ready, where its store is, who has reached that, and
// whether the round is on the disk. Pure; owned by the coordinator machine while it prepares a round.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/time.h"
#include "rendezvous/coordinator/pending_save.h"
#include "rendezvous/coordinator/round_roster.h"
#include "rendezvous/wire/messages.h"

namespace ferrun {

class RoundPreparation {
 public:
  RoundPreparation(size_t nodes, TimePoint end) : end_(end), prepared_(nodes), reached_(nodes) {}

  // A node is ready. False when it had said so.
  bool note_prepared(int node_rank) { return mark(prepared_, node_rank, prepared_count_); }
  // The first node serves it.
  void open_store(DialStore store) { store_ = std::move(store); }
  // False when the node had said so, or could not have reached a store yet.
  bool note_reached(int node_rank) { return store_ && mark(reached_, node_rank, reached_count_); }
  void note_saving(uint64_t ticket) { save_.asked(ticket); }
  // Whether the answer was to this round's state.
  bool note_saved(uint64_t ticket, const std::string& error, TimePoint now) {
    return save_.answered(ticket, error, now);
  }

  enum class Step {
    kWait,
    kSave,     // again: the last attempt failed
    kGo,       // nothing lacks
    kTimeOut,  // too much time has passed; late() are at fault
  };
  Step step(TimePoint now) const;
  // When time alone changes the step.
  TimePoint deadline() const;

  const std::optional<DialStore>& store() const { return store_; }
  // Node ranks that have not done what they could.
  std::vector<int> late() const;
  // One clause: what it waits for.
  std::string words(const RoundRoster& roster) const;

 private:
  using Marks = std::vector<bool>;  // by node rank
  static bool mark(Marks& marks, int node_rank, size_t& count);
  // "waiting for node1 to be ready"; empty where all are marked.
  static std::string lacking(const RoundRoster& roster, const Marks& marks, const std::string& what);

  TimePoint end_;
  Marks prepared_;
  Marks reached_;
  size_t prepared_count_ = 0;
  size_t reached_count_ = 0;
  std::optional<DialStore> store_;
  PendingSave save_;
};

}  // namespace ferrun
