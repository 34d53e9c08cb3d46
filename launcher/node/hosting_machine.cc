#include "launcher/node/hosting_machine.h"

#include <algorithm>
#include <utility>

#include "common/exit_status.h"

namespace ferrun {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kFirstUnknownPause = milliseconds(100);
constexpr Duration kMostUnknownPause = seconds(5);
// Between two looks at a name that means another machine.
constexpr Duration kElsewherePause = seconds(5);
// Who has the port may be an agent of an earlier job that is just ending.
constexpr Duration kTakenPause = seconds(1);
// On the machine where agents meet rank 0's is started by the same hand as the others, a moment later.
constexpr Duration kRankZeroPatience = seconds(10);
// Beside close_timeout, for what the last messages need.
constexpr Duration kLeaveMargin = seconds(1);

}  // namespace

HostingMachine::HostingMachine(HostingConfig config, TimePoint now)
    : config_(std::move(config)), unknown_(kFirstUnknownPause, kMostUnknownPause) {
  begin_election(now);
}

void HostingMachine::step(const HostingEvent& event, TimePoint now) {
  if (done_) return;
  if (elect_at_ && *elect_at_ <= now) begin_election(now);
  std::visit([this, now](const auto& what) { on(what, now); }, event);
  conclude(now);
}

std::optional<TimePoint> HostingMachine::next_deadline() const {
  if (done_) return std::nullopt;
  if (!elect_at_ || !leave_by_) return elect_at_ ? elect_at_ : leave_by_;
  return std::min(*elect_at_, *leave_by_);
}

std::vector<HostingEffect> HostingMachine::take_effects() { return std::exchange(effects_, {}); }

// --- The election. ---

void HostingMachine::begin_election(TimePoint now) {
  elect_at_.reset();
  if (config_.by_seat) return;
  if ((!electing() && !reconsidering()) || asking_) return;
  if (config_.is_host) return judge({}, now);  // no address decides
  asking_ = true;
  effects_.emplace_back(LookUpName{});
}

void HostingMachine::on(const NameFound& event, TimePoint now) {
  asking_ = false;
  if (hosting_) return reconsider(event, now);
  if (!electing()) return;
  if (!event.addresses.empty()) return judge(event, now);
  elect_at_ = now + unknown_.next();
  if (config_.own_process) {
    return say(LogLevel::kWarning, config_.endpoint.host + ": " + event.error + "; trying again");
  }
  if (!linked_) make_link({});  // which tells what is tried
}

void HostingMachine::judge(const NameFound& found, TimePoint now) {
  if (attempting_) return;
  unknown_.reset();
  HostElection election = elect_host(config_.endpoint, found.addresses, found.own, config_.is_host);
  if (!election.hosts) return is_elsewhere(election.reason, kElsewherePause, now);
  if (waits_for_rank_zero(now)) {
    return look_again("the agent of node rank 0 is to coordinate the job: its workers' store has the same port",
                      kTakenPause, now);
  }
  reason_ = election.reason;
  attempting_ = true;
  effects_.emplace_back(HostCoordinator{std::move(election)});
}

bool HostingMachine::reconsidering() const {
  return hosting_ && !config_.by_seat && !round_begun_ && !leaving_ && !config_.own_process && !config_.is_host;
}

// The name may have meant this machine by mistake: then the others meet where it means now.
void HostingMachine::reconsider(const NameFound& found, TimePoint now) {
  round_begun_ |= found.round_begun;
  if (!reconsidering()) return;
  elect_at_ = now + kElsewherePause;
  const HostElection election = elect_host(config_.endpoint, found.addresses, found.own, std::nullopt);
  const bool elsewhere = !found.addresses.empty() && !election.hosts;
  if (!std::exchange(was_elsewhere_, elsewhere) || !elsewhere) return;
  hosting_ = was_elsewhere_ = false;
  effects_.emplace_back(CloseCoordinator{});
  link_is_old_ = std::exchange(reached_, false);
  linked_ = link_is_old_;
  is_elsewhere(election.reason, kElsewherePause, now);
}

// Where the store of rank 0 is to have the coordinator's port both have to be in one process: that is rank 0's.
bool HostingMachine::waits_for_rank_zero(TimePoint now) {
  const bool shares_port = config_.store_port == config_.endpoint.port;
  if (config_.is_host || config_.own_process || !shares_port || config_.node_rank.value_or(0) == 0) return false;
  if (!rank_zero_by_) rank_zero_by_ = now + std::min(kRankZeroPatience, config_.join_timeout / 3);
  return now < *rank_zero_by_;
}

void HostingMachine::is_elsewhere(const std::string& why, Duration pause, TimePoint now) {
  if (config_.own_process) return finish({Error{ErrorKind::kUser, "cannot coordinate the job here: " + why}, 0, {}});
  look_again("another one coordinates it: " + why, pause, now);
}

void HostingMachine::look_again(std::string line, Duration pause, TimePoint now) {
  elect_at_ = now + pause;
  if (line != told_) say(LogLevel::kInfo, line);
  told_ = std::move(line);
  if (!linked_) make_link({});
}

// --- The seat. ---

void HostingMachine::on(const SeatTaken&, TimePoint) {
  if (hosting_ || attempting_) return;
  if (leaving_) return void(effects_.emplace_back(LeaveSeat{}));
  reason_ = "it has the job's seat in etcd";
  attempting_ = true;
  effects_.emplace_back(HostCoordinator{{true, true, {}, reason_}});
}

