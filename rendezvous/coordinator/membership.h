// The coordinator's table of connections and members: who is there, who has gone silent, and whose workers may still
// run.
//
//   link:  kOpen ──nothing heard for `silence`──► kSilent ──heard again──► kOpen
//            │ the connection broke                 │ the connection broke
//            ▼                                      ▼
//          kBroken ──not resumed in `reset_grace`─► kCut          (a Join of the same agent leads back to kOpen)
//
// A member *holds* a round from the moment at which its workers may have been started until it is known that no process
// of them is left. While a holder cannot be heard its fence is what ends this: its last sign of life, plus the lease
// with a margin for clocks that run apart, plus the time its sentinel needs to kill.
//
// Pure bookkeeping, O(1) per message and O(log n) per change. Pointers stay valid until the member or session is
// erased. Owned by the coordinator machine.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/time.h"
#include "rendezvous/coordinator/coordinator_events.h"
#include "rendezvous/coordinator/round_decision.h"

namespace ferrun {

struct Member;

// One authenticated connection.
struct PeerSession {
  ConnectionId connection = 0;
  AgentId agent;
  std::string observed_address;
  TimePoint last_arrival;
  Member* member = nullptr;  // once it has joined
  std::list<PeerSession*>::iterator place;
  bool listed = false;  // in the order of arrivals; a silent one is not
};

// One agent that takes part, or did and may have workers left.
struct Member {
  enum class Link { kOpen, kSilent, kBroken, kCut };

  AgentId agent;
  std::string host;
  std::vector<std::string> addresses;
  std::string observed_address;
  int workers = 1;
  std::string role;
  std::optional<int> node_rank;
  uint64_t joined = 0;  // order of the first Join

  Link link = Link::kOpen;
  PeerSession* session = nullptr;  // while kOpen or kSilent
  TimePoint last_arrival;
  bool leaving = false;                // has said goodbye
  std::optional<RoundId> held;         // may have processes of it
  bool fence_over = false;             // silent for so long that no worker of `held` is left
  bool veteran = false;                // of the last round that was prepared
  std::optional<int> last_rank;        // its node rank in the last round that was started
  std::optional<int> seat;             // its node rank in the round that is prepared, runs or is being stopped
  TimePoint asked_at;                  // Prepare, DialStore or the first Stop; for the round trip
  std::optional<Duration> round_trip;  // shortest seen
  int failed_prepares = 0;             // in a row, because of this node
  uint64_t told = 0;                   // number of the last sentence about waiting that it was told

  // To what it is asked now.
  bool may_answer() const { return !leaving && (link == Link::kOpen || link == Link::kBroken); }
  // The job's end, once its workers are gone: until then it needs a coordinator for their lease, leaving or not.
  bool may_acknowledge() const { return link == Link::kOpen || link == Link::kBroken; }
  bool may_be_saving() const { return leaving && link == Link::kOpen; }
  bool present() const { return link == Link::kOpen && !leaving; }
  bool ready() const { return present() && !held; }
  // Outlives the agent: host name and first advertised address.
  std::string node() const { return host + " " + (addresses.empty() ? observed_address : addresses.front()); }

 private:
  friend class Membership;
  using Deadline = std::pair<TimePoint, uint64_t>;  // distinct for each member
  std::optional<Deadline> grace_;
  std::optional<Deadline> fence_;
  bool counted_veteran_ = false;
};

class Membership {
 public:
  struct Limits {
    Duration silence{};
    Duration reset_grace{};
    Duration fence{};  // from the last sign of life until no worker can be left
  };
  explicit Membership(Limits limits) : limits_(limits) {}

  // --- Connections. ---
  PeerSession& open(const PeerArrived& peer, TimePoint now);
  PeerSession* session(ConnectionId connection);
  // Something arrived. A silent member's link is open again.
  void heard(PeerSession& session, TimePoint now);
  // Forgets the connection; its member's link is kBroken, or kCut when it was no longer open.
  void close(PeerSession& session, TimePoint now);

  // --- Members. ---
  Member* find(AgentId agent);
  Member& add(AgentId agent);
  // Ties a connection to its member, whose earlier one must be closed.
  void attach(Member& member, PeerSession& session);
  void hold(Member& member, const RoundId& round);
  void release(Member& member);
  void say_goodbye(Member& member);
  // Has been silent for too long, or did not come back in time.
  void give_up(Member& member);
  void set_veteran(Member& member, bool veteran);
  // Any connection it has is no member's afterwards.
  void erase(Member& member);

  // In the order in which they joined.
  std::vector<Member*> all() const;
  size_t size() const { return members_.size(); }
  // In the order of their numbers.
  std::vector<ConnectionId> connections() const;

  // --- What the next round depends on. ---
  size_t ready() const { return ready_.size(); }
  size_t ready_veterans() const { return ready_veterans_; }
  size_t stopping() const { return stopping_.size(); }
  // Fills in the groups of nodes.
  void describe(Gathering& nodes) const;

  // --- Time. The earliest deadline of all; what is due by now. ---
  std::optional<TimePoint> next_deadline() const;
  // Connections without a sign of life for `silence`: taken off the list of those that are watched.
  std::vector<PeerSession*> take_silent(TimePoint now);
  std::vector<Member*> graces_over(TimePoint now);
  // Those without a connection are to be erased; the others hold no longer.
  std::vector<Member*> fences_over(TimePoint now);

 private:
  using Ordered = std::map<uint64_t, Member*>;  // by order of joining
  using Deadlines = std::map<Member::Deadline, Member*>;

  void watch(PeerSession& session);
  void unwatch(PeerSession& session);
  // Brings counts and deadlines in line with the member's state: the one place that does.
  void refile(Member& member);
  static void put(Ordered& set, Member& member, bool in);
  static void put(Deadlines& set, std::optional<Member::Deadline>& filed, Member& member, std::optional<TimePoint> due);

  Limits limits_;
  uint64_t joined_ = 0;
  std::unordered_map<ConnectionId, std::unique_ptr<PeerSession>> sessions_;
  std::map<AgentId, std::unique_ptr<Member>> members_;
  std::list<PeerSession*> arrivals_;  // watched for silence, the longest silent first
  Ordered ready_;
  Ordered stopping_;   // heard of, and hold
  Ordered returning_;  // veterans whose connection broke a moment ago
  size_t ready_veterans_ = 0;
  Deadlines graces_;
  Deadlines fences_;
};

}  // namespace ferrun
