// The state of a job as a person asks for it: what StatusReply carries as JSON, and what `ferrun status` prints. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "common/time.h"
#include "rendezvous/job/ids.h"

namespace ferrun {

// What a node is doing, as far as whoever tells the status knows.
enum class NodeState {
  kWaiting,    // for a round
  kSpare,      // beyond the largest number of nodes: takes the place of one that is lost
  kPreparing,  // its round
  kRunning,
  kStopping,
  kFinished,  // all its workers ended with 0
  kSilent,    // nothing was heard for too long, or its connection broke: it may come back
  kLost,
};

struct NodeStatus {
  AgentId agent;
  std::string host;
  std::string address;  // as the coordinator sees it
  std::string role;
  int workers = 1;
  std::optional<int> node_rank;  // in the newest round; none for a spare, or before the first round
  int first_rank = 0;            // with a node rank: its workers are first_rank … first_rank + workers - 1
  NodeState state = NodeState::kWaiting;
  Duration silence{};  // since something was heard
  bool operator==(const NodeStatus&) const = default;
};

struct JobStatus {
  std::string told_by;  // "the coordinator on node0", or an agent that has none
  std::string launch_id;
  uint64_t incarnation = 0;  // of the coordinator; 0 where there is none
  RoundId round;             // the newest one
  std::string phase;         // one word: "gathering", "running", "seeking"
  std::string reason;        // why it is in this phase, or what it waits for: one sentence
  int min_nodes = 1;
  int max_nodes = 1;
  int world = 0;  // workers of the newest round
  int restarts = 0;
  int max_restarts = 0;
  std::string last_change;  // "node3 joined": why the newest round began or ended
  Duration last_change_age{};
  std::vector<std::string> missing;  // what is waited for, one line each: a node, a rank, an answer
  std::vector<NodeStatus> nodes;
  // Microseconds since 1970 on the coordinator's host, for `ferrun doctor`, which shows how far the hosts' clocks are
  // apart. No decision rests on it. 0: not told.
  int64_t clock_us = 0;
  bool operator==(const JobStatus&) const = default;
};

// One line of JSON. Durations are whole milliseconds; bytes that are no UTF-8 are replaced.
std::string to_json(const JobStatus& status);

// kPlatform with one line for anything that to_json does not write. Fields that it does not know are passed over.
Result<JobStatus> job_status_from_json(std::string_view json);

// For a terminal: ends with a line end; safe whatever the texts hold. At most `kListedNodes` nodes are listed, those
// that do not simply run first, and the rest is counted.
std::string to_text(const JobStatus& status);
inline constexpr size_t kListedNodes = 50;

// "gathering" and the like, as the JSON has them.
std::string_view to_string(NodeState state);

}  // namespace ferrun
