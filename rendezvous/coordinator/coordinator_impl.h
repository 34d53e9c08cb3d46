// The coordinator machine's state and its parts: who joins (coordinator_join.cc), rounds up to their start
// (coordinator_rounds.cc), what ends them (coordinator_stop.cc), lost and leaving nodes (coordinator_loss.cc), the end
// of the job (coordinator_close.cc), what it says about itself (coordinator_words.cc), and what ties them together
// (coordinator_machine.cc).
#pragma once

#include <deque>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "rendezvous/coordinator/coordinator_machine.h"
#include "rendezvous/coordinator/flap_policy.h"
#include "rendezvous/coordinator/job_root_cause.h"
#include "rendezvous/coordinator/membership.h"
#include "rendezvous/coordinator/rank_assignment.h"
#include "rendezvous/coordinator/round_decision.h"
#include "rendezvous/coordinator/saved_state_policy.h"
#include "rendezvous/job/job_status.h"
#include "rendezvous/job/job_terms.h"

namespace ferrun {

struct CoordinatorMachine::Impl {
  // The place of one node in the round, by group rank.
  struct Seat {
    Member* member = nullptr;  // none: lost, has left, or is not back yet since another coordinator took over
    std::string host;
    int workers = 1;
    int first_rank = 0;
    bool prepared = false;
    bool reached = false;  // the store
    bool finished = false;
    bool awaited = false;  // is to acknowledge the stop
    bool reaped = false;   // its workers have ended since the stop began
  };

  // The newest round, from its preparation until all its workers are gone; afterwards as a memory of it.
  struct Round {
    RoundId id;
    std::vector<Seat> seats;
    std::string reason;
    TimePoint began;       // its preparation, then its Go
    bool adopted = false;  // another coordinator started it
    bool any_success = false;
    size_t prepared = 0;
    size_t reached = 0;
    size_t finished = 0;
    // The preparation.
    std::optional<DialStore> store;  // once rank 0's node serves it
    uint64_t save_ticket = 0;        // of the state that is being saved; 0 once it is
    std::optional<TimePoint> save_again;
    TimePoint prepare_end;
    bool complete() const {
      return prepared == seats.size() && reached == seats.size() && save_ticket == 0 && !save_again;
    }
  };

  // Why the round is being stopped, while it is.
  struct Stopping {
    StopKind kind = StopKind::kMembership;
    std::string reason;
    TimePoint began;
    size_t unacknowledged = 0;
    // Something failed or was lost, and it is not decided yet what came first.
    bool cause_wanted = false;
    bool explained = false;  // by more than lost connections
    std::vector<FailureSighting> sightings;
    std::multimap<int, size_t> by_node;  // the sightings of a group rank
  };

  // A coordinator took over while nodes may be running on their own.
  struct Recovery {
    RoundId round;
    TimePoint until;
    size_t nodes = 0;              // of that round; 0 where it is unknown
    std::map<AgentId, int> saved;  // their group ranks, where they were saved
    std::set<int> absent;          // group ranks that are not back
  };

  struct Closing {
    JobEnd end;
    TimePoint until;
    uint64_t save_ticket = 0;
    bool told = false;
    size_t awaited = 0;          // members that are to acknowledge
    std::set<AgentId> expected;  // members from before a restart of the coordinator that have not come yet
  };

  // Somebody who is not there any more: for the sentence about who is missing.
  struct Departure {
    std::string host;
    std::string what;  // "was lost (...)", "is barred"
    std::optional<TimePoint> until;
  };

  Impl(CoordinatorConfig config, std::optional<CoordinatorState> saved, TimePoint now);

