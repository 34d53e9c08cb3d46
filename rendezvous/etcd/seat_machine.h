// The seat of a job's coordinator in etcd, for one agent: who has it, whether this agent may take it, for how long it
// may count on having it, and what is written under its protection.
//
//   look ──nobody──► grant a lease ──► claim ──► held: renew, publish, save ──► end
//     ▲    └─ somebody ─► found                    │ not renewed in time, or another one's
//     └───────────────────────── lost ◄────────────┘
//
// The seat is a key with a lease, made only where it is not there. Every write compares the revision at which this
// agent made it: once the key is gone or another one's, nothing of this agent's is written. And this agent counts the
// lease from before it asked for it, by its own clock, and from then on acts no more: it never believes that it has the
// seat when another one may have it.
//
// One request at a time, each answered once, however long that takes. Pure; owned by its driver, on whose thread it is
// called.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/time.h"
#include "rendezvous/etcd/etcd_codec.h"
#include "rendezvous/etcd/seat_trouble.h"

namespace ferrun::etcd {

struct SeatConfig {
  std::string prefix;     // of the job's keys
  std::string agent;      // this agent, unlike any other
  std::string servers;    // for words: "etcd (10.0.0.1:2379)"
  bool candidate = true;  // whether this agent may take the seat
  int64_t seat_seconds = 2;
  int64_t state_seconds = 60;  // nobody needs what a coordinator left for longer after its last word
  Duration look_interval = std::chrono::milliseconds(300);
};

// Who coordinates the job, as the seat's key says it.
struct SeatHolder {
  std::string agent;
  std::string host;
  std::vector<std::string> addresses;  // numeric; none while the coordinator does not listen yet
  uint16_t port = 0;
  bool operator==(const SeatHolder&) const = default;
};
std::string encode(const SeatHolder& holder);
std::optional<SeatHolder> decode_holder(std::string_view text);

// --- Effects, to be carried out in their order. ---

// Answered by answered() with the same number.
struct Ask {
  uint64_t number = 0;
  Request request;
};
// This agent has the seat. `state`: what the coordinator before has left.
struct SeatWon {
  std::optional<std::string> state;
};
// From now on it may do nothing as the coordinator.
struct SeatLost {
  std::string why;
};
// Another agent has it, and can be reached.
struct SeatFound {
  SeatHolder holder;
  int64_t lease = 0;  // of this holder alone
};
struct Saved {
  uint64_t ticket = 0;
  std::string error;  // empty: etcd has it
};
// Follows end().
struct SeatEnded {};

using SeatEffect = std::variant<Ask, SeatWon, SeatLost, SeatFound, Saved, SeatEnded, Trouble>;

class SeatMachine {
 public:
  // Asks for the seat at once.
  SeatMachine(SeatConfig config, TimePoint now);

  void answered(uint64_t number, const Outcome& outcome, TimePoint now);
  void time_has_come(TimePoint now);

  // Of the coordinator here; one after the other. Fails at once without the seat.
  void save(uint64_t ticket, std::string text, TimePoint now);
  // The coordinator here can be reached.
  void publish(SeatHolder self, TimePoint now);
  // The seat, if this agent has it, is given up for good: with everything of the job, which is over, or for another
  // agent to go on with it. Answered by SeatEnded.
  void end(bool job_is_over, TimePoint now);
  // From now on this agent takes the seat no more; what it has it keeps.
  void withdraw() { withdrawn_ = true; }
  // The process of whoever was found with this lease has ended: it need not run out.
  void holder_is_gone(int64_t lease, TimePoint now);

  bool held() const { return held_; }
  // While held: until when this agent may act as the coordinator.
  TimePoint valid_until() const { return valid_until_; }
  std::optional<TimePoint> next_deadline() const;
  std::vector<SeatEffect> take_effects();

 private:
  enum class Step {
    kLook,
    kVacate,
    kGrant,
    kClaim,
    kRenew,
    kPublish,
    kGrantState,
    kRenewState,
    kSave,
    kRelease,
    kRevoke,
  };
  struct Pending {
    Step step;
    uint64_t number;
    TimePoint asked;
    bool counts = true;  // false: the seat was lost meanwhile
  };
  struct Save {
    uint64_t ticket;
    std::string text;
    int tries = 0;
  };

  std::string seat_key() const { return config_.prefix + "seat"; }
  std::string state_key() const { return config_.prefix + "state"; }
  Compare still_mine() const { return {Compare::What::kCreateRevision, seat_key(), revision_}; }

  void go_on(TimePoint now);
  std::optional<Step> next_step(TimePoint now) const;
  std::optional<Step> step_of_holder(TimePoint now) const;
  Request request_for(Step step) const;
  void take(Step step, TimePoint asked, const Reply& reply, TimePoint now);
  void fail(Step step, const Failure& failure, TimePoint now);
  void looked(const Reply& reply, TimePoint now);
  void note_holder(const Pair& seat, TimePoint now);
  void claimed(const Reply& reply, TimePoint now);
  void won(int64_t revision, const Reply& reply, TimePoint now);
  void renewed(const Reply& reply, TimePoint asked, TimePoint now);
  void saved(const Reply& reply, TimePoint now);
  void answer_save(std::string error);
  void lose(const std::string& why, TimePoint now);
  void finish_end();

  SeatConfig config_;
  SeatTrouble trouble_;
  uint64_t last_number_ = 0;
  std::optional<Pending> pending_;

  TimePoint look_at_;
  bool free_ = false;        // nobody had the seat when it was looked at last
  int64_t found_lease_ = 0;  // of whoever had it then
  int64_t told_lease_ = 0;   // of whoever SeatFound told of last
  int64_t gone_lease_ = 0;   // of a holder that has ended
  bool withdrawn_ = false;

  int64_t lease_ = 0;  // for the seat, granted here; 0: none
  TimePoint lease_asked_{};
  int64_t granted_seconds_ = 0;
  int64_t useless_lease_ = 0;  // to be revoked

  bool held_ = false;
  int64_t revision_ = 0;  // at which this agent made the seat's key
  TimePoint valid_until_{};
  TimePoint renew_at_{};
  TimePoint again_at_{};  // after a failure of another request than a renewal
  std::optional<SeatHolder> to_publish_;
  std::deque<Save> saves_;
  int64_t state_lease_ = 0;
  TimePoint renew_state_at_{};
  int64_t state_revision_ = 0;  // of the newest change of the state's key
  std::optional<bool> ending_;  // whether the job is over
  int end_tries_ = 0;

  std::vector<SeatEffect> effects_;
};

}  // namespace ferrun::etcd
