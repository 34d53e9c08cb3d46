// One node's part in the rendezvous: it keeps the session with the coordinator and the lease on its workers, and does
// what rounds ask of it.
//
//   kSeeking ──Welcome──► kWaiting ──Prepare──► kPreparing ──Go──► kRunning ──► kStopping ──► kWaiting …
//       ▲                                                              │
//       └──────── connection or lease lost: workers stopped ───────────┴──► kFinished (all ended with 0; stays)
//   any ──► kLeaving ──► kDone
//
// Pure: same events at the same times, same effects. Owned by the node machine (launcher/node/node_machine.h), in the
// simulator by a simulated node.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/time.h"
#include "rendezvous/member/member_config.h"
#include "rendezvous/member/member_events.h"

namespace ferrun {

class MemberMachine {
 public:
  enum class Phase { kSeeking, kWaiting, kPreparing, kRunning, kStopping, kFinished, kLeaving, kDone };

  // Asks at once to dial.
  MemberMachine(MemberConfig config, TimePoint now);
  ~MemberMachine();
  MemberMachine(MemberMachine&&) noexcept;
  MemberMachine& operator=(MemberMachine&&) noexcept;

  // Total: every event is answered in every phase. `now` never decreases.
  void step(const MemberEvent& event, TimePoint now);
  // After step() it never lies in the past; none once done.
  std::optional<TimePoint> next_deadline() const;
  std::vector<MemberEffect> take_effects();

  Phase phase() const;
  RoundId round() const;       // the newest one accepted
  std::string reason() const;  // what it waits for, or why it is in this state: one sentence
  // Until when workers may run; none while there are none.
  std::optional<TimePoint> lease_end() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ferrun