  // --- coordinator_machine.cc ---
  void step(const CoordinatorEvent& event, TimePoint now);
  std::optional<TimePoint> next_deadline() const;
  // Those that decide something, whatever the time is now.
  std::optional<TimePoint> earliest_deadline() const;
  // This process stood still: what arrived meanwhile is read before anybody is judged.
  void notice_stall(TimePoint now);
  bool is_over(TimePoint deadline) const { return judged_ >= deadline; }
  bool exact_ranks() const { return config_.min_nodes == config_.max_nodes; }
  void take_over(const CoordinatorState& saved);
  // The saved launch goes on: its id and its restarts count.
  void take_up_saved_launch();
  void on(const PeerArrived& event);
  void on(const PeerSaid& event);
  void on(const StateSaved& event);
  void on(const CoordinatorStopped& event);
  void on(const CoordinatorDeadline& event);
  // Moves on as far as what is known allows.
  void advance();
  void gather();
  // No two coordinators may give the same number to different rounds: an incarnation is saved before it is used.
  bool claim_incarnation();
  void retire();
  Gathering gathering() const;
  void hear(Member& member, const Heartbeat& heartbeat);
  void hear(Member&, const Join&) {}
  void hear(Member&, const StatusRequest&) {}
  void tell(const Member& member, CoordinatorMessage message);
  // Everybody of the round who has a connection.
  void tell_round(CoordinatorMessage message);
  void disconnect(PeerSession& session);
  SaveState save(std::optional<JobEnd> closed);

  // --- coordinator_join.cc ---
  void join(PeerSession& session, const Join& request);
  std::optional<Refused> objection(const PeerSession& session, const Join& request);
  std::optional<Refused> objection_to_place(const Member& member);
  void refuse(PeerSession& session, const Refused& refusal);
  // Whether a silent member that is heard again may go on; otherwise it is refused.
  bool may_return(PeerSession& session);
  void fill_in(Member& member, const PeerSession& session, const Join& request) const;
  Member& enrol(PeerSession& session, const Join& request);
  bool resumes(const Member& member, const MemberPast& past) const;
  void settle_old_place(Member& member, bool recovered);
  // What a member remembers of a newer round than this coordinator knows.
  void recognize(AgentId agent, const MemberPast& past);
  void learn(const MemberPast& past);
  void learn_of_another(const MemberPast& past);
  void learn_launch_id(const std::string& launch_id);
  void recover_saved(const std::vector<CoordinatorState::Member>& members);
  void recover_reported(const MemberPast& past);
  void begin_recovery(const RoundId& id, size_t nodes);
  bool take_old_seat(Member& member, const MemberPast& past);
  void end_recovery_if_over();

  // --- coordinator_rounds.cc ---
  void begin_round(const std::string& why);
  std::vector<Member*> choose() const;
  void seat(const std::vector<Member*>& chosen);
  std::vector<std::string> admitted() const;
  // The member's seat, if the round is in this phase and the message belongs to it: others are dropped here.
  Seat* seat_of(const Member& member, const RoundId& round, Phase phase);
  void hear(Member& member, const Prepared& prepared);
  void hear(Member& member, const NotPrepared& refusal);
  void hear(Member& member, const StoreReached& reached);
  void note_round_trip(Member& member) const;
  void advance_preparation();
  void go();
  // Burns the round's number. Nodes at fault are kept out when it happens again and again.
  void fail_preparation(const std::string& reason, const std::vector<Member*>& at_fault);
  void preparation_timed_out();
  void keep_out(Member& member, const std::string& reason);
  void vacate(Member& member);
  void vacate_all();

  // --- coordinator_stop.cc ---
  void hear(Member& member, const WorkerSucceeded& news);
  void hear(Member& member, const NodeFinished& news);
  void hear(Member& member, const NodeFailed& news);
  void hear(Member& member, const StopAcknowledged& news);
  void hear(Member& member, const NodeReaped& news);
  void note_finished(Seat& seat);
  void fail_round(Member& member, const Seat& seat, const std::vector<LocalFailure>& failures);
  void watch_round();
  bool wants_to_scale() const;
  void begin_stop(StopKind kind, const std::string& reason, bool cause_wanted);
  void acknowledge(Seat& seat);
  void see_failures(const Seat& seat, const Member& member, const std::vector<LocalFailure>& failures);
  void see_loss(const Seat& seat, int group_rank, TimePoint last_sign, const std::string& why);
  void see(FailureSighting sighting);
  void advance_stop();
  TimePoint cause_deadline() const;
  void decide_cause();

