// Where the coordinator of a job is, for one agent: here, or elsewhere and reached through a link; and when the agent's
// process may end. It decides; HostingDriver carries out.
//
//   look up ──► elect ──► host ──────────────► link to here ──► stays until its coordinator is done
//      ▲          ├─ another machine ──► link ─┐
//      │          ├─ the port is taken ► link ─┼─ again and again until a coordinator is reached
//      └──────────┴────────────────────────────┘
//
// No election is final before a coordinator was reached: names change, interfaces come up, and who has the port may be
// an agent of an earlier job that is just ending. Once one was reached its loss is another matter: it may come back,
// with what it knows, and nobody takes its place. Who hosts leaves that again only before the first round has begun,
// when the name means another machine twice in a row.
//
// With a seat (etcd) there is no election here: the seat says who hosts, more than once in a job's life. Every agent
// may be told to, and one that has lost the seat closes its coordinator at once and is an agent like the others.
//
// `ferrun coordinator` runs it too, without a link: what it cannot host, it ends for.
//
// Pure; same inputs, same outputs. Owned by its driver, on whose thread it is called.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/backoff.h"
#include "common/endpoint.h"
#include "common/time.h"
#include "launcher/node/hosting_events.h"

namespace ferrun {

struct HostingConfig {
  Endpoint endpoint;
  std::string job_id;
  std::optional<bool> is_host;  // the user's word
  bool own_process = false;     // `ferrun coordinator`
  // Who hosts is not found by a name: the job's seat says it, for as long as the job lasts.
  bool by_seat = false;
  std::optional<int> node_rank;
  uint16_t store_port = 0;  // --master-port
  Duration join_timeout{};
  Duration close_timeout{};
};

class HostingMachine {
 public:
  // Asks at once for what the first election needs.
  HostingMachine(HostingConfig config, TimePoint now);

  // Total: every event is answered in every state. After HostingDone every event is ignored and no effect follows.
  void step(const HostingEvent& event, TimePoint now);
  // When HostingDeadline is due: after step() never in the past; none once done.
  std::optional<TimePoint> next_deadline() const;
  std::vector<HostingEffect> take_effects();

  bool hosting() const { return hosting_; }
  bool done() const { return done_; }

 private:
  void on(const NameFound& event, TimePoint now);
  void on(const SeatTaken& event, TimePoint now);
  void on(const SeatElsewhere& event, TimePoint now);
  void on(const SeatGone& event, TimePoint now);
  void on(const HostingBegan& event, TimePoint now);
  void on(const HostingFailed& event, TimePoint now);
  void on(const DialWanted& event, TimePoint now);
  void on(const HangUpWanted& event, TimePoint now);
  void on(const LinkReached& event, TimePoint now);
  void on(const LinkHungUp& event, TimePoint now);
  void on(const LinkGone& event, TimePoint now);
  void on(const LinkRefused& event, TimePoint now);
  void on(const HostedJobEnded& event, TimePoint now);
  void on(const EndAsked& event, TimePoint now);
  void on(const NodeEnded& event, TimePoint now);
  void on(const HostingDeadline&, TimePoint) {}  // step() begins with what is due

  // While nothing is settled: no coordinator was reached, none is hosted, and this agent has not begun to leave.
  bool electing() const { return !hosting_ && !reached_ && !leaving_ && !done_; }
  // Whether the coordinator that is hosted here may still move elsewhere.
  bool reconsidering() const;
  void reconsider(const NameFound& found, TimePoint now);
  void begin_election(TimePoint now);
  void judge(const NameFound& found, TimePoint now);
  bool waits_for_rank_zero(TimePoint now);
  void is_elsewhere(const std::string& why, Duration pause, TimePoint now);
  void look_again(std::string line, Duration pause, TimePoint now);
  void make_link(std::vector<IpAddress> here, std::optional<Endpoint> at = std::nullopt);
  void begin_to_leave();
  void conclude(TimePoint now);
  void finish(HostingDone how);
  void say(LogLevel level, std::string line) { effects_.emplace_back(Say{level, std::move(line)}); }

  HostingConfig config_;
  Backoff unknown_;  // while the name has no address
  bool asking_ = false;
  std::optional<TimePoint> elect_at_;      // the next election
  std::optional<TimePoint> rank_zero_by_;  // for so long rank 0 may come and host
  std::string reason_;                     // why this agent hosts
  std::string told_;                       // why it does not, the last line
  bool attempting_ = false;                // HostCoordinator is not answered yet
  bool hosting_ = false;
  bool hosted_job_ended_ = false;
  bool stop_told_ = false;  // to the hosted coordinator
  bool round_begun_ = false;
  bool was_elsewhere_ = false;  // at the last look, while hosting
  bool linked_ = false;         // there is a link
  bool link_is_old_ = false;    // and it leads to a coordinator that is no longer here
  bool dial_wanted_ = false;
  bool reached_ = false;  // a coordinator, once
  bool connected_ = false;
  int64_t found_lease_ = 0;    // of whoever had the seat when it was looked at last,
  int64_t reached_lease_ = 0;  // and of whoever the link has reached; 0: nobody yet
  bool leaving_ = false;
  bool hung_up_ = false;
  bool node_ended_ = false;
  std::optional<TimePoint> leave_by_;
  bool done_ = false;
  std::vector<HostingEffect> effects_;
};

}  // namespace ferrun