void HostingMachine::on(const SeatElsewhere& event, TimePoint) {
  found_lease_ = event.lease;
  if (!hosting_ && !leaving_) make_link(event.addresses, event.endpoint);
}

// The link to it ends by itself, and a new one is made when it is known where to.
void HostingMachine::on(const SeatGone& event, TimePoint) {
  attempting_ = false;
  if (!std::exchange(hosting_, false)) return;
  linked_ = false;
  say(LogLevel::kWarning, "this agent coordinates the job no more: the seat in etcd is gone (" + event.why + ")");
  effects_.emplace_back(CloseCoordinator{});
}

void HostingMachine::on(const HostingBegan& event, TimePoint now) {
  if (!std::exchange(attempting_, false)) return;
  hosting_ = true;
  if (config_.own_process) return say(LogLevel::kInfo, "coordinating job " + config_.job_id + ": " + reason_);
  told_.clear();
  say(LogLevel::kInfo, "this agent coordinates the job: " + reason_);
  make_link(event.here);
  if (reconsidering()) elect_at_ = now + kElsewherePause;
}

void HostingMachine::on(const HostingFailed& event, TimePoint now) {
  if (!std::exchange(attempting_, false)) return;
  if (config_.by_seat && reached_) {
    say(LogLevel::kWarning, "this agent cannot coordinate the job: " + event.error.message);
    return void(effects_.emplace_back(LeaveSeat{}));
  }
  if (!electing()) return;
  if (config_.by_seat || event.why == HostingFailed::Why::kRefused) return finish({event.error, 0, {}});
  if (!config_.own_process) return is_elsewhere(event.error.message, kTakenPause, now);
  finish({Error{event.error.kind, "cannot coordinate the job here: " + event.error.message}, 0, {}});
}

// --- The link. ---

void HostingMachine::make_link(std::vector<IpAddress> here, std::optional<Endpoint> at) {
  linked_ = true;
  link_is_old_ = false;
  connected_ = false;
  reached_lease_ = 0;
  effects_.emplace_back(MakeLink{std::move(at), std::move(here)});
  if (dial_wanted_) effects_.emplace_back(DialLink{});
}

// Not before it is known whether this agent itself is to be dialled.
void HostingMachine::on(const DialWanted&, TimePoint) {
  dial_wanted_ = true;
  if (link_is_old_) return make_link({});
  if (linked_) effects_.emplace_back(DialLink{});
}

void HostingMachine::on(const HangUpWanted&, TimePoint) {
  dial_wanted_ = false;
  begin_to_leave();
  if (linked_) effects_.emplace_back(HangUpLink{});
}

void HostingMachine::on(const LinkReached& event, TimePoint) {
  reached_ = connected_ = true;
  reached_lease_ = found_lease_;
  if (!hosting_) elect_at_.reset();
  const bool fixed = !config_.by_seat && config_.store_port != 0 && config_.store_port == config_.endpoint.port;
  if (fixed && !hosting_ && event.same_machine) effects_.emplace_back(LeaveStorePort{});
}

void HostingMachine::on(const LinkHungUp&, TimePoint) { hung_up_ = true; }
void HostingMachine::on(const LinkGone&, TimePoint) { connected_ = false; }

// Where a coordinator was reached and nobody listens any more its process has ended: its lease need not run out.
void HostingMachine::on(const LinkRefused&, TimePoint) {
  if (!config_.by_seat || connected_ || reached_lease_ == 0 || reached_lease_ != found_lease_) return;
  effects_.emplace_back(HolderIsGone{found_lease_});
}

// --- The end. ---

void HostingMachine::begin_to_leave() {
  if (!std::exchange(leaving_, true) && config_.by_seat) effects_.emplace_back(WithdrawFromSeat{});
  elect_at_.reset();
}

void HostingMachine::on(const HostedJobEnded& event, TimePoint) {
  hosted_job_ended_ = true;
  if (config_.own_process) finish({std::nullopt, 0, event.end});
}

// A coordinator that this agent hosts leaves with it. One in a process of its own hears every signal: the second one
// ends it at once.
void HostingMachine::on(const EndAsked& event, TimePoint) {
  begin_to_leave();
  if (config_.own_process && !hosting_) return finish({std::nullopt, event.signal, {}});
  if (config_.own_process) say(LogLevel::kWarning, "got " + signal_name(event.signal) + ": ending the job");
  const bool told = std::exchange(stop_told_, true);
  if (hosting_ && !hosted_job_ended_ && (!told || config_.own_process)) {
    effects_.emplace_back(StopCoordinator{event.signal});
  }
}

void HostingMachine::on(const NodeEnded& event, TimePoint now) {
  if (event.abandoned) return finish({});
  if (std::exchange(node_ended_, true)) return;
  begin_to_leave();
  leave_by_ = now + config_.close_timeout + kLeaveMargin;
  if (hosting_ && !hosted_job_ended_ && !std::exchange(stop_told_, true)) effects_.emplace_back(StopCoordinator{0});
}

// A coordinator that is hosted here leaves last.
void HostingMachine::conclude(TimePoint now) {
  if (done_ || !node_ended_) return;
  const bool needed = (hosting_ && !hosted_job_ended_) || (linked_ && !hung_up_);
  if (!needed || now >= *leave_by_) finish({});
}

void HostingMachine::finish(HostingDone how) {
  done_ = true;
  effects_.emplace_back(std::move(how));
}

}  // namespace ferrun
