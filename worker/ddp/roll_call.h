// Finds out which rank is at fault when a collective times out: every rank keeps a thread that answers, through the
// store, a peer's question whether it is alive and what it is doing. A stopped process (SIGSTOP) or a lost machine does
// not answer. The thread sleeps in a store operation: an undisturbed run pays one idle connection for it, and no
// polling.
#pragma once

#include <c10/util/intrusive_ptr.h>

#include <chrono>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "worker/ddp/collective_history.h"

namespace c10d {
class Store;
}

namespace ferrun::ddp {

// What is known of one rank after a roll call.
struct RankSign {
  int rank = 0;
  std::string who;  // "rank 1 (pid 4711 on host a)"; without the parenthesis when it never joined
  bool joined = false;
  bool answered = false;
  // Of a rank that answered.
  std::string activity;
  RecentCollectives collectives;
  std::vector<Exchange> exchanges;
};

class RollCall {
 public:
  // Announces this rank and starts to answer. `store` is the job's store, without a prefix but that of a sub-group.
  // `ranks`: all that are called, this one among them, by their numbers in the job. `history` outlives this.
  RollCall(const c10::intrusive_ptr<c10d::Store>& store, int rank, std::vector<int> ranks,
           const CollectiveHistory& history);
  // Ends the answering thread; waits for it unless the store is gone.
  ~RollCall();

  // What this rank is doing, for its answer. Any thread.
  void set_activity(std::string activity);

  // Asks all other ranks and waits for their answers, `patience` in all. Throws when the store does not answer.
  // This rank's own answer is left in the store first, for peers that ask when it is gone.
  std::vector<RankSign> ask(std::chrono::milliseconds patience);

  // Which ranks have announced themselves: for a group that does not come up. Asks nobody.
  std::vector<RankSign> joined();

 private:
  void answer_when_called();
  void answer(c10d::Store& store);

  c10::intrusive_ptr<c10d::Store> asking_;     // used by the thread that calls `ask`
  c10::intrusive_ptr<c10d::Store> answering_;  // a connection of its own: a wait holds a connection's lock
  int rank_;
  std::vector<int> ranks_;
  const CollectiveHistory& history_;
  std::mutex mutex_;
  std::string activity_;
  std::thread thread_;
};

}  // namespace ferrun::ddp
