// The member machine's state and its parts: sessions with the coordinator (member_session.cc), rounds
// (member_rounds.cc), the end (member_leaving.cc), and what ties them together (member_machine.cc).
#pragma once

#include <deque>
#include <utility>

#include "rendezvous/job/job_status.h"
#include "rendezvous/job/stall_filter.h"
#include "rendezvous/member/member_lease.h"
#include "rendezvous/member/member_machine.h"
#include "rendezvous/member/member_work.h"

namespace ferrun {

struct MemberMachine::Impl {
  // A connection to the coordinator.
  struct Session {
    ConnectionId connection = 0;
    std::string where;
    TimePoint joined;
    bool welcomed = false;
  };

  // A round between Prepare and Go.
  struct Preparation {
    Prepare order;
    bool store_asked = false;  // only where order.open_store
    std::optional<StoreOpened> opened;
    bool told = false;  // Prepared
    std::optional<DialStore> dial;
    std::optional<StoreAddress> reached;
  };

  // This agent is on its way out.
  struct Leaving {
    JobEnd end;
    std::string reason;
    bool answer_close = false;
  };

  Impl(MemberConfig config, TimePoint now);

  // --- member_machine.cc ---
  void step(const MemberEvent& event, TimePoint now);
  std::optional<TimePoint> next_deadline() const;
  Phase phase() const;
  // Acts on everything that is due.
  void expire();
  void expire_lease();
  void expire_session();
  std::optional<TimePoint> session_end() const;
  void give_up_if_due();
  void explain_if_due();
  // What follows from the state after an event: the sentinel's lease, the end of leaving, the clock of explanations.
  void settle();
  std::optional<TimePoint> give_up_at() const;
  bool waits() const;
  void on(const MemberDeadline&) {}

  // --- member_session.cc ---
  void on(const CoordinatorReached& event);
  void on(const CoordinatorGone& event);
  void on(const CoordinatorSaid& event);
  void on(const DialNote& event);
  void on(const StatusAsked& event);
  void hear(const Welcome& welcome);
  void hear(const Refused& refused);
  void hear(const HeartbeatAnswer& answer);
  void hear(const Waiting& waiting);
  void hear(const StatusReply& reply);
  void dial();
  void join();
  // What a coordinator that did not hear it, or is a new one, has to know beyond the Join.
  void tell_work_again();
  // From now on, unless it waits already: for at most join_timeout.
  void wait_for_place();
  // Forgets the session; what hung on it is answered or undone.
  void end_session();
  bool welcomed() const { return session_ && session_->welcomed; }
  void tell(MemberMessage message) { effects_.emplace_back(TellCoordinator{std::move(message)}); }
  void tell_if_welcomed(MemberMessage message);
  void show_own_status(uint32_t id);
  NodeStatus own_node() const;

  // --- member_rounds.cc ---
  void on(const StoreOpened& event);
  void on(const StoreNotOpened& event);
  void on(const StoreAnswered& event);
  void on(const StoreUnreachable& event);
  void on(const OneWorkerSucceeded& event);
  void on(const AllWorkersSucceeded& event);
  void on(const WorkersFailed& event);
  void on(const WorkersGone& event);
  void hear(const Prepare& prepare);
  void hear(const DialStore& dial);
  void hear(const Go& go);
  void hear(const Stop& stop);
  // The next step of the preparation, when nothing stands in its way.
  void advance_preparation();
  void tell_unstarted(const RoundId& round);
  void refuse_preparation(const RoundId& round, const std::string& reason);
  void abandon_preparation();
  // Once no process is left: the workers' part in the round is over.
  void work_is_gone(Work state);
  // Asks unless they were asked as strictly already; a signal of the user's is always passed on.
  void stop_workers(StopKind kind, int signal, const std::string& reason);
  void kill_workers(const std::string& reason);
  void close_store();
  void hold_lease();
  void note_change(const std::string& reason);

  // --- member_leaving.cc ---
  void on(const LeaveAsked& event);
  void on(const CannotTakePart& event);
  void hear(const Close& close);
  void hang_up();
  void say_goodbye(int signal, const std::string& reason);
  void leave(JobEnd end, int signal, const std::string& reason);
  void finish();

  // --- member_words.cc ---
  std::string reason() const;
  std::string preparation_words() const;
  std::string seeking_words() const;
  void say(RendezvousLevel level, std::string line) { effects_.emplace_back(RendezvousSay{level, std::move(line)}); }

  MemberConfig config_;
  TimePoint now_;
  std::vector<MemberEffect> effects_;

  // The coordinator.
  std::optional<Session> session_;
  std::optional<TimePoint> retry_at_;      // when to dial again after a refusal
  std::string refusal_;                    // while retry_at_ is set
  std::string tried_;                      // by the dialler
  std::string coordinator_;                // where it was last; empty before the first Welcome
  std::optional<TimePoint> lost_since_;    // after a Welcome, until the next
  bool own_process_ = false;               // as the last Welcome said
  std::string launch_id_;                  // of the job
  StallFilter stall_;                      // the socket may hold an answer, or the end of the job
  std::optional<TimePoint> stop_at_;       // workers, unless the coordinator is reached again
  std::deque<uint32_t> status_questions_;  // passed on, without an answer
  MemberLease lease_;

  // Rounds.
  RoundId newest_;         // accepted
  Assignment assignment_;  // in the newest one
  std::optional<Preparation> preparation_;
  MemberWork work_;
  std::optional<RoundId> reaped_with_work_;  // said to be reaped once the older workers are gone too
  bool store_open_ = false;                  // asked for, and not closed since
  std::string change_;                       // why the newest round began or ended
  TimePoint changed_at_;
  std::string failed_start_;  // why the newest round could not start; empty once one has
  std::string waiting_sentence_;
  std::optional<TimePoint> held_;  // by the sentinel

  // Waiting.
  std::optional<TimePoint> unplaced_since_;  // without a place in a started round, and not as a spare of one
  std::optional<TimePoint> waits_since_;
  TimePoint explain_at_;

  // The end.
  std::optional<Leaving> leaving_;
  bool hung_up_ = false;  // after the last Dial
  bool asked_by_signal_ = false;
  bool done_ = false;
};

}  // namespace ferrun