  // --- coordinator_loss.cc ---
  void on(const PeerLost& event);
  void lose_connection(PeerSession& session, LossKind kind, const std::string& why);
  void fall_silent(PeerSession& session);
  void hear(Member& member, const Goodbye& goodbye);
  // Cannot be heard any more. The caller has settled its link, and erases it when nothing of it is left.
  void lose(Member& member, const std::string& why);
  void lose_seat(Member& member, const std::string& why);
  void lose_workers(Member& member, const std::string& why);
  void note_flap(const Member& member);
  void erase_if_done(Member& member);
  void forget(Member& member);
  void note_departure(const std::string& host, std::string what, std::optional<TimePoint> until = std::nullopt);

  // --- coordinator_close.cc ---
  void close(JobEnd end);
  void tell_close();
  void join_too_late(PeerSession& session, const Join& request);
  void hear(Member& member, const Closed&);
  void await_end(Member& member);
  void end_settled(Member& member);
  void advance_close();
  void finish(JobEnd end);

  // --- coordinator_words.cc ---
  std::string terms_origin() const;
  std::string reason() const;
  std::string gathering_words() const;
  std::string claim_words() const;
  std::string preparation_step() const;
  std::string failed_start_words() const;
  std::string running_words() const;
  std::string stopping_words() const;
  std::string recovery_words() const;
  std::string absent_words() const;
  std::string closing_words() const;
  std::string spare_words() const;
  static std::string end_words(const JobEnd& end);
  // Tells those who wait for what, when it has changed and not too often.
  void explain();
  std::optional<TimePoint> explain_deadline() const;
  NodeState state_of(const Member& member) const;
  std::string status_json(TimePoint now) const;
  void say(RendezvousLevel level, std::string line) { effects_.emplace_back(RendezvousSay{level, std::move(line)}); }

  CoordinatorConfig config_;
  Duration fence_;  // from a member's last sign of life until none of its workers can be left
  TimePoint now_;
  TimePoint judged_;      // deadlines before it are over; now_, except after a stall
  TimePoint stall_over_;  // until then judged_ stands still
  TimePoint started_;
  Phase phase_ = Phase::kGathering;
  std::vector<CoordinatorEffect> effects_;
  uint64_t ticket_ = 0;

  Membership members_;
  JobTerms terms_;
  FlapPolicy flaps_;
  std::map<int, AgentId> claims_;  // --node-rank of a fixed size
  std::deque<Departure> departures_;
  std::string last_refusal_;

  uint64_t incarnation_ = 1;
  uint64_t claimed_ = 0;                      // the one that is saved
  uint64_t claiming_ = 0;                     // the one that is being saved
  uint64_t claim_ticket_ = 0;                 // of that
  TimePoint claim_again_ = TimePoint::min();  // after a failure
  std::string claim_error_;
  std::vector<CoordinatorState::Member> saved_members_;  // of the newest round, as the coordinator before left them
  std::optional<CoordinatorState> unproven_;             // saved, and nobody has shown yet that this launch lives
  RoundId newest_;
  bool own_round_ = false;  // this coordinator has prepared one
  int restarts_ = 0;
  std::string launch_id_;
  bool launch_id_known_ = false;  // from before this coordinator

  std::optional<Round> round_;
  std::optional<Stopping> stopping_;
  std::optional<Recovery> recovery_;
  std::optional<Closing> closing_;
  std::optional<JobEnd> retiring_;  // told to stop
  RoundDecision decision_;          // while gathering
  std::string last_change_;         // why the last round ended: the reason of the next one
  TimePoint last_change_at_;
  std::string last_failure_;  // why the last round could not start; empty once one has
  std::optional<TimePoint> last_call_end_;
  TimePoint settle_end_ = TimePoint::min();
  std::string settle_;
  int goodbye_signal_ = 0;             // of the last one; 0 once somebody has joined since
  std::optional<TimePoint> scale_at_;  // joins may disturb the round from then on

  std::string told_;  // the newest sentence about waiting
  uint64_t told_number_ = 0;
  bool news_ = false;        // since the sentence was made
  bool tells_time_ = false;  // it is told again when the time has changed
  TimePoint explain_at_;     // not before
  TimePoint recount_at_;
};

}  // namespace ferrun
