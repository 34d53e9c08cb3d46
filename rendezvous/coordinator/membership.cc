#include "rendezvous/coordinator/membership.h"

#include <algorithm>

#include "rendezvous/job/wording.h"

namespace ferrun {

using Link = Member::Link;

// --- Connections. ---

PeerSession& Membership::open(const PeerArrived& peer, TimePoint now) {
  auto session = std::make_unique<PeerSession>();
  session->connection = peer.connection;
  session->agent = peer.agent;
  session->observed_address = peer.observed_address;
  session->last_arrival = now;
  PeerSession& opened = *(sessions_[peer.connection] = std::move(session));
  watch(opened);
  return opened;
}

PeerSession* Membership::session(ConnectionId connection) {
  const auto found = sessions_.find(connection);
  return found == sessions_.end() ? nullptr : found->second.get();
}

void Membership::heard(PeerSession& session, TimePoint now) {
  session.last_arrival = now;
  if (session.listed) {
    arrivals_.splice(arrivals_.end(), arrivals_, session.place);
  } else {
    watch(session);
  }
  Member* member = session.member;
  if (member == nullptr) return;
  member->last_arrival = now;
  if (member->link == Link::kOpen) return;
  member->link = Link::kOpen;
  refile(*member);
}

void Membership::close(PeerSession& session, TimePoint now) {
  unwatch(session);
  if (Member* member = session.member) {
    member->session = nullptr;
    member->link = member->link == Link::kOpen ? Link::kBroken : Link::kCut;
    if (member->link == Link::kBroken) put(graces_, member->grace_, *member, now + limits_.reset_grace);
    refile(*member);
  }
  sessions_.erase(session.connection);
}

void Membership::watch(PeerSession& session) {
  session.place = arrivals_.insert(arrivals_.end(), &session);
  session.listed = true;
}

void Membership::unwatch(PeerSession& session) {
  if (session.listed) arrivals_.erase(session.place);
  session.listed = false;
}

// --- Members. ---

Member* Membership::find(AgentId agent) {
  const auto found = members_.find(agent);
  return found == members_.end() ? nullptr : found->second.get();
}

Member& Membership::add(AgentId agent) {
  auto member = std::make_unique<Member>();
  member->agent = agent;
  member->joined = ++joined_;
  member->link = Link::kCut;  // until it is attached
  return *(members_[agent] = std::move(member));
}

void Membership::attach(Member& member, PeerSession& session) {
  session.member = &member;
  member.session = &session;
  member.last_arrival = session.last_arrival;
  member.link = Link::kOpen;
  member.leaving = false;
  refile(member);
}

void Membership::hold(Member& member, const RoundId& round) {
  member.held = round;
  refile(member);
}

void Membership::release(Member& member) {
  member.held.reset();
  refile(member);
}

void Membership::say_goodbye(Member& member) {
  member.leaving = true;
  refile(member);
}

void Membership::give_up(Member& member) {
  member.link = member.session != nullptr ? Link::kSilent : Link::kCut;
  refile(member);
}

void Membership::set_veteran(Member& member, bool veteran) {
  if (std::exchange(member.veteran, veteran) != veteran) refile(member);
}

void Membership::erase(Member& member) {
  if (member.session != nullptr) member.session->member = nullptr;
  member.link = Link::kCut;
  member.held.reset();
  refile(member);
  members_.erase(member.agent);
}

std::vector<Member*> Membership::all() const {
  std::vector<Member*> all;
  all.reserve(members_.size());
  for (const auto& [agent, member] : members_) all.push_back(member.get());
  std::ranges::sort(all, {}, &Member::joined);
  return all;
}

std::vector<ConnectionId> Membership::connections() const {
  std::vector<ConnectionId> connections;
  connections.reserve(sessions_.size());
  for (const auto& [connection, session] : sessions_) connections.push_back(connection);
  std::ranges::sort(connections);
  return connections;
}

void Membership::refile(Member& member) {
  const bool open = member.link == Link::kOpen;
  if (open) member.fence_over = false;
  put(ready_, member, member.ready());
  put(stopping_, member, open && member.held);
  put(returning_, member, member.link == Link::kBroken && member.veteran && !member.leaving);
  const bool veteran = member.ready() && member.veteran;
  if (veteran != member.counted_veteran_) ready_veterans_ += veteran ? 1 : size_t(-1);
  member.counted_veteran_ = veteran;
  if (member.link != Link::kBroken) put(graces_, member.grace_, member, std::nullopt);
  const bool fenced = !open && member.held && !member.fence_over;
  put(fences_, member.fence_, member, fenced ? std::optional(member.last_arrival + limits_.fence) : std::nullopt);
}

void Membership::put(Ordered& set, Member& member, bool in) {
  if (in) {
    set.emplace(member.joined, &member);
  } else {
    set.erase(member.joined);
  }
}

void Membership::put(Deadlines& set, std::optional<Member::Deadline>& filed, Member& member,
                     std::optional<TimePoint> due) {
  if (filed && due && filed->first == *due) return;
  if (filed) set.erase(*filed);
  filed.reset();
  if (!due) return;
  filed = Member::Deadline(*due, member.joined);
  set.emplace(*filed, &member);
}

// --- What the next round depends on. ---

namespace {

NodeGroup group_of(const auto& set) {
  NodeGroup group;
  group.count = set.size();
  for (const auto& [order, member] : set) {
    if (group.names.size() == kNamesListed) break;
    group.names.push_back(member->host);
  }
  return group;
}

}  // namespace

void Membership::describe(Gathering& nodes) const {
  nodes.ready = group_of(ready_);
  nodes.veterans = ready_veterans_;
  nodes.stopping = group_of(stopping_);
  nodes.returning = group_of(returning_);
  nodes.fenced = group_of(fences_);
  if (!fences_.empty()) nodes.fences_end = fences_.rbegin()->first.first;
}

// --- Time. ---

std::optional<TimePoint> Membership::next_deadline() const {
  std::optional<TimePoint> next;
  const auto add = [&next](TimePoint due) {
    if (!next || due < *next) next = due;
  };
  if (!arrivals_.empty()) add(arrivals_.front()->last_arrival + limits_.silence);
  if (!graces_.empty()) add(graces_.begin()->first.first);
  if (!fences_.empty()) add(fences_.begin()->first.first);
  return next;
}

std::vector<PeerSession*> Membership::take_silent(TimePoint now) {
  std::vector<PeerSession*> silent;
  while (!arrivals_.empty() && now >= arrivals_.front()->last_arrival + limits_.silence) {
    silent.push_back(arrivals_.front());
    unwatch(*silent.back());
  }
  return silent;
}

std::vector<Member*> Membership::graces_over(TimePoint now) {
  std::vector<Member*> over;
  for (const auto& [deadline, member] : graces_) {
    if (deadline.first > now) break;
    over.push_back(member);
  }
  return over;
}

std::vector<Member*> Membership::fences_over(TimePoint now) {
  std::vector<Member*> over;
  while (!fences_.empty() && fences_.begin()->first.first <= now) {
    Member* member = fences_.begin()->second;
    member->fence_over = true;
    refile(*member);
    over.push_back(member);
  }
  return over;
}

}  // namespace ferrun
