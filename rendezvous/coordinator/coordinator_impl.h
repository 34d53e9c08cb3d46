// The coordinator machine's core: takes events, asks the parts, and carries out what they decide. Each part owns its
// state and can be tested alone:
//
//   job_record, incarnation_claim     numbers of rounds, restarts, launch; saved before they are used
//   takeover                          an earlier coordinator's round may be running
//   place_policy, job_terms           who is kept out
//   round_roster                      the nodes of the newest round; of the phases ──
//     round_gathering, round_decision   gathering
//     round_preparation                 preparing
//     running_round                     running
//     stop_inquiry, job_root_cause      stopping, and finding the cause
//     job_closing                       closing
//   departures, announcer             who is missing; who is told what it waits for
//   stall_filter                      whether time may be judged by
//
// The core's files: who joins (coordinator_join.cc), from a round's choice to its start (coordinator_rounds.cc), its
// end (coordinator_stop.cc), lost and leaving nodes (coordinator_loss.cc), the end of the job (coordinator_close.cc),
// what it says about itself (coordinator_words.cc), and what ties them together (coordinator_machine.cc).
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "rendezvous/coordinator/announcer.h"
#include "rendezvous/coordinator/coordinator_machine.h"
#include "rendezvous/coordinator/coordinator_outbox.h"
#include "rendezvous/coordinator/departures.h"
#include "rendezvous/coordinator/incarnation_claim.h"
#include "rendezvous/coordinator/job_closing.h"
#include "rendezvous/coordinator/job_record.h"
#include "rendezvous/coordinator/membership.h"
#include "rendezvous/coordinator/place_policy.h"
#include "rendezvous/coordinator/round_gathering.h"
#include "rendezvous/coordinator/round_preparation.h"
#include "rendezvous/coordinator/round_roster.h"
#include "rendezvous/coordinator/running_round.h"
#include "rendezvous/coordinator/stop_inquiry.h"
#include "rendezvous/coordinator/takeover.h"
#include "rendezvous/job/job_status.h"
#include "rendezvous/job/job_terms.h"
#include "rendezvous/job/stall_filter.h"

namespace ferrun {

struct CoordinatorMachine::Impl {
  Impl(CoordinatorConfig config, std::optional<CoordinatorState> saved, TimePoint now);

  // --- coordinator_machine.cc ---
  void step(const CoordinatorEvent& event, TimePoint now);
  std::optional<TimePoint> next_deadline() const;
  // Those that decide something, whatever the time is now.
  std::optional<TimePoint> earliest_deadline() const;
  bool exact_ranks() const { return config_.min_nodes == config_.max_nodes; }
  void take_over(const CoordinatorState& saved);
  void on(const PeerArrived& event);
  void on(const PeerSaid& event);
  void on(const StateSaved& event);
  void on(const RemainsFound& event);
  void on(const CoordinatorStopped& event);
  void on(const CoordinatorDeadline& event);
  // Moves on as far as what is known allows.
  void advance();
  void gather();
  bool claim_incarnation();
  void retire();
  // All that the next round depends on, but for its limits.
  Gathering nodes() const;
  void hear(Member& member, const Heartbeat& heartbeat);
  void hear(Member&, const Join&) {}
  void hear(Member&, const StatusRequest&) {}
  // Everybody of the round who has a connection.
  void tell_round(CoordinatorMessage message);
  // The same, with what they answer: the round trip is measured from now on. Not while an
  // answer to an earlier question may come that would be taken for this one's.
  void ask_round(CoordinatorMessage message);
  void disconnect(PeerSession& session);
  CoordinatorState state(std::optional<JobEnd> closed) const;
  // With what this coordinator knows of nodes that are gone, for the one that goes on with the job.
  CoordinatorState state_for_successor();
  void note_change(const std::string& reason);

  // --- coordinator_join.cc ---
  void join(PeerSession& session, const Join& request);
  std::optional<Refused> objection(const PeerSession& session, const Join& request);
  void refuse(PeerSession& session, const Refused& refusal);
  // Whether a silent member that is heard again may go on; otherwise it is refused.
  bool may_return(PeerSession& session);
  void fill_in(Member& member, const PeerSession& session, const Join& request) const;
  Member& enrol(PeerSession& session, const Join& request);
  bool resumes(const Member& member, const MemberPast& past) const;
  void settle_old_place(Member& member, bool recovered);
  // What a member remembers that this coordinator does not know.
  void recognize(AgentId agent, const MemberPast& past);
  void learn(const MemberPast& past);
  // Members that were told another launch's id learn the right one when they come back.
  void disconnect_all();
  void learn_of_another(const MemberPast& past);
  void recover_saved();
  // None: when its lease is over.
  std::optional<TimePoint> gone_at(Remains remains) const;
  void recover_reported(const MemberPast& past);
  void begin_recovery(const RoundId& id, size_t nodes);
  bool take_old_seat(Member& member, const MemberPast& past);
  void end_recovery_if_over();
  // Of all that an earlier coordinator may have left.
  TimePoint leases_end() const { return started_ + fence_; }

