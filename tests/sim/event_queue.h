// What is still to happen in the simulated world, in the order of time; what is due at the same moment happens in the
// order in which it was planned, deadlines last: a process that wakes reads its sockets before it judges by the clock.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "tests/sim/clock.h"

namespace ferrun::sim {

enum class Happening : uint8_t {
  kParcel,               // who: connection; tag: Side, landed flag
  kReset,                // who: connection; tag: Side
  kTcpGivesUp,           // who: connection; tag: Side of the sender
  kMemberDeadline,       // who: agent; tag: generation
  kCoordinatorDeadline,  // who: coordinator; tag: generation
  kHostingDeadline,      // who: agent; tag: generation
  kNameFound,            // who: agent
  kDialAgain,            // who: agent; tag: generation of the dialling
  kDialTimeout,          // who: agent; tag: connection
  kProcessEnds,          // who: agent; tag: which and how (Processes)
  kWorkerNoticed,        // who: agent; tag: the same
  kLeaseOver,            // who: agent; tag: generation of the lease
  kAttemptReady,         // who: agent; tag: attempt
  kSwept,                // who: agent; tag: attempt
  kEvidence,             // who: agent; tag: number of the question
  kStoreOpened,          // who: agent; tag: number of the request
  kStoreDialled,         // who: agent; tag: number of the request
  kStateSaved,           // who: coordinator; tag: ticket
  kEtcdRequest,          // who: agent; tag: number of the request
  kEtcdAnswer,           // who: agent; tag: of EtcdCluster
  kSeatDeadline,         // who: agent; tag: generation
  kSeatSave,             // who: agent; tag: ticket
  kSeatEnd,              // who: agent; tag: whether the job is over
  kSignal,               // who: agent; tag: signal
  kCoordinatorSignal,    // who: coordinator; tag: signal
  kFault,                // who: index of the fault
  kMilestone,            // of the run itself; tag says which
};

struct Event {
  TrueTime at{};
  uint64_t order = 0;
  uint64_t tag = 0;
  uint32_t who = 0;
  Happening what{};
};

class EventQueue {
 public:
  void push(TrueTime at, Happening what, uint32_t who, uint64_t tag = 0) { put({at, next_order(), tag, who, what}); }
  void push_last(TrueTime at, Happening what, uint32_t who, uint64_t tag) {
    put({at, next_order() | kLast, tag, who, what});
  }
  // The same event later, still before those that were planned after it.
  void put_off(Event event, TrueTime until) {
    event.at = until;
    put(event);
  }
  bool empty() const { return heap_.empty(); }
  TrueTime next_time() const { return heap_.front().at; }
  Event pop() {
    std::pop_heap(heap_.begin(), heap_.end(), later);
    const Event event = heap_.back();
    heap_.pop_back();
    return event;
  }

 private:
  static constexpr uint64_t kLast = uint64_t{1} << 63;
  static bool later(const Event& a, const Event& b) { return a.at != b.at ? a.at > b.at : a.order > b.order; }
  uint64_t next_order() { return ++order_; }
  void put(const Event& event) {
    heap_.push_back(event);
    std::push_heap(heap_.begin(), heap_.end(), later);
  }

  std::vector<Event> heap_;
  uint64_t order_ = 0;
};

}  // namespace ferrun::sim