  // --- coordinator_rounds.cc ---
  void begin_round(const std::string& why);
  std::vector<Member*> choose() const;
  void seat(const std::vector<Member*>& chosen);
  // Whether the round is in this phase, and the message belongs to it and to a seat: others are dropped here.
  bool concerns(const Member& member, const RoundId& round, Phase phase) const;
  void hear(Member& member, const Prepared& prepared);
  void hear(Member& member, const NotPrepared& refusal);
  void hear(Member& member, const StoreReached& reached);
  void note_round_trip(Member& member) const;
  void advance_preparation();
  void save_round();
  void go();
  // Burns the round's number. Nodes at fault are kept out when it happens again and again.
  void fail_preparation(const std::string& reason, const std::vector<Member*>& at_fault);
  void preparation_timed_out();
  void keep_out(Member& member, const std::string& reason);

  // --- coordinator_stop.cc ---
  void hear(Member& member, const WorkerSucceeded& news);
  void hear(Member& member, const NodeFinished& news);
  void hear(Member& member, const NodeFailed& news);
  void hear(Member& member, const StopAcknowledged& news);
  void hear(Member& member, const NodeReaped& news);
  void fail_round(Member& member, const std::vector<LocalFailure>& failures);
  void see_failures(const Member& member, const std::vector<LocalFailure>& failures);
  void hasten_stop();
  void watch_round();
  // Members of the round hold it, unless they have finished: then nobody joins any more. So whoever is ready is new.
  size_t joined() const { return takeover_ || retiring_ ? 0 : members_.ready(); }
  void begin_stop(StopKind kind, const std::string& reason, bool cause_wanted);
  void advance_stop();
  void decide_cause();
  void restart(const StopInquiry::Verdict& verdict);

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
  void note_departure(const std::string& host, std::string what, std::optional<TimePoint> until = std::nullopt);
  void vacate(Member& member);
  void erase_if_done(Member& member);
  void forget(Member& member);

  // --- coordinator_close.cc ---
  void close(JobEnd end);
  void tell_close();
  void join_too_late(PeerSession& session, const Join& request);
  void hear(Member& member, const Closed&);
  void advance_close();
  void finish(JobEnd end);

  // --- coordinator_words.cc ---
  std::string terms_origin() const;
  std::string reason() const;
  std::string gathering_words() const;
  std::string running_words() const;
  std::string spare_words() const;
  // Tells those who wait for what, when it is time.
  void explain();
  NodeState state_of(const Member& member) const;
  JobStatus status(TimePoint now) const;
  void say(RendezvousLevel level, std::string line) { outbox_.say(level, std::move(line)); }

  CoordinatorConfig config_;
  Duration fence_;  // from a member's last sign of life until none of its workers can be left
  TimePoint now_;
  StallFilter stall_;
  TimePoint started_;
  Phase phase_ = Phase::kGathering;
  CoordinatorOutbox outbox_;

  Membership members_;
  JobTerms terms_;
  JobRecord record_;
  IncarnationClaim claim_;
  PlacePolicy places_;
  Departures departures_;
  Announcer announcer_;
  std::string last_refusal_;

  RoundGathering gathering_;
  std::optional<RoundRoster> round_;             // none after a preparation that failed
  std::optional<RoundPreparation> preparation_;  // while kPreparing
  RunningRound running_;
  RestartDelays delays_;
  std::optional<StopInquiry> stopping_;  // while kStopping
  std::optional<Takeover> takeover_;
  std::optional<JobClosing> closing_;  // from kClosing on, if the job has ended
  std::optional<JobEnd> retiring_;     // told to stop
  uint64_t last_save_ = 0;             // of a state for the successor; then it goes
  std::string last_change_;            // why the last round ended: the reason of the next one
  TimePoint last_change_at_;
};

}  // namespace ferrun
